"""Daily partitions, and Parquet files by day."""

import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import polars as pl

DAY = timedelta(days=1)
DATA = Path(os.environ.get("SHOP_DATA", "data"))
days = dg.DailyPartitionsDefinition(os.environ.get("SHOP_START", "2026-01-05"))


def day_of(context: dg.AssetExecutionContext) -> date:
    return date.fromisoformat(context.partition_key)


def closes(day: date) -> datetime:
    return datetime.combine(day + DAY, time(), UTC)


def write(table: str, day: date, frame: pl.DataFrame) -> dg.MaterializeResult:
    path = DATA / table / f"{day}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    return dg.MaterializeResult(metadata={"dagster/row_count": frame.height})


def read(table: str, first: date, last: date) -> pl.DataFrame:
    files = sorted((DATA / table).glob("*.parquet"))
    wanted = [f for f in files if first <= date.fromisoformat(f.stem) <= last]
    return pl.concat(map(pl.read_parquet, wanted), how="diagonal") if wanted else pl.DataFrame()
