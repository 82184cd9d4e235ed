"""The inbox: what was received, on disk before it is acknowledged, until it is collected."""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from flywheel_assets.errors import InboxError
from flywheel_assets.stores.synced_sqlite import SyncedSqlite

DAY_US = 86_400_000_000
KEPT_OF_A_REJECT = 64 * 1024
_ROWS = 100
# `received` holds a record until it is collected, and after that its digest alone, by which it is
# known when it is sent again. `seq` counts all that is written, in the order of its receipt.
_SCHEMA = """
create table if not exists clock (
    one integer primary key check (one = 1), known_at integer not null, seq integer not null);
insert or ignore into clock values (1, 0, 0);
create table if not exists received (
    seq integer primary key, known_at integer not null, kind text not null,
    observation_id text not null, event_time integer not null, record blob, digest blob,
    unique (kind, observation_id));
create table if not exists rejected (
    seq integer primary key, known_at integer not null, kind text, reason text not null,
    raw blob not null);
create table if not exists repeated (
    kind text not null, day integer not null, seq integer not null, count integer not null,
    primary key (kind, day)) without rowid;
create table if not exists replayed (
    seq integer not null, known_at integer not null, primary key (seq, known_at)) without rowid;
"""


class Received(NamedTuple):
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
    """A record that was refused, and why; 64 KiB of it are kept.

    Parameters
    ----------
    kind : str, optional
        The observation that it meant to be; None where it did not say, or named none.
    """

    kind: str | None
    reason: str
    raw: bytes


class Entry(NamedTuple):
    """A line of the inbox that has not been collected.

    ``status`` is accepted (``content`` is the record), rejected (``content`` is the raw record),
    or duplicate: ``copies`` records of that day that had been received before.
    """

    seq: int
    known_at: int
    status: Literal["accepted", "rejected", "duplicate"]
    observation_id: str | None
    event_time: int | None
    content: bytes | None
    reason: str | None
    copies: int


def now_us() -> int:
    """Give the time in microseconds since the epoch."""
    return time.time_ns() // 1000


class Inbox:
    """One SQLite file in write-ahead mode, synced at each commit; any number of processes.

    Receipt time never goes back: each commit is known at the clock's time, or a microsecond after
    the commit before it where the clock has stepped back.

    Parameters
    ----------
    root : Path
        The folder of the file, made where there is none.
    clock : callable
        Microseconds since the epoch.
    wait_seconds : float
        How long to wait for another writer.

    Raises
    ------
    InboxFullError, InboxBusyError, InboxError
        From every method: no room, locked, or broken. Nothing of what was asked was done.

    Examples
    --------
    >>> import tempfile
    >>> inbox = Inbox(Path(tempfile.mkdtemp()), clock=lambda: 5)
    >>> click = Received("click", "a", 1, b"{}")
    >>> inbox.put([click, click])
    [Receipt(status='accepted', known_at=5), Receipt(status='duplicate', known_at=5)]
    >>> inbox.put([Received("click", "b", 1, b"{}")])
    [Receipt(status='accepted', known_at=6)]
    """

    def __init__(
        self, root: Path, *, clock: Callable[[], int] = now_us, wait_seconds: float = 5
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.path, self._clock = root / "inbox.sqlite", clock
        self._file = SyncedSqlite(self.path, _SCHEMA, wait_seconds=wait_seconds)
        self._file.connection.create_function("digest", 1, _digest, deterministic=True)

    def put(self, records: Sequence[Received]) -> list[Receipt]:
        """Receive records in one durable commit, all or none, in order.

        A record that was received before is a duplicate where its content is equal, else a
        conflict; neither is received again.
        """
        if not records:
            return []
        with self._file.commit() as db:
            known_at, seq = self._tick(db, len(records))
            receipts: list[Receipt] = []
            accepted = Receipt("accepted", known_at)
            for start in range(0, len(records), _ROWS):
                part = records[start : start + _ROWS]
                if _insert(db, part, known_at, seq + start) == len(part):
                    receipts += [accepted] * len(part)
                else:
                    receipts += _look_up(db, part, seq + start)
            repeats: dict[str, int] = {}
            for record, receipt in zip(records, receipts, strict=True):
                if receipt.status == "duplicate":
                    repeats[record.kind] = repeats.get(record.kind, 0) + 1
            for kind, count in repeats.items():
                _count(db, kind, known_at // DAY_US, count)
        return receipts

    def reject(self, records: Sequence[Rejected]) -> None:
        """Keep records that were refused, in one durable commit."""
        if not records:
            return
        with self._file.commit() as db:
            known_at, seq = self._tick(db, len(records))
            db.executemany(
                "insert into rejected values (?, ?, ?, ?, ?)",
                (
                    (seq + i, known_at, r.kind, r.reason, r.raw[:KEPT_OF_A_REJECT])
                    for i, r in enumerate(records)
                ),
            )

    def close_before(self, moment: int) -> None:
        """See to it that nothing will be known before a moment that has passed, any more.

        Whatever is under way is waited for, and a clock that steps back no longer counts.

        Raises
        ------
        InboxError
            For a moment that has not passed.
        """
        if moment > self._clock():
            raise InboxError(
                expected="a day that has closed",
                found=f"one that closes at {moment} microseconds, and it is {self._clock()}",
                remedy="collect it when it has closed",
            )
        with self._file.commit() as db:
            db.execute("update clock set known_at = max(known_at, ?)", (moment - 1,))

    def days(self, kind: str, first: int, last: int) -> list[int]:
        """List the days of a range of which something waits to be collected.

        Parameters
        ----------
        first, last : int
            Days since the epoch, both included, as are those returned.
        """
        query = """
            select distinct known_at / :day from received
            where seq between :low and :high and kind = :kind and record is not null
            union select distinct known_at / :day from rejected where kind = :kind
            and known_at / :day between :first and :last
            union select day from repeated where kind = :kind and day between :first and :last
            order by 1"""
        with self._file.reading() as db:
            low, high = _seq_at(db, first * DAY_US), _seq_at(db, (last + 1) * DAY_US) - 1
            values = {"day": DAY_US, "kind": kind, "first": first, "last": last}
            rows = db.execute(query, values | {"low": low, "high": high})
            return [day for (day,) in rows]

    def waiting(self, kind: str, day: int) -> list[Entry]:
        """Read what was received on a day (since the epoch) and waits to be collected."""
        query = """
            select seq, known_at, 'accepted', observation_id, event_time, record, null, 1
            from received where seq between :first and :last and kind = :kind
            and record is not null
            union all select seq, known_at, 'rejected', null, null, raw, reason, 1
            from rejected where known_at / :day = :at and kind = :kind
            union all select seq, day * :day, 'duplicate', null, null, null, null, count
            from repeated where day = :at and kind = :kind order by 1"""
        with self._file.reading() as db:
            first, last = _span(db, day)
            values = {"first": first, "last": last, "kind": kind, "day": DAY_US, "at": day}
            return [Entry(*row) for row in db.execute(query, values)]

    def collected(self, kind: str, day: int) -> None:
        """Let go of what was received on a closed day; what tells duplicates by stays.

        Call it once the commit that holds the records is durable, not before.
        """
        with self._file.commit() as db:
            first, last = _span(db, day)
            values = {"first": first, "last": last, "kind": kind, "day": DAY_US, "at": day}
            db.execute(
                "update received set digest = digest(record), record = null "
                "where seq between :first and :last and kind = :kind and record is not null",
                values,
            )
            db.execute("delete from rejected where kind = :kind and known_at / :day = :at", values)
            db.execute("delete from repeated where kind = :kind and day = :at", values)

    def forget(self, kind: str, before: int, *, at_once: int = 20_000) -> None:
        """Forget ids last needed before a moment; never what has not been collected.

        Parameters
        ----------
        at_once : int
            Rows looked at in a commit, so that receiving goes on meanwhile.
        """
        with self._file.reading() as db:
            start, end = 0, _seq_at(db, before)
        while start < end:
            with self._file.commit() as db:
                row = db.execute(
                    "select max(seq), count(*) from (select seq from received "
                    "where seq >= ? and seq < ? order by seq limit ?)",
                    (start, end, at_once),
                ).fetchone()
                if not row[1]:
                    return
                db.execute(
                    "delete from received where seq between ? and ? and kind = ? "
                    "and record is null",
                    (start, row[0], kind),
                )
            start = row[0] + 1

    def rejects(self, kind: str | None) -> list[tuple[int, int, bytes]]:
        """Read the rejects of a kind that have not been collected: seq, known_at, raw text."""
        query = "select seq, known_at, raw from rejected where kind is ? order by seq"
        with self._file.reading() as db:
            return db.execute(query, (kind,)).fetchall()

    def replayed(self) -> set[tuple[int, int]]:
        """List the rejects that were received after all, by their seq and known_at."""
        with self._file.reading() as db:
            return set(db.execute("select seq, known_at from replayed"))

    def replay(self, places: Sequence[tuple[int, int]]) -> None:
        """Keep in mind that rejects, by seq and known_at, were received after all.

        One of no declared kind leaves the inbox: nothing else would collect it.
        """
        with self._file.commit() as db:
            db.executemany("insert or ignore into replayed values (?, ?)", places)
            db.executemany(
                "delete from rejected where kind is null and seq = ? and known_at = ?", places
            )

    def problems(self) -> list[str]:
        """Look for torn pages and broken indexes; empty where all is well."""
        return self._file.problems()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _tick(self, db: sqlite3.Connection, count: int) -> tuple[int, int]:
        """Take the next receipt time, and so many places in the order of receipt."""
        last, seq = db.execute("select known_at, seq from clock").fetchone()
        known_at = max(self._clock(), last + 1)
        db.execute("update clock set known_at = ?, seq = ?", (known_at, seq + count))
        return known_at, seq + 1


def _span(db: sqlite3.Connection, day: int) -> tuple[int, int]:
    return _seq_at(db, day * DAY_US), _seq_at(db, (day + 1) * DAY_US) - 1


def _seq_at(db: sqlite3.Connection, moment: int) -> int:
    """Find the first place from a moment on: times rise with places, so halve the range."""
    query = "select seq, known_at from received where seq >= ? order by seq limit 1"
    low, high = 0, int(db.execute("select seq + 1 from clock").fetchone()[0])
    while low < high:
        middle = (low + high) // 2
        row = db.execute(query, (middle,)).fetchone()
        if row is None or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    return low


def _insert(db: sqlite3.Connection, part: Sequence[Received], known_at: int, seq: int) -> int:
    # One statement: the interpreter's lock is let go once, not once for each row.
    places = ",".join(["(?,?,?,?,?,?)"] * len(part))
    rows = (
        (seq + i, known_at, r.kind, r.observation_id, r.event_time, r.record)
        for i, r in enumerate(part)
    )
    return db.execute(
        "insert into received (seq, known_at, kind, observation_id, event_time, record) values "  # noqa: S608  placeholders only
        f"{places} on conflict (kind, observation_id) do nothing",
        [*chain.from_iterable(rows)],
    ).rowcount


def _look_up(db: sqlite3.Connection, part: Sequence[Received], seq: int) -> list[Receipt]:
    query = (
        "select seq, known_at, record, digest from received where kind = ? and observation_id = ?"
    )
    found = []
    for i, sent in enumerate(part):
        row = db.execute(query, (sent.kind, sent.observation_id)).fetchone()
        place, known_at, record, digest = row
        if place == seq + i:
            found.append(Receipt("accepted", known_at))
        elif sent.record == record or (record is None and _digest(sent.record) == digest):
            found.append(Receipt("duplicate", known_at))
        else:
            found.append(Receipt("conflict", known_at))
    return found


def _count(db: sqlite3.Connection, kind: str, day: int, count: int) -> None:
    seq = db.execute("update clock set seq = seq + 1 returning seq").fetchone()[0]
    db.execute(
        "insert into repeated values (?, ?, ?, ?) "
        "on conflict (kind, day) do update set count = count + excluded.count",
        (kind, day, seq, count),
    )


def _digest(record: bytes) -> bytes:
    return hashlib.blake2b(record, digest_size=16).digest()
