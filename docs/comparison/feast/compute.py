"""The windows, which Feast does not compute: python compute.py FIRST LAST."""

import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl

DAY = timedelta(days=1)
LONGEST = 90 * DAY
TABLE = Path("data/customer_orders.parquet")


def orders(n: int) -> pl.Expr:
    return (
        pl.col("invoice")
        .filter(pl.col("age") <= n * DAY)
        .n_unique()
        .cast(pl.Int64)
        .alias(f"orders_{n}d")
    )


def revenue(n: int) -> pl.Expr:
    return pl.col("revenue").filter(pl.col("age") <= n * DAY).sum().alias(f"revenue_{n}d")


FEATURES = [
    orders(7),
    orders(30),
    orders(90),
    revenue(30),
    revenue(90),
]


def as_of(lines: pl.DataFrame, day: date) -> pl.DataFrame:
    moment = datetime.combine(day + DAY, time(), UTC)
    return (
        lines.with_columns(age=moment - pl.col("event_time"))
        .filter(
            ~pl.col("is_cancellation"), pl.col("age").is_between(0 * DAY, LONGEST, closed="right")
        )
        .group_by("customer_id")
        .agg(*FEATURES, recency_days=pl.col("age").min().dt.total_seconds() / 86_400)
        .with_columns(as_of=pl.lit(moment).dt.cast_time_unit("us"))
        .sort("customer_id")
    )


def main(first: date, last: date) -> None:
    lines = pl.read_parquet("data/order_lines.parquet")
    made = pl.concat(as_of(lines, first + i * DAY) for i in range((last - first).days + 1))
    if TABLE.exists():
        kept = pl.read_parquet(TABLE).join(made.select("as_of").unique(), on="as_of", how="anti")
        made = pl.concat([kept, made], how="diagonal")
    made.sort("as_of", "customer_id").write_parquet(TABLE)


if __name__ == "__main__":
    main(*map(date.fromisoformat, sys.argv[1:]))
