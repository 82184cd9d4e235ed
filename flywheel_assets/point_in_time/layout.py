"""Events and spine side by side: entities as codes, rows and queries sorted by entity and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.errors import ColumnsError, nearest
from flywheel_assets.point_in_time.chunks import Chunks, chunks_of, flat, side_by_side, size
from flywheel_assets.point_in_time.memory import zeros

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sorted:
    """Rows sorted by entity, then by time.

    Two steps lead there: each row has a slot among those of its entity, in order of arrival, and
    each place the slot whose row it takes. The second step stays within an entity, and is cheap.

    Parameters
    ----------
    starts : ndarray of int64, (n_entities + 1,)
        Where each entity's rows begin.
    slot : ndarray of int32, (n_input_rows,)
        -1 for a row whose entity is not asked for.
    taken : ndarray of int32, (n_rows,)
        Which slot's row stands in each place.
    """

    starts: Ints
    slot: NDArray[np.int32]
    taken: NDArray[np.int32]

    def arrange(self, values: Chunks) -> NDArray[Any]:
        """Bring a column, (n_input_rows,), into this order, (n_rows,)."""
        return self._reordered(_scattered(values, self.slot, self.taken.size))

    def find(self, rows: Ints) -> tuple[Ints, Ints]:
        """Find where a few input rows stand, each given once; those that are left out nowhere.

        Returns
        -------
        places : ndarray of int64, (n_found,)
            In order.
        which : ndarray of int64, (n_found,)
            Whose places they are, as positions in `rows`.
        """
        slots = self.slot[rows]
        which = np.argsort(slots)[np.count_nonzero(slots < 0) :]
        marked = zeros(self.taken.size, np.bool_)
        marked[slots[which]] = True
        places = np.flatnonzero(self._reordered(marked))
        return places, which[np.searchsorted(slots[which], self.taken[places])]

    def _reordered(self, slotted: NDArray[Any]) -> NDArray[Any]:
        from flywheel_assets.point_in_time.kernels.order import reorder
        from flywheel_assets.point_in_time.kernels.threads import entities_in_parts, spread

        spread(reorder, entities_in_parts(self.starts), self.starts, self.taken, slotted)
        return slotted


def _scattered(values: Chunks, slot: NDArray[np.int32], n_rows: int) -> NDArray[Any]:
    from flywheel_assets.point_in_time.kernels.order import scatter

    out = zeros(n_rows, values[0].dtype)
    side_by_side(
        values,
        lambda _, first, some: scatter(0, some.size, some, slot[first : first + some.size], out),
    )
    return out


@dataclass(frozen=True)
class Codes:
    """Which entity each row is of.

    Parameters
    ----------
    numbers : chunks of int, (n_rows,)
        An entity's number is this less `least`; where that is not from 0 on and below
        `n_entities`, the row is of none.
    """

    numbers: Chunks
    least: int
    n_entities: int

    def without(self, rows: Ints) -> "Codes":
        """Let some rows be of no entity."""
        if not rows.size:
            return self
        numbers = flat(self.numbers).astype(np.int64)
        numbers[rows] = self.least - 1
        return Codes([numbers], self.least, self.n_entities)


def arrange(codes: Codes, *times: Chunks) -> tuple[Sorted, list[Ints]]:
    """Sort rows by entity, then by one time or two; equal rows keep their order.

    Returns
    -------
    Sorted
    times : list of ndarray of int64, (n_rows,)
        In that order.

    Raises
    ------
    ColumnsError
        For more rows than 32 bits can count.
    """
    from flywheel_assets.point_in_time.kernels import order
    from flywheel_assets.point_in_time.kernels.threads import cores, entities_in_parts, spread

    numbers, least, n_rows = codes.numbers, codes.least, size(codes.numbers)
    if n_rows > np.iinfo(np.int32).max:
        raise ColumnsError(
            expected="fewer than 2^31 rows at once",
            found=str(n_rows),
            remedy="part them by entity, and compute one part after another",
        )
    # One row of counts for each core's share, so that shares are placed side by side.
    counts = zeros((cores(), codes.n_entities), np.int32)
    side_by_side(numbers, lambda k, _, some: order.count(0, some.size, some, least, counts[k]))
    starts = np.zeros(codes.n_entities + 1, np.int64)
    np.cumsum(counts.sum(axis=0), out=starts[1:])
    at = starts[:-1].astype(np.int32)
    for k in range(len(counts)):
        counts[k], at = at, at + counts[k]
    slot = zeros(n_rows, np.int32)
    side_by_side(
        numbers,
        lambda k, first, some: order.place(
            0, some.size, some, least, counts[k], slot[first : first + some.size]
        ),
    )
    arranged = [_scattered(time, slot, int(starts[-1])) for time in times]
    taken = zeros(arranged[0].size, np.int32)
    spread(order.sort, entities_in_parts(starts), starts, arranged[0], arranged[-1], taken)
    return Sorted(starts, slot, taken), arranged


def codes_of(events: pl.DataFrame, spine: pl.DataFrame, by: Sequence[str]) -> tuple[Codes, Codes]:
    """Tell the entities of the spine apart; events of others are of none.

    Returns
    -------
    events, spine : Codes

    Raises
    ------
    ColumnsError
        For keys whose types differ.
    """
    for key in by or [""]:
        if key not in spine.columns:
            raise ColumnsError(
                expected="a spine with the key columns, one or more",
                found=", ".join(spine.columns),
                remedy=nearest(key, spine.columns),
            )
        if events.schema[key] != spine.schema[key]:
            raise ColumnsError(
                expected=f"key {key!r} of the same type in events and spine",
                found=f"{events.schema[key]} and {spine.schema[key]}",
                remedy=f"cast one of them, for example pl.col({key!r}).cast(pl.String)",
            )
    dense = _dense(events, spine, by)
    if dense is not None:
        return dense
    code = "code"
    while code in by:
        code += "_"
    keys = spine.select(by).unique(maintain_order=True).with_row_index(code)

    def number(frame: pl.DataFrame, *, nulls_equal: bool) -> Codes:
        joined = frame.select(by).join(
            keys, on=list(by), how="left", maintain_order="left", nulls_equal=nulls_equal
        )
        numbers = joined[code].cast(pl.Int32).fill_null(-1)
        return Codes(chunks_of(numbers), 0, keys.height)

    return number(events, nulls_equal=False), number(spine, nulls_equal=True)


def _dense(
    events: pl.DataFrame, spine: pl.DataFrame, by: Sequence[str]
) -> tuple[Codes, Codes] | None:
    """Take the key itself for the number, where it is one integer of a narrow range."""
    key = by[0]
    if len(by) > 1 or not spine.schema[key].is_signed_integer() or spine[key].null_count():
        return None
    least, most = spine[key].min(), spine[key].max()
    if not isinstance(least, int) or not isinstance(most, int):
        return None
    n_entities = most - least + 1
    if n_entities > min(4 * spine.height + events.height // 4, np.iinfo(np.int32).max):
        return None
    of_none = events[key].fill_null(least - 1) if events[key].null_count() else events[key]
    return (
        Codes(chunks_of(of_none), least, n_entities),
        Codes(chunks_of(spine[key]), least, n_entities),
    )
