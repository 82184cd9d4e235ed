"""What it costs that a table survives a power cut.

Three ways to replace a partition, taking turns in one run: deltalake writes and commits (nothing is
synced: the way it was), deltalake writes and what it wrote is synced after, and `Tables.replace`.

    python -m flywheel_benchmarks.tables [ROUNDS]
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from flywheel_assets.stores.tables import Tables

DAY = date(2026, 1, 31)
ROUNDS = 15
SIZES = (100, 1_000_000)


def frame(n_rows: int, seed: int) -> pl.DataFrame:
    """Make order lines: ids of 32 digits, times, two keys, two numbers."""
    chance = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "partition_date": pl.repeat(DAY, n_rows, eager=True),
            "observation_id": [f"{i:032x}" for i in chance.integers(0, 2**62, n_rows)],
            "customer_id": chance.integers(0, n_rows, n_rows),
            "sku": chance.integers(0, 5000, n_rows).astype(str),
            "quantity": chance.integers(1, 12, n_rows),
            "price": chance.gamma(2.0, 4.0, n_rows).round(2),
            "event_time": pl.Series(chance.integers(0, 86_400_000_000, n_rows)).cast(
                pl.Datetime("us", "UTC")
            ),
        }
    )


def library(root: Path, rows: pl.DataFrame) -> None:
    """Read what stands, compare, write through deltalake: the way it was."""
    from deltalake import DeltaTable, write_deltalake

    path = str(root / "t")
    if not (root / "t").exists():
        schema = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        DeltaTable.create(path, schema=schema, partition_by=["partition_date"])
    standing = pl.scan_delta(path).filter(pl.col("partition_date") == DAY).collect()
    columns = rows.columns
    if standing.height == rows.height:
        standing.sort(columns).equals(rows.sort(columns))
    write_deltalake(path, rows, mode="overwrite", predicate=f"partition_date = '{DAY}'")


def synced_after(root: Path, rows: pl.DataFrame) -> None:
    """Write through deltalake, then sync its files and folders: a cut before that may tear them."""
    library(root, rows)
    log = root / "t" / "_delta_log"
    newest = max((root / "t").rglob("*.parquet"), key=lambda f: f.stat().st_mtime_ns)
    for path in (newest, newest.parent, newest.parent.parent, max(log.glob("*.json")), log):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def ours(root: Path, rows: pl.DataFrame) -> None:
    """Replace through the store."""
    Tables(root).replace("t", rows, dict(rows.schema), DAY, DAY)


WAYS: tuple[Callable[[Path, pl.DataFrame], None], ...] = (library, synced_after, ours)


def main(rounds: int = ROUNDS) -> None:
    """Print the medians of the ways, and their ratios to the first."""
    for n_rows in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            took: dict[str, list[float]] = {way.__name__: [] for way in WAYS}
            frames = frame(n_rows, 0), frame(n_rows, 1)
            for turn in range(rounds + 1):
                rows = frames[turn % 2]
                for way in WAYS:
                    root = Path(scratch) / way.__name__
                    root.mkdir(exist_ok=True)
                    begun = time.perf_counter()
                    way(root, rows)
                    took[way.__name__].append(time.perf_counter() - begun)
        base = median(took["library"][1:])
        for name, seconds in took.items():
            mid = median(seconds[1:])
            print(f"{n_rows:>9,} rows  {name:<13} {mid * 1000:8.1f} ms  {mid / base:5.2f}x")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
