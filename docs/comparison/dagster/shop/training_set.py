"""Decisions whose outcome is known."""

import dagster as dg
import polars as pl
from shop.days import DAY, closes, day_of, days, read, write

HORIZON = 30 * DAY


@dg.asset(
    partitions_def=days,
    group_name="training_set",
    owners=["team:growth"],
    deps=[
        dg.AssetDep(name, partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-30))
        for name in ("customer_orders", "fct_order_line")
    ],
)
def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """One row for each decision that was made a horizon ago."""
    day = day_of(context)
    decided = day - HORIZON
    if decided < days.start.date():
        return dg.MaterializeResult(metadata={"dagster/row_count": 0})
    made = read("decisions", decided, decided)
    seen = read("customer_orders", decided, decided)
    lines = read("fct_order_line", decided, day).filter(
        ~pl.col("is_cancellation"),
        pl.col("event_time").is_between(closes(decided), closes(day), closed="left"),
    )
    ordered = lines.select("customer_id").unique().with_columns(outcome=pl.lit(1))
    rows = made.join(seen, on="customer_id", how="left").join(ordered, on="customer_id", how="left")
    return write("training_set", day, rows.with_columns(pl.col("outcome").fill_null(0)))
