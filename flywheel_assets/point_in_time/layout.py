"""Events and spine side by side: entities as codes, rows and queries sorted by entity and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.errors import ColumnsError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sorted:
    """Rows sorted by entity, then by time.

    Parameters
    ----------
    starts : ndarray of int64, (n_entities + 1,)
        Where each entity's rows begin.
    slot : ndarray of int32, (n_input_rows,)
        Where each input row went; -1 where its entity is not asked for.
    """

    starts: Ints
    slot: NDArray[np.int32]

    @property
    def n_rows(self) -> int:
        """How many rows were kept."""
        return int(self.starts[-1])

    def arrange(self, values: NDArray[Any]) -> NDArray[Any]:
        """Bring a column, (n_input_rows,), into this order, (n_rows,)."""
        from flywheel_assets.point_in_time.kernels.order import scatter
        from flywheel_assets.point_in_time.kernels.threads import rows_in_parts, spread

        out = np.empty(self.n_rows, values.dtype)
        spread(scatter, rows_in_parts(values.size), values, self.slot, out)
        return out


@dataclass(frozen=True)
class Codes:
    """Which entity each row is of.

    Parameters
    ----------
    numbers : ndarray of int, (n_rows,)
        An entity's number is this less `least`; where that is not from 0 on and below
        `n_entities`, the row is of none.
    """

    numbers: NDArray[Any]
    least: int
    n_entities: int

    def without(self, rows: Ints) -> "Codes":
        """Let some rows be of no entity."""
        if not rows.size:
            return self
        numbers = self.numbers.astype(np.int64)
        numbers[rows] = self.least - 1
        return Codes(numbers, self.least, self.n_entities)


def arrange(codes: Codes, *times: Ints) -> Sorted:
    """Sort rows by entity, then by one time or two; equal rows keep their order.

    Raises
    ------
    ColumnsError
        For more rows than 32 bits can count.
    """
    from flywheel_assets.point_in_time.kernels import order
    from flywheel_assets.point_in_time.kernels.threads import (
        entities_in_parts,
        rows_in_parts,
        spread,
    )

    numbers, least = codes.numbers, codes.least
    if numbers.size > np.iinfo(np.int32).max:
        raise ColumnsError(
            expected="fewer than 2^31 rows at once",
            found=str(numbers.size),
            remedy="part them by entity, and compute one part after another",
        )
    parts = rows_in_parts(numbers.size)
    # One row of counts for each part, so that parts are placed side by side.
    counts = {part: np.zeros(codes.n_entities, np.int32) for part in parts}
    spread(lambda a, b: order.count(a, b, numbers, least, counts[a, b]), parts)
    starts = np.zeros(codes.n_entities + 1, np.int64)
    np.cumsum(sum(counts.values()), out=starts[1:])
    at = starts[:-1].astype(np.int32)
    for part in parts:
        counts[part], at = at, at + counts[part]
    slot = np.empty(numbers.size, np.int32)
    spread(lambda a, b: order.place(a, b, numbers, least, counts[a, b], slot), parts)
    by_code = Sorted(starts, slot)
    first = by_code.arrange(times[0])
    second = first if times[-1] is times[0] else by_code.arrange(times[-1])
    rows = np.empty(by_code.n_rows, np.int32)
    spread(order.fix, entities_in_parts(starts), starts, first, second, rows)
    where = np.empty_like(rows)
    spread(order.invert, rows_in_parts(rows.size), rows, where)
    spread(order.follow, parts, slot, where)
    return by_code


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
    for key in by:
        if events.schema[key] != spine.schema[key]:
            raise ColumnsError(
                expected=f"key {key!r} of the same type in events and spine",
                found=f"{events.schema[key]} and {spine.schema[key]}",
                remedy=f"cast one of them, for example pl.col({key!r}).cast(pl.String)",
            )
    dense = _dense(events, spine, by)
    if dense is not None:
        return dense
    keys = spine.select(by).unique(maintain_order=True).with_row_index("_code")

    def number(frame: pl.DataFrame, *, nulls_equal: bool) -> Codes:
        joined = frame.select(by).join(
            keys, on=list(by), how="left", maintain_order="left", nulls_equal=nulls_equal
        )
        numbers = joined["_code"].cast(pl.Int32).fill_null(-1).to_numpy()
        return Codes(numbers, 0, keys.height)

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
    size = most - least + 1
    if size > 4 * spine.height + events.height // 4 or size > np.iinfo(np.int32).max:
        return None
    of_none = events[key].fill_null(least - 1) if events[key].null_count() else events[key]
    return (
        Codes(of_none.rechunk().to_numpy(), least, size),
        Codes(spine[key].rechunk().to_numpy(), least, size),
    )
