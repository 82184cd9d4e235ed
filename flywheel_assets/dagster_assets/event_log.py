"""Dagster's event log, for a process that records one run after another."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.event_api import AssetRecordsFilter, EventRecordsResult
from dagster._core.events.log import EventLogEntry
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from flywheel_assets.errors import HomeError
from flywheel_assets.stores.disk import publish
from flywheel_assets.stores.home import Home

NOT_MADE = {dg.DagsterEventType.STEP_OUTPUT, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
"""What comes between one check of a step and the next: nothing was made meanwhile."""


class KeptOpen(SqliteEventLogStorage):
    """Dagster's own, with connections that stay open: to the index, and to the run that is written.

    Dagster opens and closes one for each event: SQLite folds its journal back each time, and
    SQLAlchemy compiles each statement anew. That was a third of a turn's time. What does not change
    while this process writes is asked once: which tables there are, what a run's file is before its
    first event, and what was made last, which each check of a step asks again. It is for the
    process that turns the wheel alone: whoever follows a run live is told by changes of its file,
    which come later here.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        self._blank: bytes | None = None
        self._made: dict[tuple[Any, ...], EventRecordsResult] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "KeptOpen":
        """Open it as an instance's settings say."""
        return cls(inst_data=inst_data, **config_value)

    def has_table(self, table_name: str) -> bool:
        """Say whether there is a table; one that there is stays."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def fetch_materializations(
        self,
        records_filter: dg.AssetKey | AssetRecordsFilter,
        limit: int,
        cursor: str | None = None,
        ascending: bool = False,  # noqa: FBT001, FBT002  Dagster's signature
    ) -> EventRecordsResult:
        """Give what was made, asked once until this process records something else."""
        asked = (repr(records_filter), limit, cursor, ascending)
        if asked not in self._made:
            self._made[asked] = super().fetch_materializations(
                records_filter, limit, cursor, ascending
            )
        return self._made[asked]

    def store_event(self, event: EventLogEntry) -> None:
        """Record an event."""
        if event.dagster_event_type not in NOT_MADE:
            self._made.clear()
        super().store_event(event)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:  # noqa: FBT001, FBT002
        path = Path(engine.url.database or "")
        of_a_run = not for_index_shard and not path.exists()
        if of_a_run and self._blank is not None:
            with suppress(FileExistsError):  # somebody else has opened it meanwhile
                publish(path, self._blank)
                return
        super()._initdb(engine, for_index_shard)
        if of_a_run and self._blank is None:
            with closing(sqlite3.connect(path)) as connection:
                self._blank = connection.serialize()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.get(shard) or self._opened(shard)
            with engine.begin() as connection:
                yield connection

    def _opened(self, shard: str) -> Engine:
        for old in self._engines.keys() - {INDEX_SHARD_NAME}:
            self._engines.pop(old).dispose()
        engine = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=QueuePool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "connect", _trust_the_journal)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        self._engines[shard] = engine
        return engine

    def dispose(self) -> None:
        """Let the files go."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


def _trust_the_journal(connection: Any, _: object) -> None:
    """Sync when the journal is folded back, not at each commit.

    A power cut may lose the last events, never break the file: what they told of is made again.
    """
    connection.execute("pragma synchronous = normal")


def instance_of(home: Home) -> dg.DagsterInstance:
    """Open a home's Dagster instance.

    Raises
    ------
    HomeError
        Where its folder is gone.
    """
    _lead_to(home)
    return dg.DagsterInstance.get()


def recorder(home: Home) -> dg.DagsterInstance:
    """Open a home's Dagster instance to record runs in; as it is, where its storage was chosen.

    Raises
    ------
    HomeError
        Where its folder is gone.
    """
    _lead_to(home)
    root = str(home.dagster)
    ref, usual = InstanceRef.from_dir(root), InstanceRef.config_defaults(root)
    if ref.storage_data != usual["storage"] or ref.event_storage_data is None:
        return dg.DagsterInstance.get()
    kept = {
        "module": KeptOpen.__module__,
        "class": KeptOpen.__name__,
        "config": ref.event_storage_data.config_dict,
    }
    chosen = InstanceRef.from_dir(root, overrides={"event_log_storage": kept})
    return dg.DagsterInstance.from_ref(chosen)


def _lead_to(home: Home) -> None:
    """Let Dagster know where the home is."""
    if not home.dagster.is_dir():
        raise HomeError(
            expected=f"{home.dagster}, which keeps what was made when",
            found="that it is gone",
            remedy="put it back from a backup, or begin it anew: flywheel doctor --mend",
        )
    os.environ["DAGSTER_HOME"] = str(home.dagster)
