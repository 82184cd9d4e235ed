"""The rows that a group of aggregations is about, ready for the compiled loops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel_assets.point_in_time.layout import Ints
from flywheel_assets.point_in_time.memory import zeros

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Queries:
    """The spine, sorted by entity and time.

    Parameters
    ----------
    starts : ndarray of int64, (n_entities + 1,)
    upper : ndarray of int64, (n_queries,)
        Rows from this moment on are not in the window, and what is known from it on is not known.
    target : ndarray of int32, (n_queries,)
        Where in the spine each query stands.
    """

    starts: Ints
    upper: Ints
    target: NDArray[np.int32]


class Begin(NamedTuple):
    """Where a window begins: so long before its upper edge, rounded down to a multiple of a step.

    Parameters
    ----------
    back, step : int
        Microseconds.
    """

    back: int
    step: int = 1


@dataclass(frozen=True)
class Rows:
    """Rows sorted by entity and time, with when each is visible.

    Parameters
    ----------
    starts : ndarray of int64, (n_entities + 1,)
    event_time, visible_from : ndarray of int64, (n_rows,)
        The same array where availability is off.
    ending : ndarray of int64, (n_ending,)
        Which rows do not stay visible, in order.
    until : ndarray of int64, (n_ending,)
        The last moments at which they are.
    """

    starts: Ints
    event_time: Ints
    visible_from: Ints
    ending: Ints
    until: Ints

    def where(self, keep: NDArray[np.bool_]) -> "Rows":
        """Keep some of the rows, (n_rows,)."""
        kept = np.concatenate([[0], np.cumsum(keep)])
        same = self.visible_from is self.event_time
        event_time = self.event_time[keep]
        ending = keep[self.ending]
        return Rows(
            starts=kept[self.starts],
            event_time=event_time,
            visible_from=event_time if same else self.visible_from[keep],
            ending=kept[self.ending[ending]],
            until=self.until[ending],
        )


@dataclass(frozen=True)
class Channel:
    """Rows, and for each window and query which of them it covers.

    ``low``, (n_queries, n_windows), and ``high``, (n_queries,), are edges in sorted rows, windows
    from the shortest to the longest. Rows outside ``regular`` come and go as ``change_row`` says;
    where all are regular it is empty, and a window's rows are just ``[low, high)``. All that is
    left of the rows' visibility is in there: `rows` are without.
    """

    rows: Rows
    queries: Queries
    low: NDArray[np.int32]
    high: NDArray[np.int32]
    regular: NDArray[np.bool_]
    change_starts: Ints
    change_time: Ints
    change_row: NDArray[np.int32]

    @property
    def steady(self) -> bool:
        """Whether rows become visible in their order and stay."""
        return self.change_row.size == 0 and self.regular.size == 0

    def some(self, windows: Sequence[int]) -> "Channel":
        """Keep some of the windows, in the same order."""
        every = len(windows) == self.low.shape[1]
        return (
            self if every else replace(self, low=np.ascontiguousarray(self.low[:, list(windows)]))
        )

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Runs of entities of about equal work."""
        from flywheel_assets.point_in_time.kernels.threads import entities_in_parts

        return entities_in_parts(self.rows.starts, self.queries.starts)

    def spread(self, loop: Callable[..., None], *arguments: Any) -> None:
        """Run a compiled loop over all entities; what every such loop takes comes first."""
        from flywheel_assets.point_in_time.kernels.threads import spread

        spread(
            loop,
            self.parts,
            self.rows.starts,
            self.queries.starts,
            self.queries.upper,
            self.queries.target,
            self.low,
            self.high,
            self.regular,
            self.change_starts,
            self.change_time,
            self.change_row,
            *arguments,
        )


def channel(rows: Rows, queries: Queries, begins: Sequence[Begin]) -> Channel:
    """Find which rows each window covers.

    Parameters
    ----------
    begins : sequence of Begin, (n_windows,)
        Where each window begins, the longest last.
    """
    from flywheel_assets.point_in_time.kernels import order, ranges
    from flywheel_assets.point_in_time.kernels.threads import entities_in_parts, spread

    parts = entities_in_parts(rows.starts, queries.starts)
    n_entities = rows.starts.size - 1
    frontier = rows.event_time
    regular = np.empty(0, np.bool_)
    change_starts = np.zeros(n_entities + 1, np.int64)
    change_time, change_row = _NONE, np.empty(0, np.int32)
    if rows.visible_from is not rows.event_time or rows.ending.size:
        frontier = zeros(rows.event_time.size, np.int64)
        regular = zeros(frontier.size, np.bool_)
        moments = (queries.starts, queries.upper)
        given: Any = (rows.starts, *moments, rows.visible_from, rows.ending, rows.until)
        spread(ranges.frontiers, parts, *given, frontier, regular, change_starts)
        change_starts = np.cumsum(change_starts)
        change_time = zeros(int(change_starts[-1]), np.int64)
        change_row = zeros(change_time.size, np.int32)
        spread(ranges.changes, parts, *given, regular, change_starts, change_time, change_row)
        taken = zeros(change_row.size, np.int32)
        spread(order.sort, parts, change_starts, change_time, change_time, taken)
        spread(order.reorder, parts, change_starts, taken, change_row)
        if regular.all():
            regular = np.empty(0, np.bool_)
    high = zeros(queries.upper.size, np.int32)
    spread(ranges.highs, parts, rows.starts, queries.starts, frontier, queries.upper, high)
    low = zeros((high.size, len(begins)), np.int32)
    backs, steps = (np.array(given, np.int64) for given in zip(*begins, strict=True))
    given = (rows.starts, queries.starts, rows.event_time, queries.upper, backs, steps)
    spread(ranges.lows, parts, *given, high, low)
    return Channel(
        rows=replace(rows, visible_from=rows.event_time, ending=_NONE, until=_NONE),
        queries=queries,
        low=low,
        high=high,
        regular=regular,
        change_starts=change_starts,
        change_time=change_time,
        change_row=change_row,
    )
