"""The shop's daily files become one table of order lines: python ingest.py."""

from pathlib import Path

import polars as pl

DATA = Path("data")
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


def main() -> None:
    raw = pl.concat(
        [
            pl.read_csv(f, infer_schema=False)
            for f in sorted((DATA / "landing/orders").glob("*.csv"))
        ],
        how="diagonal",
    )
    typed = raw.select(
        pl.col(source).cast(dtype, strict=False).alias(name)
        for name, (source, dtype) in COLUMNS.items()
    ).with_columns(
        pl.col("customer_id").cast(pl.Int64),
        pl.col("event_time")
        .str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        .dt.replace_time_zone("Europe/London")
        .dt.convert_time_zone("UTC"),
    )
    required = [name for name in COLUMNS if name not in OPTIONAL]
    sound = typed.filter(
        pl.all_horizontal(pl.col(required).is_not_null()), pl.col("unit_price") >= 0
    )
    lines = sound.unique(maintain_order=True).with_columns(
        is_cancellation=pl.col("invoice").str.starts_with("C"),
        revenue=pl.col("quantity") * pl.col("unit_price"),
    )
    lines.write_parquet(DATA / "order_lines.parquet")


if __name__ == "__main__":
    main()
