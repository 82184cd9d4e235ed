"""What needs all rows of a window at once: lists, quantiles, the most frequent, secondary keys."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.errors import ColumnsError
from flywheel_assets.point_in_time.channel import Channel
from flywheel_assets.point_in_time.memory import zeros

if TYPE_CHECKING:
    from flywheel_assets.point_in_time.results import Column

_AT_ONCE = 8_000_000
"""How many rows of windows are listed at once: some hundred megabytes."""

_QUERY, _VALUE, _KEY = "query", "value", "key"


def listed(
    aggregation: Aggregation,
    ready: Channel,
    window: int,
    counts: NDArray[np.int64],
    columns: "Mapping[str, Column]",
) -> pl.Series:
    """Compute an aggregation from the rows of each window; its cost is that of listing them.

    Parameters
    ----------
    counts : ndarray of int64, (n_queries,)
        How many rows each window holds, in the order of the spine.

    Raises
    ------
    ColumnsError
        For integers whose sum does not fit into their type.
    """
    few = (
        aggregation.n
        if aggregation.function in {"first_n", "last_n"} and not aggregation.by
        else None
    )
    wanted = counts if few is None else np.minimum(counts, few)
    ends = np.cumsum(wanted, dtype=np.int64)
    parts = []
    for first, last in _batches(ends):
        rows = _list(ready, window, ends, first, last, newest=aggregation.function == "last_n")
        query = np.repeat(np.arange(first, last, dtype=np.int64), wanted[first:last])
        frame = pl.DataFrame({_QUERY: query})
        if aggregation.column is not None:
            given = columns[aggregation.column]
            frame = frame.with_columns(given.decode(pl.Series(_VALUE, given.numbers[rows])))
        if aggregation.by is not None:
            key = columns[aggregation.by]
            frame = frame.with_columns(key.decode(pl.Series(_KEY, key.numbers[rows])))
        parts.append(_summed_up(frame, aggregation))
    whole = pl.DataFrame({_QUERY: np.arange(counts.size, dtype=np.int64)})
    found = whole.join(pl.concat(parts), on=_QUERY, how="left", maintain_order="left")[_VALUE]
    if isinstance(found.dtype, pl.List):
        empty = pl.Series([[]], dtype=found.dtype)
        found = found.to_frame().select(pl.col(_VALUE).fill_null(empty)).to_series()
    return found.alias(aggregation.name)


def _batches(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Part the queries so that the rows of each part's windows fit into memory."""
    first = 0
    while first < ends.size or first == 0:
        begun = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, begun + _AT_ONCE, side="right")), first + 1)
        yield first, min(last, ends.size)
        first = last


def _list(  # noqa: PLR0913  which rows of which queries
    ready: Channel, window: int, ends: NDArray[np.int64], first: int, last: int, *, newest: bool
) -> NDArray[np.int32]:
    from flywheel_assets.point_in_time.kernels.listing import listing

    size = (ends[last - 1] if last else 0) - (ends[first - 1] if first else 0)
    out = zeros(size, np.int32)
    ready.spread(listing, window, newest, ends, first, last, out)
    return out


def _summed_up(frame: pl.DataFrame, aggregation: Aggregation) -> pl.DataFrame:
    keys = [_QUERY] if aggregation.by is None else [_QUERY, _KEY]
    if aggregation.function in {"mode", "top_k"}:
        counted = frame.group_by(*keys, _VALUE).len()
        descending = [False] * len(keys) + [True, False]
        frame = counted.sort(*keys, "len", _VALUE, descending=descending)
    elif aggregation.function == "sum":
        _check_overflow(frame, keys, aggregation)
    found = frame.group_by(keys, maintain_order=True).agg(_expression(aggregation).alias(_VALUE))
    if aggregation.by is None:
        return found
    pair = pl.struct(pl.col(_KEY).alias(aggregation.by), _VALUE).alias(_VALUE)
    ordered = found.sort(keys).select(_QUERY, pair)
    return ordered.group_by(_QUERY, maintain_order=True).agg(_VALUE)


def _check_overflow(frame: pl.DataFrame, keys: list[str], aggregation: Aggregation) -> None:
    dtype = frame.schema[_VALUE]
    if not dtype.is_integer():
        return
    value = pl.col(_VALUE)
    # Polars sums integers of 32 bits and more in their own type, around its end and on.
    sums = frame.group_by(keys).agg(value.sum(), exact=value.cast(pl.Int128).sum())
    wrong = sums.filter(value != pl.col("exact"))["exact"]
    if wrong.len():
        raise ColumnsError(
            expected=f"integers in {aggregation.column!r} whose sums by {aggregation.by!r} fit "
            f"into {dtype}",
            found=f"a sum of {wrong[0]}",
            remedy=f"sum pl.col({aggregation.column!r}).cast(pl.Float64) instead",
        )


def _expression(aggregation: Aggregation) -> pl.Expr:  # noqa: PLR0911  a case each
    value, n = pl.col(_VALUE), aggregation.n or 0
    match aggregation.function:
        case "count":
            return pl.len().cast(pl.Int64)
        case "n_unique":
            return value.n_unique().cast(pl.Int64)
        case "variance" | "stddev" | "variance_pop" | "stddev_pop" as function:
            ddof = 0 if function.endswith("_pop") else 1
            return value.var(ddof) if function.startswith("variance") else value.std(ddof)
        case "mode":
            return value.first()
        case "top_k":
            return value.head(n)
        case "quantile":
            return value.quantile(aggregation.q or 0.0, interpolation="linear")
        case "first_n":
            return value.head(n)
        case "last_n":
            return value.tail(n)
        case function:
            result: pl.Expr = getattr(value, function)()
            return result
