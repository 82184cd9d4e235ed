"""A SQLite file in write-ahead mode, synced at each commit, for any number of processes."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flywheel_assets.errors import InboxBusyError, InboxError, InboxFullError

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}


class SyncedSqlite:
    """A connection that threads may share.

    Parameters
    ----------
    schema : str
        Statements that make the tables of a new file, in one transaction.
    wait_seconds : float
        How long to wait for another writer.

    Raises
    ------
    InboxFullError, InboxBusyError, InboxError
        From every method: no room, locked, or broken. Nothing of what was asked was done.
    """

    def __init__(self, path: Path, schema: str, *, wait_seconds: float) -> None:
        self._lock = threading.Lock()
        self.connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=wait_seconds
        )
        with _translated():
            self._open(schema, time.monotonic() + wait_seconds)
        for folder in (path.parent, path.parent.parent):
            _sync(folder)

    @contextmanager
    def commit(self) -> Iterator[sqlite3.Connection]:
        """Do what is done inside in one durable commit, or none of it."""
        with self._lock, _translated():
            try:
                self.connection.execute("begin immediate")
                yield self.connection
                self.connection.execute("commit")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("rollback")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """See one state of the file in all that is read inside."""
        with self._lock, _translated():
            self.connection.execute("begin")
            try:
                yield self.connection
            finally:
                self.connection.execute("rollback")

    def problems(self) -> list[str]:
        """Look for torn pages and broken indexes; empty where all is well."""
        with self._lock:
            try:
                found = [text for (text,) in self.connection.execute("pragma quick_check")]
            except sqlite3.DatabaseError as error:
                return [str(error)]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self.connection.close()

    def _open(self, schema: str, until: float) -> None:
        # To turn a new file to write-ahead mode needs it alone, and is not waited for by SQLite.
        while True:
            try:
                self.connection.execute("pragma journal_mode = wal")
                self.connection.execute("pragma synchronous = full")
                if not self.connection.execute("select 1 from sqlite_master").fetchone():
                    self.connection.executescript(f"begin immediate; {schema} commit;")
            except sqlite3.OperationalError as error:
                if self.connection.in_transaction:
                    self.connection.execute("rollback")
                if _code(error) not in _BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code, found = _code(error), str(error)
        if code in _FULL:
            raise InboxFullError(
                expected="room on the inbox's disk", found=found, remedy="free some, send again"
            ) from error
        if code in _BUSY:
            raise InboxBusyError(
                expected="an inbox that can be written", found=found, remedy="send it again later"
            ) from error
        raise InboxError(
            expected="a sound inbox", found=found, remedy="run flywheel doctor"
        ) from error


def _code(error: sqlite3.DatabaseError) -> int:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code if code in _FULL else code & 0xFF


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
