"""Windowed features of every entity at one moment or several."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.declare.rules import AS_OF, EVENT_TIME
from flywheel_assets.point_in_time.conventions import DEFAULT, Conventions
from flywheel_assets.point_in_time.windows import windows

_ROWS_AT_ONCE = 1_000_000


def snapshot(
    events: pl.DataFrame,
    moments: Sequence[datetime],
    aggregations: Sequence[Aggregation],
    *,
    by: Sequence[str],
    conventions: Conventions = DEFAULT,
) -> pl.DataFrame:
    """Compute the windows of each entity that has any row in the longest of them.

    Parameters
    ----------
    events : DataFrame, (n_events, ...)
        What `windows` takes. Only what the longest window reaches from the first moment on is
        needed: the results are the same with more.
    moments : sequence of datetime
    aggregations : sequence of Aggregation, not empty
    by : sequence of str
        The entity's key columns.

    Returns
    -------
    DataFrame
        ``as_of``, the keys, and the aggregations; in the order of the moments, then of the keys.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> day = lambda d: datetime(2026, 1, d, tzinfo=UTC)
    >>> events = pl.DataFrame({"event_time": [day(1), day(8)], "customer": [7, 8]})
    >>> week = Aggregation(name="n_7d", function="count", window=timedelta(days=7))
    >>> snapshot(events, [day(9)], [week], by=["customer"]).rows()
    [(datetime.datetime(2026, 1, 9, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), 8, 1)]
    """
    name = "seen"
    while any(a.name == name for a in aggregations):
        name += "_"
    seen = seen_rows(aggregations, name)
    entities = events.select(by).unique().sort(by)
    schema = {AS_OF: events.schema[EVENT_TIME]}
    frames = [
        windows(
            events,
            pl.DataFrame({AS_OF: some}, schema=schema).join(entities, how="cross"),
            [*aggregations, seen],
            by=by,
            conventions=conventions,
        )
        .filter(pl.col(name) > 0)
        .drop(name)
        for some in _batches(moments, entities.height)
    ]
    return pl.concat(frames)


def seen_rows(aggregations: Sequence[Aggregation], name: str) -> Aggregation:
    """Count the rows in the longest of some windows: an entity without any is in no snapshot.

    Examples
    --------
    >>> from datetime import timedelta
    >>> day = Aggregation(name="n_1d", function="count", window=timedelta(days=1), aligned=True)
    >>> seen_rows([day], "seen").aligned
    True
    """
    spans = [a.window for a in aggregations]
    longest = None if None in spans else max((s for s in spans if s), default=None)
    aligned = any(a.aligned for a in aggregations if a.window == longest)
    return Aggregation(name=name, function="count", window=longest, aligned=aligned)


def _batches(moments: Sequence[datetime], n_entities: int) -> Iterator[Sequence[datetime]]:
    length = max(1, _ROWS_AT_ONCE // max(n_entities, 1))
    for i in range(0, max(len(moments), 1), length):
        yield moments[i : i + length]
