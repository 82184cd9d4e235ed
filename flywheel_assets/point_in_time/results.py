"""What the aggregations of one channel share: columns, counts, and how figures become series."""

from collections.abc import Mapping, Sequence
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
Tables = Mapping[Any, Sequence[NDArray[Any]]]
"""Of each family, its two tables of results, (n_queries, n_windows)."""
_NOT_ASKED = np.empty((0, 0))


@dataclass(frozen=True)
class Column:
    """A column in the order of its channel's rows."""

    numbers: NDArray[Any]
    decode: Decode
    numeric: bool


@dataclass(frozen=True)
class _Borrowed:
    """An Arrow array by its interface alone: for one of pyarrow's, Polars loads all of pyarrow."""

    array: Any

    def __arrow_c_array__(self, schema: object = None) -> Any:
        return self.array.__arrow_c_array__(schema)


@dataclass
class Computation:
    """The channel and the columns of some aggregations, and what one leaves for the others."""

    ready: Channel
    columns: Mapping[str, Column]
    _counts: Sequence[Ints] | None = field(default=None, init=False)
    _spare: Ints = field(default_factory=lambda: np.empty(0, np.int64), init=False)
    _bitmaps: dict[tuple[int, int], Any] = field(default_factory=dict, init=False)

    @property
    def counts(self) -> Sequence[Ints]:
        """How many rows each window holds, n_windows times (n_queries,), in the spine's order."""
        if self._counts is None:
            ready = self.ready
            found = zeros(ready.low.shape, np.int64)
            if ready.steady:
                found[ready.queries.target] = ready.high[:, None] - ready.low
            else:
                from flywheel_assets.point_in_time.kernels.families import Counts

                self._walk(ready, ready.rows.event_time, found, {Counts: ()})
            self._counts = self.columns_of(found)
        return self._counts

    def fold(self, families: Tables, numbers: NDArray[Any], windows: Sequence[int]) -> None:
        """Fold some of the windows into each family's two tables, (n_queries, n_windows).

        A table that nobody asks for is empty. Where nobody has counted the rows of the windows
        before, that is done on the way.
        """
        ready = self.ready.some(windows)
        count = self._counts is None and ready is self.ready
        counts = zeros(ready.low.shape if count else (0, 0), np.int64)
        self._walk(ready, numbers, counts, families)
        if count:
            self._counts = self.columns_of(counts)

    def _walk(
        self, ready: Channel, numbers: NDArray[Any], counts: NDArray[Any], families: Tables
    ) -> None:
        from flywheel_assets.point_in_time.kernels.fold import MOST, fold
        from flywheel_assets.point_in_time.kernels.together import together

        members = tuple(family.FAMILY for family in families)
        tables = [table for two in families.values() for table in two]
        tables += [_NOT_ASKED] * (MOST - len(tables))
        zero = numbers.dtype.type(0)
        ready.spread(fold, members, together(*families).width, numbers, zero, counts, *tables)

    def columns_of(self, *tables: NDArray[Any]) -> list[NDArray[Any]]:
        """Take tables of results, each (n_queries, n_windows) of 8 bytes, apart.

        Loops write a query's windows side by side, where the query stands in the spine: one look at
        memory for all of them. What a table leaves is where the next one's columns go, so that
        hardly any new memory is touched.

        Returns
        -------
        list of ndarray, (n_queries,)
            One table's windows after another's.
        """
        from flywheel_assets.point_in_time.kernels.order import turn
        from flywheel_assets.point_in_time.kernels.threads import rows_in_parts, spread

        found: list[NDArray[Any]] = []
        for table in tables:
            n_queries, n_windows = table.shape
            spare, self._spare = self._spare, table.reshape(-1).view(np.int64)
            if spare.size != table.size:
                spare = zeros(table.size, np.int64)
            columns = spare.reshape(n_windows, n_queries)
            spread(turn, rows_in_parts(n_queries, n_windows), table.view(np.int64), columns)
            found.extend(columns.view(table.dtype))
        return found

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
        return decode(pl.Series(_Borrowed(array)).alias(name))


def same(found: pl.Series) -> pl.Series:
    """Leave numbers as they are."""
    return found


def nested(asked: Asked) -> list[int]:
    """List the windows that are asked for, from the shortest to the longest."""
    return sorted({w for _, w in asked})
