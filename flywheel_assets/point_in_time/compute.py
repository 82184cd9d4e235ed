"""One column of results for each aggregation, from the folds and lists that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.errors import ColumnsError
from flywheel_assets.point_in_time.channel import Channel
from flywheel_assets.point_in_time.encode import Decode
from flywheel_assets.point_in_time.layout import Ints
from flywheel_assets.point_in_time.lists import listed

_SUMS = frozenset({"sum", "mean"})
_SQUARES = frozenset({"variance", "variance_pop", "stddev", "stddev_pop"})
_EXTREMES = frozenset({"min", "max"})
_PLACES = frozenset({"first", "last"})


@dataclass(frozen=True)
class Column:
    """A column in the order of its channel's rows."""

    numbers: NDArray[Any]
    decode: Decode
    numeric: bool


@dataclass
class Computation:
    """The results of the aggregations of one channel.

    ``counts``, (n_windows, n_queries), int32, is how many rows each window holds, in the order of
    the spine; filled by the first fold over all windows, or when asked for.
    """

    ready: Channel
    columns: Mapping[str, Column]
    _counts: NDArray[np.int32] | None = field(default=None, init=False)
    _bitmaps: dict[tuple[int, int], Any] = field(default_factory=dict, init=False)

    @property
    def counts(self) -> NDArray[np.int32]:
        """How many rows each window holds."""
        if self._counts is None:
            found = np.zeros(self.ready.low.shape, np.int32)
            if self.ready.steady:
                found[:, self.ready.queries.target] = self.ready.high - self.ready.low
            else:
                from flywheel_assets.point_in_time.kernels.families import Counts

                self._fold(Counts, self.ready, self.ready.rows.event_time, found, *_nothing())
            self._counts = found
        return self._counts

    def fold(
        self, family: Any, numbers: NDArray[Any], windows: Sequence[int], *dtypes: Any
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Fold some of the windows.

        Parameters
        ----------
        dtypes : dtype or None
            Of the family's two results, (n_windows, n_queries); None where one is not asked for.
        """
        shape = (len(windows), self.ready.high.size)
        one, two = (np.zeros(shape if d else (0, 0), d or numbers.dtype) for d in dtypes)
        counts = np.empty((0, 0), np.int32)
        if self._counts is None and len(windows) == self.ready.low.shape[0]:
            self._counts = counts = np.zeros(shape, np.int32)
        self._fold(family, self.ready.some(windows), numbers, counts, one, two)
        return one, two

    def _fold(
        self, family: Any, ready: Channel, numbers: NDArray[Any], *results: NDArray[Any]
    ) -> None:
        from flywheel_assets.point_in_time.kernels.families import FAMILIES
        from flywheel_assets.point_in_time.kernels.fold import fold

        zero = numbers.dtype.type(0)
        ready.spread(fold, family.FAMILY, FAMILIES[family].width, numbers, zero, *results)

    def series(
        self, name: str, numbers: NDArray[Any], window: int, decode: Decode, least: int = 1
    ) -> pl.Series:
        """Make a column, null where the window holds fewer than `least` rows, without a copy."""
        import pyarrow as pa

        if (window, least) not in self._bitmaps:
            packed = np.packbits(self.counts[window] >= least, bitorder="little")
            self._bitmaps[window, least] = pa.py_buffer(packed)
        kind = pa.from_numpy_dtype(numbers.dtype)
        buffers = [self._bitmaps[window, least], pa.py_buffer(numbers)]
        array = pa.Array.from_buffers(kind, numbers.size, buffers)
        return decode(pl.Series(name, pl.from_arrow(array)))


def _nothing() -> tuple[Ints, Ints]:
    return np.empty((0, 0), np.int64), np.empty((0, 0), np.int64)


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
        For sums of what is no number.
    """
    work = Computation(ready, columns)
    _check_numeric(group, columns)
    found: dict[str, pl.Series] = {}
    pairs = list(zip(group, windows, strict=True))
    for functions, run in (
        (_SUMS, _sums),
        (_SQUARES, _squares),
        (_EXTREMES, _extremes),
        (_PLACES, _places),
        (frozenset({"n_unique"}), _distinct),
    ):
        mine = [(a, w) for a, w in pairs if a.function in functions and a.by is None]
        for column in dict.fromkeys(a.column for a, _ in mine if a.column is not None):
            found |= run(work, column, [(a, w) for a, w in mine if a.column == column])
    for a, w in pairs:
        if a.function == "count" and a.by is None:
            found[a.name] = pl.Series(a.name, work.counts[w].astype(np.int64))
        elif a.name not in found:
            found[a.name] = listed(a, ready, w, work.counts[w], columns)
    return found


Asked = list[tuple[Aggregation, int]]


def _check_numeric(group: Sequence[Aggregation], columns: Mapping[str, Column]) -> None:
    for a in group:
        sums = a.function in _SUMS | _SQUARES | {"quantile"}
        if sums and a.column is not None and not columns[a.column].numeric:
            raise ColumnsError(
                expected=f"a column of numbers for {a.function} in {a.name!r}",
                found=f"{a.column!r}, which holds none",
                remedy="cast it, or use min, max, first, last, n_unique, mode or count",
            )


def _some(asked: Asked) -> tuple[list[int], dict[int, int]]:
    """List the windows that are asked for, and where each stands in that list."""
    windows = sorted({w for _, w in asked})
    return windows, {w: i for i, w in enumerate(windows)}


def _same(found: pl.Series) -> pl.Series:
    return found


def _sums(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    from flywheel_assets.point_in_time.kernels.families import Sums

    windows, place = _some(asked)
    functions = {a.function for a, _ in asked}
    numbers = work.columns[column].numbers
    _check_overflow(column, numbers, work.ready.rows.starts)
    totals, means = work.fold(
        Sums,
        numbers,
        windows,
        numbers.dtype if "sum" in functions else None,
        np.float64 if "mean" in functions else None,
    )
    return {
        a.name: pl.Series(a.name, totals[place[w]])
        if a.function == "sum"
        else work.series(a.name, means[place[w]], w, _same)
        for a, w in asked
    }


def _check_overflow(column: str, numbers: NDArray[Any], starts: Ints) -> None:
    if numbers.dtype != np.int64 or not numbers.size:
        return
    most = max(abs(int(numbers.min())), abs(int(numbers.max())))
    if most * numbers.size < 2**63:
        return
    # Only now, entity by entity; the margin is what floats may be off by.
    running = np.concatenate([[0.0], np.cumsum(np.abs(numbers.astype(np.float64)))])
    if np.diff(running[starts]).max() >= 2.0**63 * (1 - 1e-6):
        raise ColumnsError(
            expected=f"integers in {column!r} whose sum fits into 64 bits",
            found=f"values up to {most}",
            remedy=f"sum pl.col({column!r}).cast(pl.Float64) instead",
        )


def _squares(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    from flywheel_assets.point_in_time.kernels.families import Squares

    windows, place = _some(asked)
    of_all = {a.function.endswith("_pop") for a, _ in asked}
    sample, population = work.fold(
        Squares,
        work.columns[column].numbers.astype(np.float64, copy=False),
        windows,
        np.float64 if False in of_all else None,
        np.float64 if True in of_all else None,
    )
    found = {}
    for a, w in asked:
        whole = a.function.endswith("_pop")
        result = (population if whole else sample)[place[w]]
        if a.function.startswith("stddev"):
            result = np.sqrt(result)
        found[a.name] = work.series(a.name, result, w, _same, least=1 if whole else 2)
    return found


def _extremes(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    from flywheel_assets.point_in_time.kernels.families import Extremes

    windows, place = _some(asked)
    functions = {a.function for a, _ in asked}
    given = work.columns[column]
    dtype = given.numbers.dtype
    results = work.fold(
        Extremes,
        given.numbers,
        windows,
        *(dtype if f in functions else None for f in ("min", "max")),
    )
    return {
        a.name: work.series(a.name, results[a.function == "max"][place[w]], w, given.decode)
        for a, w in asked
    }


def _distinct(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    from flywheel_assets.point_in_time.kernels.distinct import distinct, number
    from flywheel_assets.point_in_time.kernels.threads import spread

    windows, place = _some(asked)
    ready, numbers = work.ready, work.columns[column].numbers
    codes = np.empty(numbers.size, np.int32)
    floats = numbers.dtype == np.float64
    spread(number, ready.parts, ready.rows.starts, numbers.view(np.int64), floats, codes)
    counts = np.zeros((len(windows), ready.high.size), np.int64)
    ready.some(windows).spread(distinct, codes, counts)
    return {a.name: pl.Series(a.name, counts[place[w]]) for a, w in asked}


def _places(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    """Find the first and the last visible row of each window, and their values."""
    from flywheel_assets.point_in_time.kernels.ends import ends

    ready, (windows, place) = work.ready, _some(asked)
    given = work.columns[column]
    functions = {a.function for a, _ in asked}
    shape = (len(windows), ready.high.size)
    results = [
        np.zeros(shape if f in functions else (0, 0), given.numbers.dtype)
        for f in ("first", "last")
    ]
    ready.some(windows).spread(ends, given.numbers, *results)
    return {
        a.name: work.series(a.name, results[a.function == "last"][place[w]], w, given.decode)
        for a, w in asked
    }
