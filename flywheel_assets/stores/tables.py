"""Delta tables, one for each asset key, partitioned by day and replaced a range at a time.

A replacement is on disk when `Tables.replace` returns, and a power cut before that leaves the old
version: data files are synced under their names first, then the log entry that refers to them is.
A data file's name ends in the sha256 of its contents, which `flywheel doctor` compares.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import ConflictError, EmptyReplaceError, FlywheelError
from flywheel_assets.stores import data_files, delta_log, disk
from flywheel_assets.stores.data_files import DataFile
from flywheel_assets.stores.delta_log import LOG
from flywheel_assets.stores.evolution import as_declared, outdated, rewrite

if TYPE_CHECKING:
    from deltalake import DeltaTable

Schema = Mapping[str, Any]
_ATTEMPTS = 100
"""Each attempt that fails is a commit of another writer, so that one of them always goes on."""


@dataclass(frozen=True)
class Tables:
    """The lakehouse.

    Examples
    --------
    >>> import tempfile
    >>> tables = Tables(Path(tempfile.mkdtemp()))
    >>> schema = {"partition_date": pl.Date(), "n": pl.Int64()}
    >>> day = date(2026, 1, 31)
    >>> tables.replace("demo", pl.DataFrame({"partition_date": [day], "n": [1]}), schema, day, day)
    True
    >>> tables.read("demo", schema, day, day).collect()["n"].to_list()
    [1]
    """

    root: Path

    def path(self, table: str) -> Path:
        """Say where a table is; its name is its asset key joined by slashes."""
        return self.root / table

    def exists(self, table: str) -> bool:
        """Say whether anything was ever written to it."""
        return (self.path(table) / LOG / delta_log.entry_name(0)).exists()

    def read(
        self,
        table: str,
        schema: Schema,
        first: date | None = None,
        last: date | None = None,
        *,
        version: int | None = None,
    ) -> pl.LazyFrame:
        """Scan a range of partitions, both ends included; only their files are opened.

        Parameters
        ----------
        version : int, optional
            Of the table; the newest without it.

        Returns
        -------
        LazyFrame
            In the columns of ``schema``, rows in no order. A column that older partitions lack is
            null, or has its default; one that they call otherwise is found where ``schema`` says
            so (`Columns`). Empty where the table does not exist yet.
        """
        if not self.exists(table):
            return pl.LazyFrame(schema=dict(schema))
        return _scan(str(self.path(table)), schema, first, last, version)

    def names(self) -> list[str]:
        """Name the tables that are there."""
        logs = self.root.glob(f"*/*/{LOG}")
        return sorted(log.parent.relative_to(self.root).as_posix() for log in logs)

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """Scan all of a table that is there, in the columns that it has at the version."""
        return pl.scan_delta(str(self.path(table)), version=version)

    def count(self, table: str) -> int:
        """Count a table's rows; its log says so, no file is opened."""
        from deltalake import DeltaTable

        return DeltaTable(str(self.path(table))).count() if self.exists(table) else 0

    def count_days(self, table: str, first: date, last: date) -> dict[date, int]:
        """Count the rows of each day of a range that has any; its log says so, no file is opened.

        So that a day whose file was lost can be made again by a stage that counts what it replaces.
        """
        from deltalake import DeltaTable

        if not self.exists(table):
            return {}
        counted: Counter[date] = Counter()
        for file in data_files.files(DeltaTable(str(self.path(table))), first, last):
            counted[file.day] += file.rows
        return {day: n for day, n in counted.items() if n}

    def freed(self, table: str, version: int) -> int:
        """Count the files of a version that are not there any more."""
        from deltalake import DeltaTable

        uris = DeltaTable(str(self.path(table)), version=version).file_uris()
        return sum(not Path(uri.removeprefix("file://")).exists() for uri in uris)

    def replace(  # noqa: PLR0913  a range is two days, and each of the rest is one word
        self,
        table: str,
        frame: pl.DataFrame,
        schema: Schema,
        first: date,
        last: date,
        *,
        empty: bool = True,
        keep_empty: bool = False,
    ) -> bool:
        """Replace the partitions of a range by a frame, in one commit that survives a power cut.

        Parameters
        ----------
        empty : bool
            Whether an empty frame may stand where there were rows.
        keep_empty : bool
            Whether days of the range without rows are partitions, too (`days`): each has a file
            without rows.

        Returns
        -------
        bool
            False where the same rows stood there already, and nothing was written.

        Raises
        ------
        EmptyReplaceError
            When an empty frame would delete rows and ``empty`` is False.
        ConflictError
            When other writers were faster a hundred times.
        FlywheelError
            For a frame whose columns differ from the schema or from the table's, or with rows
            outside the range.
        OSError
            On a full or failing disk. The old version stands, or the new one where the disk failed
            last of all; the same call again ends in the new one.
        """
        from deltalake import DeltaTable

        _check_frame(table, frame, schema, first, last)
        folder = self.path(table)
        kept = _days(first, last) if keep_empty else frozenset()
        if not self.exists(table):
            delta_log.create(folder, self.root, schema)
        written: list[delta_log.Action] = []
        for _ in range(_ATTEMPTS):
            delta = DeltaTable(str(folder))
            stored = pl.scan_delta(delta).collect_schema()
            if outdated(stored, schema):
                self.evolve(table, schema)
                continue
            _check_types(table, stored, schema)
            widened = delta_log.reshape(delta, schema, {})
            standing = data_files.files(delta, first, last)
            there = kept <= {file.day for file in standing} and not widened
            if there and _stands(folder, delta, standing, frame, schema, first, last):
                # Whoever wrote it may have been killed before it was synced.
                disk.sync_folder(folder / LOG)
                data_files.discard(folder, written)
                return False
            _check_emptied(table, frame, standing, first, last, empty=empty)
            written = written or data_files.write(folder, frame, kept)
            actions = [*widened, *(delta_log.remove(f.path, str(f.day), f.size) for f in standing)]
            if self._commit(folder, delta.version() + 1, [*actions, *written], first, last):
                delta_log.checkpoint_if_due(folder, delta.version() + 1)
                return True
        data_files.discard(folder, written)
        raise _too_slow(f"to replace {table} from {first} to {last}")

    def evolve(self, table: str, schema: Schema) -> bool:
        """Rewrite a table in which columns have other names or wider types by now, in one commit.

        Its values stay; killed before the commit, the old version does.

        Returns
        -------
        bool
            Whether there was anything to rewrite.

        Raises
        ------
        ConflictError
            When other writers were faster a hundred times.
        FlywheelError
            For a whole number that the wider type cannot hold.
        """
        from deltalake import DeltaTable

        folder = self.path(table)
        for _ in range(_ATTEMPTS if self.exists(table) else 0):
            delta = DeltaTable(str(folder))
            names = outdated(pl.scan_delta(delta).collect_schema(), schema)
            if not names:
                return False
            standing = data_files.files(delta, date.min, date.max)
            actions = rewrite(folder, names, standing, schema)
            described = delta_log.reshape(delta, schema, names)
            version = delta.version() + 1
            if self._commit(folder, version, [*described, *actions], date.min, date.max):
                delta_log.checkpoint_if_due(folder, version)
                return True
            data_files.discard(folder, actions)
        if not self.exists(table):
            return False
        raise _too_slow(f"to rewrite {table}")

    def version(self, table: str) -> int | None:
        """Give the version of a table's newest commit."""
        from deltalake import DeltaTable

        return DeltaTable(str(self.path(table))).version() if self.exists(table) else None

    def log_changed_at(self, table: str) -> int:
        """Say when the table's log last changed, in nanoseconds; 0 if there is none.

        One file-system call, where `version` reads the log. The clock of a file system ticks every
        few milliseconds: two changes within a tick look like one.
        """
        try:
            return (self.path(table) / "_delta_log").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def days(self, table: str) -> list[date]:
        """List the partitions that a table has, in order; its log says so, no file is opened."""
        from deltalake import DeltaTable

        if not self.exists(table):
            return []
        found = DeltaTable(str(self.path(table))).partitions()
        return sorted({date.fromisoformat(p[PARTITION]) for p in found})

    def _commit(
        self,
        folder: Path,
        version: int,
        actions: list[delta_log.Action],
        first: date,
        last: date,
    ) -> bool:
        predicate = f"{PARTITION} >= '{first}' AND {PARTITION} <= '{last}'"
        try:
            delta_log.commit(folder, version, actions, predicate)
        except FileExistsError:
            return False
        except OSError:
            if not (folder / LOG / delta_log.entry_name(version)).exists():
                data_files.discard(folder, actions)
            raise
        return True


def _too_slow(wanted: str) -> ConflictError:
    return ConflictError(
        expected=wanted,
        found=f"that other writers were faster {_ATTEMPTS} times",
        remedy="end the runs that write it without pause, and run this again",
    )


def _days(first: date, last: date) -> frozenset[date]:
    return frozenset(pl.date_range(first, last, eager=True))


def _scan(
    source: "str | DeltaTable",
    schema: Schema,
    first: date | None,
    last: date | None,
    version: int | None = None,
) -> pl.LazyFrame:
    scan = pl.scan_delta(source, version=version)
    if first is not None:
        scan = scan.filter(pl.col(PARTITION) >= first)
    if last is not None:
        scan = scan.filter(pl.col(PARTITION) <= last)
    return scan.select(as_declared(scan.collect_schema(), schema))


def _stands(  # noqa: PLR0913, PLR0917  what stands, and what would
    folder: Path,
    delta: "DeltaTable",
    standing: list[DataFile],
    frame: pl.DataFrame,
    schema: Schema,
    first: date,
    last: date,
) -> bool:
    """Say whether these rows are there already, in files that are as they were written."""
    if sum(file.rows for file in standing) != frame.height:
        return False
    if not all(data_files.intact(folder / file.path) for file in standing):
        return False
    return _same(_scan(delta, schema, first, last).collect(), frame)


def _check_emptied(  # noqa: PLR0913  what an error says
    table: str,
    frame: pl.DataFrame,
    standing: list[DataFile],
    first: date,
    last: date,
    *,
    empty: bool,
) -> None:
    rows = sum(file.rows for file in standing)
    if frame.is_empty() and rows and not empty:
        raise EmptyReplaceError(
            expected=f"rows for {table} from {first} to {last}, which has {rows}",
            found="none",
            remedy="look at what is upstream of it; nothing was deleted",
        )


def _check_types(table: str, stored: Schema, schema: Schema) -> None:
    for name, dtype in schema.items():
        if name in stored and stored[name] != dtype:
            raise FlywheelError(
                expected=f"{table} with {name} as it is stored, {stored[name]}",
                found=f"{dtype}",
                remedy="give a column of another type another name, or move the table's folder "
                "away and materialize all of its partitions again",
            )


def _check_frame(table: str, frame: pl.DataFrame, schema: Schema, first: date, last: date) -> None:
    if dict(frame.schema) != dict(schema):
        raise FlywheelError(
            expected=f"{table} with the columns {dict(schema)}",
            found=str(dict(frame.schema)),
            remedy="change the stage or the declaration so that they agree",
        )
    outside = frame.filter(~pl.col(PARTITION).is_between(first, last)).height
    if outside or frame[PARTITION].null_count():
        raise FlywheelError(
            expected=f"rows of {table} from {first} to {last}",
            found=f"{outside} outside, {frame[PARTITION].null_count()} without a day",
            remedy="filter the frame to the range that it replaces",
        )


def _same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    if one.height != other.height:
        return False
    columns = one.columns
    return one.sort(columns).equals(other.select(columns).sort(columns))
