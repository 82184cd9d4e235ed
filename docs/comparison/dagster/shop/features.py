"""What was known of a customer when a day closed."""

from datetime import date

import dagster as dg
import polars as pl
from shop.days import DAY, closes, day_of, days, read, write

LONGEST = 90 * DAY


def orders(n: int) -> pl.Expr:
    return pl.col("invoice").filter(pl.col("age") <= n * DAY).n_unique().alias(f"orders_{n}d")


def revenue(n: int) -> pl.Expr:
    return pl.col("revenue").filter(pl.col("age") <= n * DAY).sum().alias(f"revenue_{n}d")


FEATURES = [
    orders(7),
    orders(30),
    orders(90),
    revenue(30),
    revenue(90),
]


def as_of(day: date) -> pl.DataFrame:
    lines = read("fct_order_line", day - LONGEST, day)
    return (
        lines.with_columns(age=closes(day) - pl.col("event_time"))
        .filter(
            ~pl.col("is_cancellation"), pl.col("age").is_between(0 * DAY, LONGEST, closed="right")
        )
        .group_by("customer_id")
        .agg(*FEATURES, recency_days=pl.col("age").min().dt.total_seconds() / 86_400)
        .sort("customer_id")
    )


@dg.asset(
    partitions_def=days,
    group_name="features",
    owners=["team:growth"],
    deps=[
        dg.AssetDep(
            "fct_order_line", partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-90)
        )
    ],
)
def customer_orders(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """One row for each customer."""
    day = day_of(context)
    return write("customer_orders", day, as_of(day))
