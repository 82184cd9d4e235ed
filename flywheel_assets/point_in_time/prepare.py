"""From frames to sorted arrays: which columns are read, and when rows are visible."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.declare.rules import (
    CORRECTS,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    RETRACTS,
)
from flywheel_assets.errors import ColumnsError, nearest
from flywheel_assets.point_in_time.channel import Begin, Queries, Rows
from flywheel_assets.point_in_time.chunks import Chunks, chunks_of, flat
from flywheel_assets.point_in_time.conventions import Conventions
from flywheel_assets.point_in_time.layout import Codes, Ints, Sorted, arrange, codes_of
from flywheel_assets.point_in_time.visible import NEVER, replaced

_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1) // _MICROSECOND
_EVER = 2**62
_BY_PLACE = frozenset({"first", "last", "first_n", "last_n"})

Span = tuple[timedelta | None, bool]
"""A window, and whether it begins at a midnight."""


def needed(
    events: pl.DataFrame | pl.LazyFrame, aggregations: Sequence[Aggregation], by: Sequence[str]
) -> pl.DataFrame:
    """Take from the events what is read, and nothing else.

    Raises
    ------
    ColumnsError
        For a column that is not there.
    """
    lazy = events.lazy()
    there = lazy.collect_schema().names()
    read = [EVENT_TIME, *by, *(c for a in aggregations for c in a.columns)]
    read += [c for a in aggregations if a.where is not None for c in a.where.meta.root_names()]
    for column in read:
        if column not in there:
            raise ColumnsError(
                expected=f"events with a column {column!r}",
                found=", ".join(there),
                remedy=nearest(column, there),
            )
    links = [c for c in (CORRECTS, RETRACTS) if c in there and not _is_empty(events, c)]
    read += [*links, *([KNOWN_AT] if KNOWN_AT in there else [])]
    if OBSERVATION_ID in there and (links or any(a.function in _BY_PLACE for a in aggregations)):
        read.append(OBSERVATION_ID)
    return lazy.select(list(dict.fromkeys(read))).collect()


def _is_empty(events: pl.DataFrame | pl.LazyFrame, column: str) -> bool:
    """Say whether a column is known to hold nothing, without reading it."""
    return isinstance(events, pl.DataFrame) and events[column].null_count() == events.height


def microseconds(frame: pl.DataFrame, column: str) -> Chunks:
    """Read a column of times as int64 microseconds, (n_rows,).

    Raises
    ------
    ColumnsError
        For a column that is missing, holds no times, is finer than a microsecond, or has nulls.
    """
    if column not in frame.columns:
        raise ColumnsError(
            expected=f"a column of times {column!r}",
            found=", ".join(frame.columns),
            remedy=nearest(column, frame.columns),
        )
    found = frame[column]
    dtype = found.dtype
    if dtype != pl.Date and not (isinstance(dtype, pl.Datetime) and dtype.time_unit != "ns"):
        raise ColumnsError(
            expected=f"times in {column!r} as Date or Datetime in micro- or milliseconds",
            found=str(dtype),
            remedy=f"cast it, for example pl.col({column!r}).dt.cast_time_unit('us')",
        )
    if found.null_count():
        raise ColumnsError(
            expected=f"a time in every row of {column!r}",
            found=f"{found.null_count()} nulls",
            remedy="filter them out, or say when they happened",
        )
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    return chunks_of(found.cast(pl.Datetime("us", zone)).to_physical())


@dataclass
class Prepared:
    """Events and spine, sorted; and how to bring a column of the events into that order."""

    rows: Rows | None
    order: Sorted
    queries: Queries
    begins: Callable[[Span], Begin]

    def take(self, keep: NDArray[np.bool_] | None, *, last: bool) -> Rows:
        """Give the rows, or some of them; the last time, their memory goes with who takes them."""
        assert self.rows is not None  # noqa: S101  nobody takes after the last time
        rows = self.rows if keep is None else self.rows.where(keep)
        if last:
            self.rows = None
        return rows


def prepare(  # noqa: PLR0913  two frames, and what their columns mean
    table: pl.DataFrame,
    spine: pl.DataFrame,
    *,
    by: Sequence[str],
    at: str,
    conventions: Conventions,
    ties: bool,
) -> Prepared:
    """Sort events and spine by entity and time.

    Parameters
    ----------
    ties : bool
        Whether the order among rows of one moment matters.
    """
    check_zones(table, spine, at)
    moments = flat(microseconds(spine, at)) - conventions.lag // _MICROSECOND
    codes, spine_codes = codes_of(table, spine, by)
    asked, [moments] = arrange(spine_codes, [moments])
    target = asked.arrange([np.arange(moments.size, dtype=np.int32)])
    queries = Queries(
        starts=asked.starts,
        upper=moments + (conventions.upper == "included"),
        target=target,
    )
    # Edges are moved by a microsecond, the finest time there is, to take in or leave out a moment.
    moved = (conventions.upper == "included") - (conventions.lower == "excluded")

    def begins(span: Span) -> Begin:
        window, aligned = span
        back = _EVER if window is None else min(window // _MICROSECOND, _EVER)
        return Begin(back + moved, _DAY if aligned else 1)

    order, rows = _rows(table, codes, conventions, ties=ties)
    return Prepared(rows=rows, order=order, queries=queries, begins=begins)


def check_zones(table: pl.DataFrame, spine: pl.DataFrame, at: str) -> None:
    """Refuse times of different zones.

    Raises
    ------
    ColumnsError
        Where the zones of the table's times and of the spine's moments differ.
    """
    names = [(table, EVENT_TIME), (spine, at)]
    names += [(table, KNOWN_AT)] if KNOWN_AT in table.columns else []
    zones = {
        name: getattr(frame.schema[name], "time_zone", None)
        for frame, name in names
        if name in frame.columns
    }
    if len(set(zones.values())) > 1:
        raise ColumnsError(
            expected="times of one time zone",
            found=", ".join(f"{name} in {zone}" for name, zone in zones.items()),
            remedy="convert them to UTC: pl.col(...).dt.convert_time_zone('UTC')",
        )


def _rows(
    table: pl.DataFrame,
    codes: Codes,
    conventions: Conventions,
    *,
    ties: bool,
) -> tuple[Sorted, Rows]:
    from flywheel_assets.point_in_time.kernels.threads import rows_in_parts, spread

    clocks = [microseconds(table, c) for c in (EVENT_TIME, KNOWN_AT) if c in table.columns]
    lasting, until = replaced(table, availability=conventions.availability)
    order, times = arrange(codes.without(lasting[until == NEVER]), *clocks)
    event_time, known_at = times[0], times[-1]
    if ties and OBSERVATION_ID in table.columns:
        _untie(order, event_time, known_at, table[OBSERVATION_ID])
    visible_from, settle = event_time, conventions.settle // _MICROSECOND
    if conventions.availability and known_at is not event_time:
        known_at = known_at - settle if settle else known_at
        visible_from = known_at

        def later(first: int, last: int) -> None:
            some = slice(first, last)
            np.maximum(event_time[some], known_at[some], out=known_at[some])

        spread(later, rows_in_parts(event_time.size))
    ending, which = order.find(lasting) if lasting.size else (lasting, lasting)
    return order, Rows(
        starts=order.starts,
        event_time=event_time,
        visible_from=visible_from,
        ending=ending,
        until=until[which] - settle,
    )


def _untie(order: Sorted, event_time: Ints, known: Ints, ids: pl.Series) -> None:
    """Put rows of one entity that happened and became known at the same times in order of id."""
    from flywheel_assets.point_in_time.kernels.threads import rows_in_parts, spread

    tied = np.empty(max(event_time.size - 1, 0), np.bool_)

    def same(first: int, last: int) -> None:
        some, following = slice(first, last), slice(first + 1, last + 1)
        np.equal(event_time[some], event_time[following], out=tied[some])
        tied[some] &= known[some] == known[following]

    spread(same, rows_in_parts(tied.size))
    inner = order.starts[(order.starts > 0) & (order.starts < event_time.size)]
    tied[inner - 1] = False
    if not tied.any():
        return
    places = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
    group = np.append(0, np.cumsum(~tied))[places]
    rows = order.arrange([np.arange(order.slot.size, dtype=np.int32)])[places]
    tie = pl.DataFrame({"group": group, "id": ids.gather(rows), "taken": order.taken[places]})
    order.taken[places] = tie.sort("group", "id", maintain_order=True)["taken"].to_numpy()


def spans(aggregations: Sequence[Aggregation]) -> list[Span]:
    """List the windows of some aggregations, each once, from the shortest to the longest."""
    found = {(a.window, a.aligned and a.window is not None) for a in aggregations}
    return sorted(found, key=lambda s: (s[0] is None, s[0] or _MICROSECOND, s[1]))
