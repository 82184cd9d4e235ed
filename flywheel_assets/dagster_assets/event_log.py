"""Dagster's event log, for a process that records one run after another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from flywheel_assets.errors import HomeError
from flywheel_assets.stores.home import Home


class KeptOpen(SqliteEventLogStorage):
    """Dagster's own, with connections that stay open: to the index, and to the run that is written.

    Dagster opens and closes one for each event: SQLite folds its journal back each time, and
    SQLAlchemy compiles each statement anew. That was a third of a turn's time. It is for the
    process that turns the wheel alone: whoever follows a run live is told by changes of its file,
    which come later here.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "KeptOpen":
        """Open it as an instance's settings say."""
        return cls(inst_data=inst_data, **config_value)

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
    if not home.dagster.is_dir():
        raise HomeError(
            expected=f"{home.dagster}, which keeps what was made when",
            found="that it is gone",
            remedy="put it back from a backup, or begin it anew: flywheel doctor --mend",
        )
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    return dg.DagsterInstance.get()


def recorder(home: Home) -> dg.DagsterInstance:
    """Open a home's Dagster instance to record runs in; as it is, where its storage was chosen."""
    instance = instance_of(home)
    root = str(home.dagster)
    ref, usual = instance.get_ref(), InstanceRef.config_defaults(root)
    if ref.storage_data != usual["storage"] or ref.event_storage_data is None:
        return instance
    instance.dispose()
    kept = {
        "module": KeptOpen.__module__,
        "class": KeptOpen.__name__,
        "config": ref.event_storage_data.config_dict,
    }
    chosen = InstanceRef.from_dir(root, overrides={"event_log_storage": kept})
    return dg.DagsterInstance.from_ref(chosen)
