"""Out of SQLite files: the inbox's rows, and what others' databases mention.

What is deleted is overwritten, the file is written anew, and its write-ahead log is emptied.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flywheel_assets.errors import HomeError
from flywheel_assets.stores.forgetting.sought import Sought

MAGIC = b"SQLite format 3\x00"
_WAIT_S = 10
_AT_ONCE = 1_000_000


def is_database(file: Path) -> bool:
    """Say whether a file is SQLite's."""
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def mentions(file: Path, sought: Sought) -> int:
    """Count the texts of a database that mention somebody; its numbers are no texts."""
    with _opened(file, sought.among(_contents(file))) as database:
        return sum(
            database.execute(
                f"select count(*) from {_quoted(c.table)} where {_THERE.format(_quoted(c.name))}",  # noqa: S608  its own names
                [c.name],
            ).fetchone()[0]
            for c in _columns(database)
        )


def scrub(file: Path, sought: Sought) -> int:
    """Put something else where a text of a database mentions somebody; rows, and all else, stay.

    So do the values of keys, which others may refer to and no two rows may share.

    Returns
    -------
    int
        How many values were changed.
    """
    with _opened(file, sought.among(_contents(file))) as database:
        changed = 0
        for column in _columns(database):
            if column.is_key:
                continue
            table, name = _quoted(column.table), _quoted(column.name)
            query = f"update {table} set {name} = scrubbed({name}, ?1) where {_THERE.format(name)}"  # noqa: S608
            changed += database.execute(query, [column.name]).rowcount
        _rewrite(database)
    return changed


def received(file: Path, sought: Sought, ids: Iterable[tuple[str, str]]) -> int:
    """Count the records of somebody in the inbox, and what it knows their duplicates by."""
    with _opened(file, sought) as database:
        _note(database, ids)
        return sum(
            int(database.execute(f"select count(*) from {table} where {theirs}").fetchone()[0])  # noqa: S608
            for table, theirs in _THEIRS.items()
        )


def erase_received(file: Path, sought: Sought, ids: Iterable[tuple[str, str]]) -> int:
    """Take somebody's records out of the inbox, and what it knows their duplicates by.

    Parameters
    ----------
    ids : iterable of (kind, observation_id)
        Of their observations that were collected: of these the inbox has the id alone.

    Returns
    -------
    int
        How many rows are gone.
    """
    with _opened(file, sought) as database:
        _note(database, ids)
        gone = 0
        for table, theirs in _THEIRS.items():
            gone += database.execute(f"delete from {table} where {theirs}").rowcount  # noqa: S608
        _rewrite(database)
    return gone


_THERE = "typeof({0}) in ('text', 'blob') and mentioned({0}, ?1)"
_THEIRS = {
    "received": "mentioned(record) or mentioned(observation_id) "
    "or (kind, observation_id) in (select kind, id from temp.theirs)",
    "rejected": "mentioned_raw(raw) or mentioned(reason)",
}


def _contents(file: Path) -> Iterator[str]:
    """Read every text and blob of a database, a megabyte at a time."""
    with closing(sqlite3.connect(file)) as database:
        names = _columns(database)
        database.text_factory = bytes
        held, size = [], 0
        for column in names:
            table, name = _quoted(column.table), _quoted(column.name)
            query = f"select {name} from {table} where typeof({name}) in ('text', 'blob')"  # noqa: S608
            for (value,) in database.execute(query):
                held.append(_text(value))
                size += len(value)
                if size > _AT_ONCE:
                    yield "\n".join(held)
                    held, size = [], 0
        yield "\n".join(held)


@contextmanager
def _opened(file: Path, sought: Sought) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=_WAIT_S)) as database:
            database.create_function("mentioned", -1, lambda v, c="": sought.mentioned(_text(v), c))
            database.create_function("mentioned_raw", 1, lambda v: sought.in_raw(_text(v)))
            database.create_function("scrubbed", 2, lambda v, c: _scrubbed(v, c, sought))
            database.execute("pragma secure_delete = on")
            yield database
    except sqlite3.DatabaseError as error:
        raise HomeError(
            expected=f"{file} for this command alone",
            found=str(error),
            remedy="end the API and every run and page that uses it, mend it if it is damaged, and "
            "run this again: it goes on where it was",
        ) from error


class _Column(NamedTuple):
    table: str
    name: str
    is_key: bool


def _columns(database: sqlite3.Connection) -> list[_Column]:
    query = """
        select t.name, c.name, c.pk > 0 or exists (
            select 1 from pragma_index_list(t.name) i, pragma_index_info(i.name) k
            where i."unique" and k.name = c.name
        )
        from sqlite_master t, pragma_table_info(t.name) c
        where t.type = 'table' and t.name not like 'sqlite!_%' escape '!'"""
    return [_Column(_text(t), _text(c), bool(k)) for t, c, k in database.execute(query)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _note(database: sqlite3.Connection, ids: Iterable[Sequence[str]]) -> None:
    database.execute("create temp table theirs (kind text, id text, primary key (kind, id))")
    database.executemany("insert or ignore into temp.theirs values (?, ?)", ids)


def _rewrite(database: sqlite3.Connection) -> None:
    """Leave nothing in freed pages, in slack within pages, or in the write-ahead log."""
    database.execute("drop table if exists temp.theirs")
    database.execute("vacuum")
    busy = database.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
    if busy:
        raise sqlite3.OperationalError("its write-ahead log is being read")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _scrubbed(value: Any, column: str, sought: Sought) -> Any:
    if not isinstance(value, bytes):
        return sought.scrubbed(_text(value), column)
    try:
        return sought.scrubbed(value.decode(), column).encode()
    except UnicodeDecodeError:  # nobody knows what it is: it stays, and the search says where
        return value
