"""Sending what the API refused through validation again, after the contract changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from flywheel_assets.declare.rules import KNOWN_AT
from flywheel_assets.stores.inbox import Inbox, Received, Rejected
from flywheel_assets.stores.received import RECEIVED_SCHEMA, received_table
from flywheel_assets.stores.tables import Tables

_AT_ONCE = 1_000
_Reject = tuple[tuple[int, int], bytes]


@dataclass
class Replayed:
    """What became of rejects that were sent again."""

    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0


def replay(
    inbox: Inbox, tables: Tables, kind: str | None, read: Callable[[bytes], Received | Rejected]
) -> Replayed:
    """Receive the rejects of a kind that have become sound; known from now on, not from then.

    A reject that was received after all is not sent again. What is still refused stays a reject,
    as does what conflicts with another record.

    Parameters
    ----------
    kind : str, optional
        The observation; None for records that named none.
    read : callable
        Validates a raw record.
    """
    done = Replayed()
    settled = inbox.replayed()
    waiting = {place: raw for place, raw in _rejects(inbox, tables, kind) if place not in settled}
    places = list(waiting)
    for start in range(0, len(places), _AT_ONCE):
        found = [(place, read(waiting[place])) for place in places[start : start + _AT_ONCE]]
        sound = [(place, record) for place, record in found if isinstance(record, Received)]
        receipts = inbox.put([record for _, record in sound])
        done.rejected += len(found) - len(sound)
        for receipt in receipts:
            setattr(done, receipt.status, getattr(done, receipt.status) + 1)
        inbox.replay(
            [
                place
                for (place, _), receipt in zip(sound, receipts, strict=True)
                if receipt.status != "conflict"
            ]
        )
    return done


def _rejects(inbox: Inbox, tables: Tables, kind: str | None) -> Iterator[_Reject]:
    # First the inbox, as in `drain`: what a run moves meanwhile is then found twice, not never.
    for seq, known_at, raw in inbox.rejects(kind):
        yield (seq, known_at), raw
    if kind is None:
        return
    table = tables.read(received_table(kind), RECEIVED_SCHEMA)
    # Of somebody who was forgotten there is no record.
    table = table.filter(pl.col("record").is_not_null(), status="rejected")
    micros = pl.col(KNOWN_AT).dt.timestamp("us")
    for seq, known_at, raw in table.select("seq", micros, "record").sort("seq").collect().rows():
        yield (seq, known_at), raw.encode()
