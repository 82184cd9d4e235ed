"""The bank's 41,188 calls as sixty days of leads, and of calls on the day after."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_tests.conftest import shared_data

DAY = timedelta(days=1)
FIRST = date(2026, 1, 1)
BATCHES = 60
DAYS = [FIRST + i * DAY for i in range(BATCHES)]
LATE = DAYS[BATCHES * 4 // 5 :]
"""The last fifth."""


def write_days(folder: Path, n_batches: int = BATCHES) -> dict[str, Path]:
    """Write one file of leads a day, in the order of the rows, and their calls on the next day.

    Returns
    -------
    dict
        Observation -> the folder of its files.
    """
    source = shared_data() / "bank_marketing" / "bank-additional-full.csv"
    if not source.exists():
        pytest.skip(f"the bank's calls are not at {source}")
    rows = pl.read_csv(source, separator=";", infer_schema=False)
    batch = (pl.int_range(pl.len()) * BATCHES // pl.len()).alias("batch")
    rows = rows.with_columns(batch, pl.int_range(pl.len()).alias("lead_id"))
    folders = {"listed_lead": folder / "leads", "call": folder / "calls"}
    for path in folders.values():
        path.mkdir()
    for number, day in enumerate(DAYS[:n_batches]):
        today = rows.filter(batch=number).drop("batch")
        listed = f"{day} 12:00:00"
        called = f"{day + DAY} 12:00:00"
        today.drop("duration", "y").with_columns(pl.lit(listed).alias("listed_at")).write_csv(
            folders["listed_lead"] / f"{day}.csv", separator=";"
        )
        today.select("lead_id", "duration", "y").with_columns(
            pl.lit(called).alias("called_at")
        ).write_csv(folders["call"] / f"{day + DAY}.csv", separator=";")
    return folders
