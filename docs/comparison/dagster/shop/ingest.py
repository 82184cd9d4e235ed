"""The shop's daily files."""

import dagster as dg
import polars as pl
from shop.days import DATA, day_of, days, write

COLUMNS = {
    "invoice": ("InvoiceNo", pl.String),
    "stock_code": ("StockCode", pl.String),
    "description": ("Description", pl.String),
    "quantity": ("Quantity", pl.Int64),
    "unit_price": ("UnitPrice", pl.Float64),
    "customer_id": ("CustomerID", pl.Float64),
    "country": ("Country", pl.String),
    "event_time": ("InvoiceDate", pl.String),
}
OPTIONAL = {"description"}


@dg.asset(partitions_def=days, group_name="collect", owners=["team:checkout"])
def orders(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Order lines of a day that satisfy the contract."""
    day = day_of(context)
    raw = pl.read_csv(DATA / "landing" / "orders" / f"{day}.csv", infer_schema=False)
    lacking = {source for source, _ in COLUMNS.values()} - set(raw.columns)
    typed = (
        raw.with_columns(pl.lit(None).alias(source) for source in lacking)
        .select(
            pl.col(source).cast(dtype, strict=False).alias(name)
            for name, (source, dtype) in COLUMNS.items()
        )
        .with_columns(
            pl.col("customer_id").cast(pl.Int64),
            pl.col("event_time")
            .str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
            .dt.replace_time_zone("Europe/London")
            .dt.convert_time_zone("UTC"),
        )
    )
    required = [name for name in COLUMNS if name not in OPTIONAL]
    sound = typed.filter(
        pl.all_horizontal(pl.col(required).is_not_null()), pl.col("unit_price") >= 0
    )
    context.log.info("%d rejected", typed.height - sound.height)
    return write("orders", day, sound.unique(maintain_order=True))
