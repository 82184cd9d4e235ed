"""The same look-up by each contestant; a script, so that any interpreter runs it.

``python as_of_contestants.py CONTESTANT FOLDER`` reads what `as_of` generated in a folder, looks up
every label in every source, leaves some of the rows in ``CONTESTANT.parquet``, and says in its last
line what the work took once its libraries were loaded.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

SAMPLED = 97
"""One label in so many is compared."""

Looked = Callable[[], Any]
"""Gives an Arrow table of ``label`` and the values of all sources."""


def engine(folder: Path) -> Looked:
    """Look up with our engine, which reads when rows became known as well; two tables at a time."""
    from concurrent.futures import ThreadPoolExecutor

    import polars as pl

    from flywheel_assets.point_in_time.as_of import Moments
    from flywheel_assets.point_in_time.conventions import Conventions

    happened = Conventions(upper="included", availability=False)

    def look_up() -> Any:
        labels = pl.read_parquet(folder / "labels.parquet")
        moments = Moments(labels, by=["entity"], at="event_time", conventions=happened)

        def newest(file: Path) -> list[pl.Series]:
            table = pl.read_parquet(file)
            return moments.newest(table, [c for c in table.columns if c.startswith("value")])

        with ThreadPoolExecutor(2) as pool:
            found = pool.map(newest, sources(folder))
            return pl.DataFrame([labels["label"], *chain.from_iterable(found)]).to_arrow()

    return look_up


def duckdb(folder: Path) -> Looked:
    """Look up with one query of as-of joins, on the threads that DuckDB takes by default."""
    import duckdb

    joins = " ".join(
        f"ASOF LEFT JOIN read_parquet('{file}') AS {file.stem} "
        f"ON label.entity = {file.stem}.entity AND label.event_time >= {file.stem}.event_time"
        for file in sources(folder)
    )
    values = f"COLUMNS('value.*') FROM read_parquet('{folder}/labels.parquet') AS label {joins}"

    def look_up() -> Any:
        rows: Any = duckdb.sql(f"SELECT label.label, {values}")
        return rows.to_arrow_table()

    return look_up


def feast(folder: Path) -> Looked:
    """Look up with Feast's offline store over DuckDB."""
    import pyarrow.parquet as pq
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, Int64

    repository = tempfile.mkdtemp(dir=folder)
    store = FeatureStore(
        config=RepoConfig(
            project="as_of",
            provider="local",
            registry=f"{repository}/registry.db",
            offline_store={"type": "duckdb"},
            online_store=None,
            entity_key_serialization_version=3,
        )
    )
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
    kinds = {"int64": Int64, "double": Float64}
    views = [
        FeatureView(
            name=file.stem,
            entities=[entity],
            schema=[
                Field(name=column.name, dtype=kinds[str(column.type)])
                for column in pq.read_schema(file)
                if column.name.startswith("value")
            ],
            source=FileSource(
                path=str(file),
                timestamp_field="event_time",
                created_timestamp_column="known_at",
            ),
        )
        for file in sources(folder)
    ]
    store.apply([entity, *views])
    asked = [f"{view.name}:{field.name}" for view in views for field in view.features]

    def look_up() -> Any:
        labels = pq.read_table(folder / "labels.parquet").to_pandas()
        return store.get_historical_features(
            entity_df=labels.rename(columns={"event_time": "event_timestamp"}), features=asked
        ).to_arrow()

    return look_up


def sources(folder: Path) -> list[Path]:
    """List the files of the sources."""
    return sorted(folder.glob("source_*.parquet"))


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(contestant: str, folder: Path) -> None:
    """Look up, timed, and leave a sample of the rows."""
    look_up: Looked = {"engine": engine, "duckdb": duckdb, "feast": feast}[contestant](folder)
    processor, begun = _processor(), time.perf_counter()
    found = look_up()
    took = {"seconds": time.perf_counter() - begun, "processor": _processor() - processor}

    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    label = found["label"]
    kept = pc.equal(label, pc.multiply(pc.divide(label, SAMPLED), SAMPLED))
    values = sorted(c for c in found.column_names if c.startswith("value"))
    sample = found.select(["label", *values]).filter(kept).sort_by("label")
    pq.write_table(sample, folder / f"{contestant}.parquet")
    print(json.dumps(took | {"rows": found.num_rows}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
