"""Order lines with their value, and decisions as they were made."""

import dagster as dg
import polars as pl
from shop.days import day_of, days, read, write


@dg.asset(
    partitions_def=days,
    group_name="organize",
    owners=["team:commerce-data"],
    deps=["orders"],
)
def fct_order_line(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Order lines; those of cancellations are negative."""
    day = day_of(context)
    cancels = pl.col("invoice").str.starts_with("C")
    lines = read("orders", day, day).with_columns(is_cancellation=cancels)
    revenue = pl.col("quantity") * pl.col("unit_price")
    return write("fct_order_line", day, lines.with_columns(revenue=revenue))
