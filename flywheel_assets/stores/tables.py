"""Delta tables, one for each asset key, partitioned by day and replaced a range at a time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import EmptyReplaceError, FlywheelError

if TYPE_CHECKING:
    from deltalake import DeltaTable

Schema = Mapping[str, Any]
_ATTEMPTS = 8


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
        return (self.path(table) / "_delta_log").exists()

    def read(
        self, table: str, schema: Schema, first: date | None = None, last: date | None = None
    ) -> pl.LazyFrame:
        """Scan a range of partitions, both ends included; only their files are opened.

        Returns
        -------
        LazyFrame
            In the columns of ``schema``, rows in no order. A column that older partitions lack is
            null. Empty where the table does not exist yet.
        """
        if not self.exists(table):
            return pl.LazyFrame(schema=dict(schema))
        scan = pl.scan_delta(str(self.path(table)))
        if first is not None:
            scan = scan.filter(pl.col(PARTITION) >= first)
        if last is not None:
            scan = scan.filter(pl.col(PARTITION) <= last)
        present = scan.collect_schema().names()
        return scan.select(
            pl.col(name) if name in present else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in schema.items()
        )

    def replace(  # noqa: PLR0913  a range is two days, and each of the rest is one word
        self,
        table: str,
        frame: pl.DataFrame,
        schema: Schema,
        first: date,
        last: date,
        *,
        empty: bool = True,
    ) -> bool:
        """Replace the partitions of a range by a frame, in one commit.

        Parameters
        ----------
        empty : bool
            Whether an empty frame may stand where there were rows.

        Returns
        -------
        bool
            False where the same rows stood there already, and nothing was written.

        Raises
        ------
        EmptyReplaceError
            When an empty frame would delete rows and ``empty`` is False.
        FlywheelError
            For a frame whose columns differ from the schema, or with rows outside the range.
        """
        _check_frame(table, frame, schema, first, last)
        delta = self._open(table, schema)
        names = delta.schema().to_arrow().names
        merge = any(column not in names for column in schema)
        standing = self.read(table, schema, first, last).collect()
        if _same(standing, frame) and not merge:
            return False
        if frame.is_empty() and standing.height and not empty:
            raise EmptyReplaceError(
                expected=f"rows for {table} from {first} to {last}, which has {standing.height}",
                found="none",
                remedy="look at what is upstream of it; nothing was deleted",
            )
        self._write(table, frame, first, last, merge=merge)
        return True

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

    def _open(self, table: str, schema: Schema) -> "DeltaTable":
        from deltalake import DeltaTable

        path = str(self.path(table))
        if not self.exists(table):
            arrow = pl.DataFrame(schema=dict(schema)).to_arrow(compat_level=pl.CompatLevel.oldest())
            self.path(table).parent.mkdir(parents=True, exist_ok=True)
            DeltaTable.create(path, schema=arrow.schema, mode="ignore", partition_by=[PARTITION])
        return DeltaTable(path)

    def _write(
        self, table: str, frame: pl.DataFrame, first: date, last: date, *, merge: bool
    ) -> None:
        from deltalake import write_deltalake
        from deltalake.exceptions import CommitFailedError

        for attempt in range(_ATTEMPTS):
            try:
                write_deltalake(
                    str(self.path(table)),
                    frame,
                    mode="overwrite",
                    predicate=f"{PARTITION} >= '{first}' AND {PARTITION} <= '{last}'",
                    schema_mode="merge" if merge else None,
                )
            except CommitFailedError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
            else:
                return


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
