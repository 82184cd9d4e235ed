"""Eight aggregations over five windows, against other ways to the same figures.

Run it by ``python -m flywheel_benchmarks.windows``; ``--events 5e7 --spine 5e6 --entities 5e5
--only ours`` for the large one. Each contestant runs in a process of its own and is timed from
reading its Parquet files to a finished frame, libraries imported and kernels loaded.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from flywheel_assets import Aggregation
from flywheel_benchmarks.contest import contest, plot, show, timed
from flywheel_benchmarks.workload import Workload

FUNCTIONS = ("count", "sum", "mean", "min", "max", "stddev", "last", "n_unique")
WINDOWS = (timedelta(hours=1), *(timedelta(days=d) for d in (1, 7, 30)), None)
SIXTH = timedelta(days=90)
ONE_CLOCK = ("entity", "event_time", "value")
TWO_CLOCKS = (*ONE_CLOCK, "known_at", "observation_id", "corrects")
SAMPLE = 300
SQL = {
    "count": "count(value)",
    "sum": "sum(value)",
    "mean": "avg(value)",
    "min": "min(value)",
    "max": "max(value)",
    "stddev": "stddev_samp(value)",
    "last": "last_value(value IGNORE NULLS)",
    "n_unique": "count(DISTINCT value)",
}


def asked(windows: tuple[timedelta | None, ...]) -> list[Aggregation]:
    """Ask for each function over each window."""
    return [
        Aggregation(name=f"{f}_{i}", function=f, column="value", window=w)  # type: ignore[arg-type]
        for f in FUNCTIONS
        for i, w in enumerate(windows)
    ]


def first_versions(folder: Path) -> pl.LazyFrame:
    """Read the events without their corrections: what one clock knows."""
    return pl.scan_parquet(folder / "events.parquet").filter(pl.col("corrects").is_null())


def baseline(folder: Path) -> pl.DataFrame:
    """Read the events, and sort them once by entity and time."""
    events = first_versions(folder).select(ONE_CLOCK).collect()
    key = pl.col("entity") * 2**44 + pl.col("event_time").to_physical() // 1 % 2**44
    return events.select(key.alias("key"), "value").sort("key")


def ours(folder: Path, columns: tuple[str, ...], windows: tuple[timedelta | None, ...]) -> Any:
    """Compute the windows."""
    from flywheel_assets.point_in_time.windows import windows as compute

    rows = pl.scan_parquet(folder / "events.parquet")
    if columns is ONE_CLOCK:
        rows = first_versions(folder)
    events = rows.select(columns).collect()
    return compute(events, pl.read_parquet(folder / "spine.parquet"), asked(windows), by=["entity"])


def polars_rolling(folder: Path) -> Any:
    """Let Polars roll over events and moments together: the two short windows, without n_unique."""
    spine = pl.read_parquet(folder / "spine.parquet").with_row_index("row")
    moments = spine.select("entity", pl.col("as_of").alias("event_time"), "row")
    events = first_versions(folder).select(ONE_CLOCK).collect()
    both = pl.concat([events, moments], how="diagonal").sort("entity", "event_time")
    value = pl.col("value").drop_nulls()
    functions = [getattr(value, f)().alias(f) for f in ("count", "sum", "mean", "min", "max")]
    found = []
    for period in ("1h", "1d"):
        rolled = both.rolling("event_time", period=period, closed="left", group_by="entity")
        whole = rolled.agg(*functions, value.last().alias("last"))
        found.append(whole.with_columns(both["row"]))
    return found


def duckdb_range(folder: Path) -> Any:
    """Let DuckDB frame ranges over events and moments together."""
    import duckdb

    spans = []
    for i, window in enumerate(WINDOWS):
        begin = "UNBOUNDED" if window is None else f"INTERVAL {int(window.total_seconds())} SECONDS"
        frame = f"RANGE BETWEEN {begin} PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING"
        spans.append(f"w{i} AS (PARTITION BY entity ORDER BY event_time {frame})")
    names = [f"{SQL[f]} OVER w{i} AS {f}_{i}" for f in FUNCTIONS for i in range(len(WINDOWS))]
    query = f"""
        WITH both_ AS (
            SELECT entity, event_time, value, NULL AS row FROM '{folder}/events.parquet'
            WHERE corrects IS NULL
            UNION ALL
            SELECT entity, as_of, NULL, file_row_number
            FROM read_parquet('{folder}/spine.parquet', file_row_number=true)
        )
        SELECT * FROM (SELECT row, {", ".join(names)} FROM both_ WINDOW {", ".join(spans)})
        WHERE row IS NOT NULL
    """  # noqa: S608  names of our own
    return duckdb.connect().sql(query).to_arrow_table()


def naive_join(folder: Path) -> Any:
    """Join, filter, group."""
    spine = pl.scan_parquet(folder / "spine.parquet").with_row_index("row")
    joined = spine.join(first_versions(folder).select(ONE_CLOCK), on="entity").filter(
        pl.col("event_time") < pl.col("as_of")
    )
    found = []
    for window in WINDOWS:
        rows = joined
        if window is not None:
            rows = joined.filter(pl.col("event_time") >= pl.col("as_of") - window)
        value = pl.col("value")
        functions = [getattr(value, f)().alias(f) for f in FUNCTIONS if f not in ("stddev", "last")]
        last = value.sort_by("event_time").last().alias("last")
        found.append(rows.group_by("row").agg(*functions, value.std().alias("stddev"), last))
    return pl.collect_all(found)


CONTESTANTS: dict[str, Callable[[Path], Any]] = {
    "baseline": baseline,
    "one clock": lambda folder: ours(folder, ONE_CLOCK, WINDOWS),
    "two clocks": lambda folder: ours(folder, TWO_CLOCKS, WINDOWS),
    "sixth window": lambda folder: ours(folder, ONE_CLOCK, (*WINDOWS[:-1], SIXTH, None)),
    "polars rolling": polars_rolling,
    "duckdb range": duckdb_range,
    "naive join": naive_join,
}


def warm(folder: Path) -> None:
    """Load the compiled loops, by a call on a few rows."""
    for columns in (ONE_CLOCK, TWO_CLOCKS):
        events = pl.scan_parquet(folder / "events.parquet").head(1_000).select(columns).collect()
        spine = pl.scan_parquet(folder / "spine.parquet").head(10).collect()
        from flywheel_assets.point_in_time.windows import windows

        windows(events, spine, asked(WINDOWS), by=["entity"])


def check(folder: Path) -> None:
    """Hold both clocks against a brute force, for a sample of moments."""
    spine = pl.read_parquet(folder / "spine.parquet").sample(SAMPLE, seed=0)
    events = pl.read_parquet(folder / "events.parquet")
    events = events.filter(pl.col("entity").is_in(spine["entity"].implode()))
    from flywheel_assets.point_in_time.windows import windows

    for columns in (ONE_CLOCK, TWO_CLOCKS):
        given = events if columns is TWO_CLOCKS else events.filter(pl.col("corrects").is_null())
        found = windows(given.select(columns), spine, asked(WINDOWS), by=["entity"])
        for row in found.iter_rows(named=True):
            mine = given.filter(entity=row["entity"]).filter(pl.col("event_time") < row["as_of"])
            if columns is TWO_CLOCKS:
                mine = mine.filter(pl.col("known_at") < row["as_of"])
                mine = mine.filter(~pl.col("observation_id").is_in(mine["corrects"].implode()))
            for i, window in enumerate(WINDOWS):
                rows = mine
                if window is not None:
                    rows = mine.filter(pl.col("event_time") >= row["as_of"] - window)
                order = [
                    c for c in ("event_time", "known_at", "observation_id") if c in rows.columns
                ]
                values = rows.sort(order)["value"]
                _compare(row, i, values)


def agree(folder: Path) -> None:
    """Hold what the other contestants compute against ours, value by value."""
    mine = ours(folder, ONE_CLOCK, WINDOWS).with_row_index("row")
    _equal(mine, pl.DataFrame(pl.from_arrow(duckdb_range(folder))).sort("row"), "")
    for rolled, suffix in zip(polars_rolling(folder), ("_0", "_1"), strict=True):
        _equal(mine, rolled.drop_nulls("row"), suffix)
    for i, joined in enumerate(naive_join(folder)):
        _equal(mine, joined, f"_{i}")


def _equal(mine: pl.DataFrame, theirs: pl.DataFrame, suffix: str) -> None:
    """Compare by row; windows without rows may be missing on the other side."""
    names = {c: f"{c}{suffix}" for c in theirs.columns if c not in ("row", "entity", "event_time")}
    both = mine.join(
        theirs.select(pl.col("row").cast(pl.UInt32), *names).rename(names),
        on="row",
        how="inner",
        suffix="!",
    )
    if both.height < min(theirs.height, mine.height) or not both.height:
        raise SystemExit("rows are missing")
    for name in names.values():
        found, other = both[name].cast(pl.Float64), both[f"{name}!"].cast(pl.Float64)
        near = ((found - other).abs() <= 1e-9 * found.abs()) | (found.is_null() & other.is_null())
        empty = found.fill_null(0) == other.fill_null(0)
        if not (near.fill_null(value=False) | empty).all():
            raise SystemExit(f"{name} differs: {both.filter(~near.fill_null(value=False))[:3]}")


def _compare(row: dict[str, Any], i: int, values: pl.Series) -> None:
    import math

    expected = {
        **{f: getattr(values, f)() for f in ("sum", "mean", "min", "max", "n_unique")},
        "count": len(values),
        "stddev": values.std(),
        "last": values[-1] if len(values) else None,
    }
    for function, want in expected.items():
        found = row[f"{function}_{i}"]
        same = found == want or math.isclose(found, want, rel_tol=1e-9)
        if not same:
            raise SystemExit(f"{function} over window {i} is {found}, not {want}: {row}")


def main() -> None:
    """Run the contest, or one contestant of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("events", 1e7), ("spine", 1e6), ("entities", 1e5)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["ours", "quick", "all"], default="all")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "windows")
    parser.add_argument("--contestant", choices=[*CONTESTANTS, "check"])
    options = parser.parse_args()
    work = Workload(int(options.events), int(options.spine), int(options.entities))
    folder = work.write(options.folder) if options.contestant else options.folder
    if options.contestant == "check":
        check(folder)
        agree(Workload(50_000, 2_000, 500).write(options.folder))
    elif options.contestant:
        if options.contestant in ("one clock", "two clocks", "sixth window"):
            warm(folder)
        print(timed(lambda: CONTESTANTS[options.contestant](folder)))
    else:
        hold(work, options)


def hold(work: Workload, options: argparse.Namespace) -> None:
    """Let the contestants run in turn, and show what came of it."""

    def commands(names: list[str], size: Workload) -> dict[str, list[str]]:
        given = ["--events", str(size.n_events), "--spine", str(size.n_spine)]
        given += ["--entities", str(size.n_entities), "--folder", str(options.folder)]
        return {name: [*given, "--contestant", name] for name in names}

    module = "flywheel_benchmarks.windows"
    # In processes of their own, since a process starts with the peak of the one that started it.
    subprocess.run([sys.executable, "-m", module, *commands(["check"], work)["check"]], check=True)  # noqa: S603
    mine = ["baseline", "one clock", "two clocks", "sixth window"]
    figures = contest(module, commands(mine, work), options.runs)
    if options.only == "all":
        figures |= contest(module, commands(["polars rolling", "duckdb range"], work), options.runs)
    show(f"{work.n_events:,} events, {work.n_spine:,} moments", figures, "baseline")
    plot("Eight aggregations over five windows", figures, options.folder / "windows.svg")
    if options.only != "ours":
        half = replace(work, n_events=work.n_events // 2, n_spine=work.n_spine // 2)
        halved = contest(module, commands(["one clock"], half), options.runs)
        double = {"half as much": halved["one clock"], "one clock": figures["one clock"]}
        show("growth", double, "half as much")
    if options.only == "all":
        tenth = replace(work, n_events=work.n_events // 10, n_spine=work.n_spine // 10)
        naive = contest(module, commands(["one clock", "naive join"], tenth), 1)
        show("a tenth of it", naive, "one clock")


if __name__ == "__main__":
    main()
