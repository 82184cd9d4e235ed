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


def arrange(codes: NDArray[np.int32], n_entities: int, *times: Ints) -> Sorted:
    """Sort rows by code, then by one time or two; equal rows keep their order."""
    from flywheel_assets.point_in_time.kernels import order
    from flywheel_assets.point_in_time.kernels.threads import (
        entities_in_parts,
        rows_in_parts,
        spread,
    )

    parts = rows_in_parts(codes.size)
    # One row of counts for each part, so that parts are placed side by side.
    counts = {part: np.zeros(n_entities, np.int32) for part in parts}
    spread(lambda a, b: order.count(a, b, codes, counts[a, b]), parts)
    starts = np.zeros(n_entities + 1, np.int64)
    np.cumsum(sum(counts.values()), out=starts[1:])
    at = starts[:-1].astype(np.int32)
    for part in parts:
        counts[part], at = at, at + counts[part]
    slot = np.empty(codes.size, np.int32)
    spread(lambda a, b: order.place(a, b, codes, counts[a, b], slot), parts)
    by_code = Sorted(starts, slot)
    arranged = [by_code.arrange(t) for t in times]
    rows = np.empty(by_code.n_rows, np.int32)
    spread(order.fix, entities_in_parts(starts), starts, arranged[0], arranged[-1], rows)
    where = np.empty_like(rows)
    spread(order.invert, rows_in_parts(rows.size), rows, where)
    spread(order.follow, parts, slot, where)
    return by_code


def codes_of(
    events: pl.DataFrame, spine: pl.DataFrame, by: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """Give the entities of the spine numbers; events of others get -1.

    Returns
    -------
    events, spine : ndarray of int32
    n_entities : int

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

    def number(frame: pl.DataFrame, *, nulls_equal: bool) -> NDArray[np.int32]:
        joined = frame.select(by).join(
            keys, on=list(by), how="left", maintain_order="left", nulls_equal=nulls_equal
        )
        return joined["_code"].cast(pl.Int32).fill_null(-1).to_numpy()

    return number(events, nulls_equal=False), number(spine, nulls_equal=True), keys.height


def _dense(
    events: pl.DataFrame, spine: pl.DataFrame, by: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int32], int] | None:
    """Take the key itself for the number, where it is one integer of a narrow range."""
    key = by[0]
    if len(by) > 1 or not spine.schema[key].is_integer() or spine[key].null_count():
        return None
    least, most = spine[key].min(), spine[key].max()
    if not isinstance(least, int) or not isinstance(most, int):
        return None
    size = most - least + 1
    if size > 4 * spine.height + events.height // 4 or size > np.iinfo(np.int32).max:
        return None
    number = (pl.col(key).cast(pl.Int64) - least).cast(pl.Int32, strict=False)
    known = pl.when(pl.col(key).is_between(least, most)).then(number).otherwise(-1)
    return (
        events.select(known.fill_null(-1)).to_series().to_numpy(),
        spine.select(number).to_series().to_numpy(),
        size,
    )
