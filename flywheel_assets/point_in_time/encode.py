"""Columns as numbers that compiled loops take, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from flywheel_assets.errors import ColumnsError
from flywheel_assets.point_in_time.chunks import Chunks, chunks_of

Decode = Callable[[pl.Series], pl.Series]


@dataclass(frozen=True)
class Encoded:
    """One column as int64 or float64, in the order of its own values.

    Parameters
    ----------
    numbers : chunks of int64 or float64, (n_rows,)
        Arbitrary where the column is null.
    valid : chunks of bool, (n_rows,), or None
        None where nothing is null.
    decode : callable
        From numbers back to values of the column's type.
    numeric : bool
        Whether it can be summed.
    """

    numbers: Chunks
    valid: Chunks | None
    decode: Decode
    numeric: bool


def encode(column: pl.Series) -> Encoded:
    """Turn a column into numbers that compare and equal as its values do.

    Raises
    ------
    ColumnsError
        For nested columns, decimals, and unsigned integers from 2^63 on.
    """
    valid = None if column.null_count() == 0 else chunks_of(column.is_not_null())
    dtype = column.dtype
    if dtype.is_float():
        numbers = column.cast(pl.Float64)
    elif dtype.is_integer() or dtype == pl.Boolean:
        numbers = _whole(column)
    elif dtype.is_temporal():
        numbers = column.to_physical().cast(pl.Int64)
    elif isinstance(dtype, pl.Enum):
        return Encoded(
            numbers=_filled(column.to_physical().cast(pl.Int64)),
            valid=valid,
            decode=lambda found: _looked_up(dtype.categories, found, dtype),
            numeric=False,
        )
    elif dtype in (pl.String, pl.Binary, pl.Categorical):
        return _ranked(column, valid)
    else:
        raise ColumnsError(
            expected=f"column {column.name!r} of numbers, times, text or booleans",
            found=str(dtype),
            remedy="cast it, or unnest it into columns of their own",
        )
    return Encoded(
        numbers=_filled(numbers),
        valid=valid,
        decode=lambda found: found.cast(_physical(dtype)).cast(dtype),
        numeric=dtype.is_numeric() or dtype == pl.Boolean,
    )


def _physical(dtype: pl.DataType) -> Any:
    return pl.Series([], dtype=dtype).to_physical().dtype


def _whole(column: pl.Series) -> pl.Series:
    try:
        return column.cast(pl.Int64)
    except pl.exceptions.InvalidOperationError:
        raise ColumnsError(
            expected=f"column {column.name!r} of integers below 2^63",
            found=str(column.max()),
            remedy="cast it to Float64, or to String if it is an identifier",
        ) from None


def _ranked(column: pl.Series, valid: Chunks | None) -> Encoded:
    text = column.cast(pl.String) if column.dtype == pl.Categorical else column
    values = text.drop_nulls().unique().sort()
    ranks = pl.DataFrame({"value": values}).with_row_index("rank")
    numbers = pl.DataFrame({"value": text}).join(
        ranks, on="value", how="left", maintain_order="left"
    )["rank"]
    return Encoded(
        numbers=_filled(numbers.cast(pl.Int64)),
        valid=valid,
        decode=lambda found: _looked_up(values, found, column.dtype),
        numeric=False,
    )


def _looked_up(values: pl.Series, found: pl.Series, dtype: pl.DataType) -> pl.Series:
    return values.gather(found).cast(dtype).alias(found.name)


def _filled(numbers: pl.Series) -> Chunks:
    return chunks_of(numbers.fill_null(0) if numbers.null_count() else numbers)
