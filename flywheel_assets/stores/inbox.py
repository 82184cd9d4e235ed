"""The inbox: what was received, on disk before it is acknowledged, until it is collected."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from flywheel_assets.errors import InboxBusyError, InboxFullError

T = TypeVar("T")
KEPT_OF_A_REJECT = 64 * 1024
_INSERT = "insert into received (kind, observation_id, event_time, known_at, record) values "
_WAIT_MS = 5_000
_ROWS = 100
_SCHEMA = """
create table if not exists received (
    seq integer primary key, kind text not null, observation_id text not null,
    event_time integer not null, known_at integer not null, record blob not null,
    unique (kind, observation_id));
create table if not exists rejected (
    seq integer primary key, kind text, known_at integer not null, reason text not null,
    raw blob not null);
"""


@dataclass(frozen=True, slots=True)
class Received:
    """One validated record.

    Parameters
    ----------
    event_time : int
        Microseconds since the epoch, UTC.
    record : bytes
        The canonical JSON of the record: equal content, equal bytes.
    """

    kind: str
    observation_id: str
    event_time: int
    record: bytes


class Receipt(NamedTuple):
    """What became of a record; ``known_at`` (microseconds) is that of its first receipt."""

    status: Literal["accepted", "duplicate", "conflict"]
    known_at: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was refused, and why."""

    kind: str | None
    reason: str
    raw: bytes


def now_us() -> int:
    """Give the time in microseconds since the epoch."""
    return time.time_ns() // 1000


class Inbox:
    """One SQLite file in write-ahead mode, synced at each commit."""

    def __init__(self, root: Path, *, clock: Callable[[], int] = now_us) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._clock, self._lock = clock, threading.Lock()
        self._db = sqlite3.connect(
            root / "inbox.sqlite",
            isolation_level=None,
            check_same_thread=False,
            timeout=_WAIT_MS / 1000,
        )
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)

    def put(self, records: Sequence[Received]) -> list[Receipt]:
        """Receive records in one durable commit, all or none, in order."""
        return self._commit(lambda: self._put(records)) if records else []

    def reject(self, records: Sequence[Rejected]) -> None:
        """Keep records that were refused."""
        now = self._clock()
        rows = [(r.kind, now, r.reason, r.raw[:KEPT_OF_A_REJECT]) for r in records]
        insert = "insert into rejected (kind, known_at, reason, raw) values (?, ?, ?, ?)"
        if rows:
            self._commit(lambda: self._db.executemany(insert, rows))

    def _put(self, records: Sequence[Received]) -> list[Receipt]:
        last = self._db.execute("select known_at from received order by seq desc limit 1")
        now = max(self._clock(), *(row[0] for row in last), 0)
        receipts: list[Receipt] = []
        accepted = Receipt("accepted", now)
        for start in range(0, len(records), _ROWS):
            part = records[start : start + _ROWS]
            # One statement: the interpreter's lock is let go once, not once for each row.
            insert = _INSERT + ",".join(["(?,?,?,?,?)"] * len(part)) + " on conflict do nothing"
            rows = ((r.kind, r.observation_id, r.event_time, now, r.record) for r in part)
            inserted = self._db.execute(insert, [*chain.from_iterable(rows)]).rowcount
            if inserted == len(part):
                receipts += [accepted] * len(part)
            else:
                receipts += self._look_up(part, now)
        return receipts

    def _look_up(self, part: Sequence[Received], now: int) -> list[Receipt]:
        fresh: set[tuple[str, str]] = set()
        found = []
        for r in part:
            query = "select known_at, record from received where kind = ? and observation_id = ?"
            known, record = self._db.execute(query, (r.kind, r.observation_id)).fetchone()
            key = (r.kind, r.observation_id)
            if record != r.record:
                found.append(Receipt("conflict", known))
            elif known == now and key not in fresh:
                fresh.add(key)
                found.append(Receipt("accepted", known))
            else:
                found.append(Receipt("duplicate", known))
        return found

    def _commit(self, work: Callable[[], T]) -> T:
        with self._lock:
            try:
                self._db.execute("begin immediate")
                done = work()
                self._db.execute("commit")
            except sqlite3.OperationalError as error:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise _translated(error) from error
            return done


def _translated(error: sqlite3.OperationalError) -> Exception:
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return InboxFullError(
            expected="room on the inbox's disk", found=str(error), remedy="free some, send again"
        )
    return InboxBusyError(
        expected="an inbox that can be written", found=str(error), remedy="send it again later"
    )
