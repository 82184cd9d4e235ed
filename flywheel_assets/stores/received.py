"""``collect/<observation>_received``: what the API received of an observation, as it was.

The inbox is drained into it a day at a time, and what is collected is made from it, as it is made
from a team's files: a partition can be made again at any time, and comes out the same.
"""

from datetime import date, timedelta
from itertools import groupby
from typing import Any

import polars as pl

from flywheel_assets.declare.rules import EVENT_TIME, KNOWN_AT, OBSERVATION_ID, PARTITION
from flywheel_assets.stores.forgetting.suppressed import Suppressed
from flywheel_assets.stores.inbox import DAY_US, Entry, Inbox
from flywheel_assets.stores.tables import Tables

EPOCH = date(1970, 1, 1)
UTC_TIME = pl.Datetime("us", "UTC")
RECEIVED_SCHEMA: dict[str, Any] = {
    PARTITION: pl.Date(),
    "seq": pl.Int64(),
    KNOWN_AT: UTC_TIME,
    "status": pl.String(),
    OBSERVATION_ID: pl.String(),
    EVENT_TIME: UTC_TIME,
    "record": pl.String(),
    "reason": pl.String(),
    "copies": pl.Int64(),
}
"""``seq`` is the place in the order of receipt. ``status`` is accepted, rejected (``record`` is the
raw text) or duplicate (``copies`` records that had been received before)."""


def received_table(kind: str) -> str:
    """Name the table of what the API received of an observation."""
    return f"collect/{kind}_received"


def drain(  # noqa: PLR0913  from where, to where, what of it
    inbox: Inbox,
    tables: Tables,
    kind: str,
    first: date,
    last: date,
    *,
    start: date,
    suppressed: Suppressed,
) -> None:
    """Move what was received on a range of closed days from the inbox to its table.

    A record leaves the inbox only after the commit that holds it. Whoever is killed in between, or
    does it at the same time as another, comes to the same table: a closed day gets no more
    records, and who finds the inbox empty finds them in the table.

    Parameters
    ----------
    first, last : date
        Partitions, both included.
    start : date
        The home's first partition, into which everything known before it goes.
    suppressed : Suppressed
        Of whose records no more is kept than that they came.

    Raises
    ------
    InboxError
        For a day that has not closed.
    """
    inbox.close_before(_number(last + timedelta(days=1)) * DAY_US)
    oldest = 0 if first <= start else _number(first)
    waiting = inbox.days(kind, oldest, _number(last))
    by_partition = groupby(waiting, key=lambda n: max(EPOCH + timedelta(days=n), start))
    for day, numbers in [(day, list(numbers)) for day, numbers in by_partition]:
        # First the inbox, then the table: the other way round, what another run moves in between
        # would be in neither.
        entries = [entry for number in numbers for entry in inbox.waiting(kind, number)]
        table = received_table(kind)
        standing = tables.read(table, RECEIVED_SCHEMA, day, day).collect()
        merged = pl.concat([standing, _frame(entries, day)]).unique(
            ["seq", KNOWN_AT], keep="first", maintain_order=True
        )
        merged = suppressed.in_received(merged)
        tables.replace(table, merged.sort("seq"), RECEIVED_SCHEMA, day, day, empty=False)
        for number in numbers:
            inbox.collected(kind, number)


def forget(inbox: Inbox, kind: str, last: date, horizon: timedelta) -> None:
    """Forget the ids that no duplicate received after a day can have within the horizon."""
    inbox.forget(kind, (_number(last + timedelta(days=1)) * DAY_US) - horizon // _MICROSECOND)


_MICROSECOND = timedelta(microseconds=1)


def _number(day: date) -> int:
    return (day - EPOCH).days


def _frame(entries: list[Entry], day: date) -> pl.DataFrame:
    columns = list(zip(*entries, strict=True)) or [()] * len(Entry._fields)
    found = dict(zip(Entry._fields, columns, strict=True))
    times = {KNOWN_AT: pl.Int64(), EVENT_TIME: pl.Int64()}
    content = [c if c is None else c.decode("utf-8", "backslashreplace") for c in found["content"]]
    frame = pl.DataFrame(
        {
            PARTITION: [day] * len(entries),
            **{name: found[name] for name in ("seq", KNOWN_AT, "status", OBSERVATION_ID)},
            EVENT_TIME: found[EVENT_TIME],
            "record": content,
            **{name: found[name] for name in ("reason", "copies")},
        },
        schema=RECEIVED_SCHEMA | times,
    )
    return frame.with_columns(pl.from_epoch(pl.col(*times), "us").dt.replace_time_zone("UTC"))
