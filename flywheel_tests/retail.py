"""The real orders, and recall@10 of products not bought before."""

import tarfile
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_assets.flywheels.repurchase import ordered
from flywheel_assets.stages.clock import closes
from flywheel_tests.conftest import shared_data
from flywheel_tests.unpacking import SAFELY

DAY = timedelta(days=1)
FIRST = date(2010, 12, 1)
SHOWN = 10
PAIR = ["customer_id", "stock_code"]


def orders(folder: Path) -> Path:
    """Unpack the daily files."""
    archive = shared_data() / "online_retail" / "by-day.tar.gz"
    if not archive.exists():
        pytest.skip(f"the real orders are not at {archive}")
    with tarfile.open(archive) as files:
        files.extractall(folder, **SAFELY)  # noqa: S202  filtered where it can be
    return folder / "by-day"


def bought_next(lines: pl.DataFrame, day: date) -> pl.DataFrame:
    """Give the pairs bought for the first time in the 30 days after a partition closes.

    Only of customers who have ordered before.
    """
    at, sound = closes(day), lines.filter(ordered)
    before = sound.filter(pl.col("event_time") < at)
    next_30 = sound.filter(pl.col("event_time").is_between(at, at + 30 * DAY, closed="left"))
    return (
        next_30.select(PAIR)
        .unique()
        .join(before.select(PAIR), on=PAIR, how="anti")
        .join(before.select("customer_id"), on="customer_id", how="semi")
    )


def most_popular(lines: pl.DataFrame, day: date, customers: pl.DataFrame) -> pl.DataFrame:
    """Show everybody the ten products of the most customers of the last 30 days, not yet bought."""
    at, sound = closes(day), lines.filter(ordered, pl.col("event_time") < closes(day))
    recent = sound.filter(pl.col("event_time") >= at - 30 * DAY)
    ranked = recent.group_by("stock_code").agg(pl.col("customer_id").n_unique().alias("buyers"))
    pairs = customers.select("customer_id").unique().join(ranked, how="cross")
    new = pairs.join(sound.select(PAIR), on=PAIR, how="anti")
    best = new.sort("buyers", "stock_code", descending=[True, False])
    return best.group_by("customer_id", maintain_order=True).head(SHOWN)


def recall(shown: pl.DataFrame, wanted: pl.DataFrame) -> pl.Series:
    """Give recall@10 of each customer who bought something new: hits over min(10, bought)."""
    hits = shown.select(PAIR).join(wanted, on=PAIR, how="semi").group_by("customer_id").len("hits")
    each = wanted.group_by("customer_id").len("bought").join(hits, on="customer_id", how="left")
    return each.select(
        pl.col("hits").fill_null(0) / pl.col("bought").clip(upper_bound=SHOWN)
    ).to_series()
