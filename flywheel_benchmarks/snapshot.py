"""A daily snapshot of all entities: what it costs as history grows, and against reading all of it.

Run it by ``python -m flywheel_benchmarks.snapshot``. Events lie in a Delta table by the day on
which they became known; a snapshot of the last day reads the partitions that its longest window
reaches.
"""

import argparse
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from flywheel_assets import Aggregation
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.point_in_time import snapshot
from flywheel_assets.stages.clock import closes
from flywheel_assets.stores.tables import Tables
from flywheel_benchmarks.contest import contest, show, timed
from flywheel_benchmarks.workload import START, Workload

DAY = timedelta(days=1)
FIRST = date(1970, 1, 1) + timedelta(microseconds=START)
WINDOWS = (timedelta(hours=1), DAY, 7 * DAY, 30 * DAY)
FUNCTIONS = ("count", "sum", "mean", "min", "max", "stddev", "last", "n_unique")
HISTORY = {"30 days": 30, "365 days": 365, "all of 365 days": 365}


def table(history: int) -> str:
    """Name the table that holds so many days."""
    return f"events_{history}"


def write(folder: Path, work: Workload) -> None:
    """Write a table for each length of history; they end on the same day."""
    events = pl.read_parquet(folder / "events.parquet")
    last = FIRST + (work.days - 1) * DAY
    events = events.with_columns(pl.col("known_at").dt.date().alias(PARTITION))
    for history in set(HISTORY.values()):
        first = last - (history - 1) * DAY
        kept = events.filter(pl.col(PARTITION).is_between(first, last))
        tables = Tables(folder / "lakehouse")
        if not tables.exists(table(history)):
            tables.replace(table(history), kept, kept.schema, first, last)


def take(folder: Path, name: str, work: Workload) -> pl.DataFrame:
    """Take the snapshot of the last day."""
    last = FIRST + (work.days - 1) * DAY
    everything = name.startswith("all")
    schema: dict[str, Any] = {
        PARTITION: pl.Date(),
        **dict.fromkeys(("observation_id", "entity", "corrects"), pl.Int64()),
        **dict.fromkeys(("event_time", "known_at"), pl.Datetime("us", "UTC")),
        "value": pl.Float64(),
    }
    first = FIRST - DAY if everything else last - max(WINDOWS)
    events = Tables(folder / "lakehouse").read(table(HISTORY[name]), schema, first, last)
    asked = [
        Aggregation(name=f"{f}_{i}", function=f, column="value", window=w)  # type: ignore[arg-type]
        for f in FUNCTIONS
        for i, w in enumerate(WINDOWS)
    ]
    return snapshot(events.collect(), [closes(last)], asked, by=["entity"])


def main() -> None:
    """Run the contest, or one contestant of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=1e7)
    parser.add_argument("--entities", type=float, default=1e5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "snapshot")
    parser.add_argument("--contestant", choices=[*HISTORY, "check"])
    options = parser.parse_args()
    work = Workload(int(options.events), 1_000, int(options.entities))
    folder = work.write(options.folder) if options.contestant else options.folder
    if options.contestant == "check":
        write(folder, work)
        whole = take(folder, "all of 365 days", work)
        for name in HISTORY:
            if not take(folder, name, work).equals(whole):
                raise SystemExit(f"the snapshot from {name} differs from that of the whole history")
    elif options.contestant:
        take(folder, "30 days", work)  # loads the compiled loops
        print(timed(lambda: take(folder, options.contestant, work)))
    else:
        given = ["--events", str(options.events), "--entities", str(options.entities)]
        given += ["--folder", str(options.folder), "--contestant"]
        module = "flywheel_benchmarks.snapshot"
        subprocess.run([sys.executable, "-m", module, *given, "check"], check=True)  # noqa: S603
        figures = contest(module, {name: [*given, name] for name in HISTORY}, options.runs)
        show("a daily snapshot, equal to the last bit from either", figures, "30 days")


if __name__ == "__main__":
    main()
