"""What the assembly of 90 days of a training set reads of tables of 450 days.

Run ``python -m flywheel_benchmarks.training_set [customers]``. Facts, snapshots and decisions of
each day are written; 90 days are assembled as the asset does it. Then every data file of another
day is moved away, and the assembly must come out the same: so it opens no other. Beside that stand
the bytes that its files hold of the columns it asks for, by their parquet footers.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets.dagster_assets.build import Build, build_for
from flywheel_assets.dagster_assets.collect import DECISION_SCHEMA
from flywheel_assets.dagster_assets.training_set import _assemble
from flywheel_assets.flywheels.repurchase import customer_orders, order_lines, repurchase
from flywheel_assets.stages.features import feature_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.training_set import followed_schema
from flywheel_assets.stores.home import Home

DAY = timedelta(days=1)
FIRST = date(2025, 1, 1)
N_DAYS, ASSEMBLED = 450, 90
DECISIONS, FACTS, VIEW = "organize/fct_decision", "organize/fct_order_line", "customer_orders"
_random = np.random.default_rng(0)


def rows(schema: Mapping[str, Any], day: date, n_rows: int) -> pl.DataFrame:
    """Make rows of any schema, of one partition."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    columns = []
    for name, dtype in schema.items():
        if name == "partition_date":
            column = pl.repeat(day, n_rows, eager=True)
        elif dtype == pl.Datetime:
            column = pl.repeat(noon, n_rows, eager=True)
        elif name in {"corrects", "retracts"}:
            column = pl.repeat(None, n_rows, eager=True)
        elif dtype == pl.String:
            column = pl.Series(_random.integers(0, 2**62, n_rows)).cast(pl.String)
        elif dtype.is_numeric():
            column = pl.Series(_random.random(n_rows) * 100)
        else:
            column = pl.repeat(None, n_rows, eager=True)
        columns.append(column.alias(name).cast(dtype))
    return pl.DataFrame(columns)


def written(home: Home, n_rows: int) -> Build:
    """Write three tables of every day."""
    build = build_for(home)
    tables: dict[str, list[pl.DataFrame]] = {f"features/{VIEW}": [], DECISIONS: [], FACTS: []}
    for number in range(N_DAYS):
        day = FIRST + number * DAY
        closes = datetime(day.year, day.month, day.day, tzinfo=UTC)
        who = pl.Series("customer_id", range(n_rows))
        seen = rows(feature_schema(customer_orders), day, n_rows).with_columns(
            who, pl.lit(closes + DAY).cast(pl.Datetime("us", "UTC")).alias("as_of")
        )
        made = rows(DECISION_SCHEMA, day, n_rows).with_columns(
            pl.lit("repurchase").alias("flywheel"),
            pl.lit(closes).cast(pl.Datetime("us", "UTC")).alias("decided_at"),
            pl.Series("candidate", [f'{{"customer_id": {i}}}' for i in range(n_rows)]),
            propensity=0.5,
        )
        facts = rows(fact_schema(order_lines), day, n_rows)
        for days, frame in zip(tables.values(), (seen, made, facts), strict=True):
            days.append(frame)
    for key, days in tables.items():
        whole = pl.concat(days)
        build.tables.replace(key, whole, whole.schema, FIRST, FIRST + (N_DAYS - 1) * DAY)
    return build


def data_files(build: Build, key: str) -> dict[Path, date]:
    """Give a table's data files and their days."""
    found = build.tables.path(key).glob("partition_date=*/*.parquet")
    return {file: date.fromisoformat(file.parent.name.split("=")[1]) for file in found}


def column_bytes(file: Path, columns: set[str] | None) -> int:
    """Count the bytes of some columns of a file, or of all, by its footer."""
    import pyarrow.parquet as pq

    footer = pq.read_metadata(file)
    chunks = (
        footer.row_group(group).column(number)
        for group in range(footer.num_row_groups)
        for number in range(footer.num_columns)
    )
    return sum(
        chunk.total_compressed_size
        for chunk in chunks
        if columns is None or chunk.path_in_schema in columns
    )


def needed(first: date, last: date) -> Iterator[tuple[str, date, date, set[str]]]:
    """Say which days and columns of each table an assembly should need."""
    back = repurchase.outcome.matures_after
    yield f"features/{VIEW}", first - back, last - back, set(feature_schema(customer_orders))
    yield DECISIONS, first - back + DAY, last - back + DAY, set(DECISION_SCHEMA)
    yield FACTS, first - back, last, set(followed_schema(repurchase))


def main(n_rows: int = 2_000) -> None:
    """Print files and bytes needed, against those that the tables hold."""
    last = FIRST + (N_DAYS - 1) * DAY
    first = last - (ASSEMBLED - 1) * DAY
    with tempfile.TemporaryDirectory() as folder:
        build = written(Home(Path(folder)), n_rows)
        begun = time.perf_counter()
        whole = _assemble(build, repurchase, first, last)
        seconds = time.perf_counter() - begun
        for key, oldest, newest, columns in needed(first, last):
            files = data_files(build, key)
            inside = [file for file, day in files.items() if oldest <= day <= newest]
            read = sum(column_bytes(file, columns) for file in inside)
            held = sum(column_bytes(file, None) for file in files)
            print(
                f"{key:26} {len(inside):4} of {len(files)} files, {read / 1e6:7.2f} of "
                f"{held / 1e6:7.2f} MB, ratio {read / held:.3f}"
            )
            for file in set(files) - set(inside):
                file.rename(file.with_suffix(".away"))
        begun = time.perf_counter()
        again = _assemble(build, repurchase, first, last)
        print(
            f"{whole.height:,} rows in {seconds:.2f} s, again {time.perf_counter() - begun:.2f} s"
        )
        if not whole.sort("decision_id").equals(again.sort("decision_id")):
            raise SystemExit("without the other files it comes out different")
        print("the same without the other files")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
