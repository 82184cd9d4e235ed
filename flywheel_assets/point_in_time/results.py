"""What the aggregations of one channel share: columns, counts, and how figures become series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.point_in_time.channel import Channel
from flywheel_assets.point_in_time.encode import Decode
from flywheel_assets.point_in_time.layout import Ints
from flywheel_assets.point_in_time.memory import zeros

Asked = Sequence[tuple[Aggregation, int]]
"""Aggregations, and which of the channel's windows is each one's."""


@dataclass(frozen=True)
class Column:
    """A column in the order of its channel's rows."""

    numbers: NDArray[Any]
    decode: Decode
    numeric: bool


@dataclass
class Computation:
    """The channel and the columns of some aggregations, and what one leaves for the others."""

    ready: Channel
    columns: Mapping[str, Column]
    _counts: Sequence[Ints] | None = field(default=None, init=False)
    _spare: list[Ints] = field(default_factory=list, init=False)
    _bitmaps: dict[tuple[int, int], Any] = field(default_factory=dict, init=False)

    @property
    def counts(self) -> Sequence[Ints]:
        """How many rows each window holds, n_windows times (n_queries,), in the spine's order."""
        if self._counts is None:
            ready = self.ready
            found = np.subtract(ready.high, ready.low, dtype=np.int64)
            if not ready.steady:
                from flywheel_assets.point_in_time.kernels.families import Counts

                none = np.empty((0, 0), np.int64)
                found[:] = 0
                self._walk(Counts, ready, ready.rows.event_time, found, none, none)
            self._counts = self.restored(found)
        return self._counts

    def fold(
        self, family: Any, numbers: NDArray[Any], windows: Sequence[int], *results: NDArray[Any]
    ) -> None:
        """Fold some of the windows into the family's two results, (n_windows, n_queries).

        A result that nobody asks for is empty. Where nobody has counted the rows of the windows
        before, that is done on the way.
        """
        ready = self.ready.some(windows)
        count = self._counts is None and not ready.steady and ready is self.ready
        counts = zeros(ready.low.shape if count else (0, 0), np.int64)
        self._walk(family, ready, numbers, counts, *results)
        if count:
            self._counts = self.restored(counts)

    def _walk(
        self, family: Any, ready: Channel, numbers: NDArray[Any], *results: NDArray[Any]
    ) -> None:
        from flywheel_assets.point_in_time.kernels.families import FAMILIES
        from flywheel_assets.point_in_time.kernels.fold import fold

        zero = numbers.dtype.type(0)
        ready.spread(fold, family.FAMILY, FAMILIES[family].width, numbers, zero, *results)

    def restored(self, found: Iterable[NDArray[Any]]) -> list[NDArray[Any]]:
        """Bring results, each (n_queries,) of 8 bytes, from the loops' order into the spine's.

        Their memory is taken over: what one of them leaves is where the next one goes. So loops
        write one place after another, and no new memory is touched.
        """
        from flywheel_assets.point_in_time.kernels.order import scatter
        from flywheel_assets.point_in_time.kernels.threads import rows_in_parts, spread

        results, target = list(found), self.ready.queries.target

        def restore(first: int, last: int) -> None:
            spare = self._spare.pop() if self._spare else zeros(target.size, np.int64)
            for k in range(first, last):
                before = results[k].view(np.int64)
                scatter(0, target.size, before, target, spare)
                results[k], spare = spare.view(results[k].dtype), before
            self._spare.append(spare)

        spread(restore, rows_in_parts(len(results), target.size))
        return results

    def series(
        self, name: str, numbers: NDArray[Any], window: int, decode: Decode, least: int = 1
    ) -> pl.Series:
        """Make a column, null where the window holds fewer than `least` rows, without a copy."""
        import pyarrow as pa

        if least and (window, least) not in self._bitmaps:
            packed = np.packbits(self.counts[window] >= least, bitorder="little")
            self._bitmaps[window, least] = pa.py_buffer(packed)
        kind = pa.from_numpy_dtype(numbers.dtype)
        buffers = [self._bitmaps.get((window, least)), pa.py_buffer(numbers)]
        array = pa.Array.from_buffers(kind, numbers.size, buffers)
        return decode(pl.Series(name, pl.from_arrow(array)))


def same(found: pl.Series) -> pl.Series:
    """Leave numbers as they are."""
    return found


def nested(asked: Asked) -> list[int]:
    """List the windows that are asked for, from the shortest to the longest."""
    return sorted({w for _, w in asked})
