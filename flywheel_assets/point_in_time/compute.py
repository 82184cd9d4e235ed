"""One column of results for each aggregation, from the folds and lists that they share."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.errors import ColumnsError
from flywheel_assets.point_in_time.channel import Channel
from flywheel_assets.point_in_time.folds import FOLDED, OF_NUMBERS, folds
from flywheel_assets.point_in_time.lists import listed
from flywheel_assets.point_in_time.memory import zeros
from flywheel_assets.point_in_time.results import Asked, Column, Computation, nested, same

_PLACES = ("first", "last")


def compute(
    group: Sequence[Aggregation],
    windows: Sequence[int],
    ready: Channel,
    columns: Mapping[str, Column],
) -> dict[str, pl.Series]:
    """Compute aggregations over the same rows.

    Parameters
    ----------
    windows : sequence of int
        For each aggregation, which of the channel's windows is its.

    Raises
    ------
    ColumnsError
        For sums of what is no number, and sums of integers that do not fit into 64 bits.
    """
    work = Computation(ready, columns)
    _check_numeric(group, columns)
    found: dict[str, pl.Series] = {}
    pairs = list(zip(group, windows, strict=True))
    for functions, run in ((FOLDED, folds), (_PLACES, _places), (("n_unique",), _distinct)):
        mine = [(a, w) for a, w in pairs if a.function in functions and a.by is None]
        for column in dict.fromkeys(a.column for a, _ in mine if a.column is not None):
            found |= run(work, column, [(a, w) for a, w in mine if a.column == column])
    for a, w in pairs:
        if a.function == "count" and a.by is None:
            found[a.name] = work.series(a.name, work.counts[w], w, same, least=0)
        elif a.name not in found:
            found[a.name] = listed(a, ready, w, work.counts[w], columns)
    return found


def _check_numeric(group: Sequence[Aggregation], columns: Mapping[str, Column]) -> None:
    for a in group:
        sums = a.function in OF_NUMBERS or a.function == "quantile"
        if sums and a.column is not None and not columns[a.column].numeric:
            raise ColumnsError(
                expected=f"a column of numbers for {a.function} in {a.name!r}",
                found=f"{a.column!r}, which holds none",
                remedy="cast it, or use min, max, first, last, n_unique, mode or count",
            )


def _distinct(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    from flywheel_assets.point_in_time.kernels.distinct import distinct

    ready, windows, numbers = work.ready, nested(asked), work.columns[column].numbers
    counts = zeros((ready.high.size, len(windows)), np.int64)
    floats = numbers.dtype == np.float64
    ready.some(windows).spread(distinct, numbers.view(np.int64), floats, counts)
    found = dict(zip(windows, work.columns_of(counts), strict=True))
    return {a.name: work.series(a.name, found[w], w, same, least=0) for a, w in asked}


def _places(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    """Find the first and the last visible row of each window, and their values."""
    from flywheel_assets.point_in_time.kernels.ends import ends

    ready, windows, given = work.ready, nested(asked), work.columns[column]
    wanted = [f for f in _PLACES if any(a.function == f for a, _ in asked)]
    shape = (ready.high.size, len(windows))
    results = [zeros(shape if f in wanted else (0, 0), given.numbers.dtype) for f in _PLACES]
    ready.some(windows).spread(ends, given.numbers, *results)
    names = [(f, w) for f in wanted for w in windows]
    rows = work.columns_of(*results)
    found = dict(zip(names, rows, strict=True))
    return {a.name: work.series(a.name, found[a.function, w], w, given.decode) for a, w in asked}
