"""A table's data files: one for each day, named by the sha256 of its contents.

A day without rows has one only where it has to be known as made, as one that was decided has to.

The name is where the digest survives everything: a lost log, a checkpoint, a copy elsewhere.
"""

import hashlib
import io
import re
import uuid
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import HomeError
from flywheel_assets.stores import disk
from flywheel_assets.stores.delta_log import Action, add

if TYPE_CHECKING:
    from deltalake import DeltaTable

_DATA_FILE = re.compile(r"part-[0-9a-f]{8}-([0-9a-f]{64})\.parquet")


class DataFile(NamedTuple):
    """A data file that a version of a table has."""

    path: str
    day: date
    size: int
    rows: int


def missing(error: FileNotFoundError, lakehouse: Path) -> HomeError | None:
    """Say whose data file is not there, where that is why a table cannot be read.

    What Polars says of a file ends with its name, and may lack where it was: logs know.
    """
    found = _DATA_FILE.search(f"{error.filename or error}")
    if found is None:
        return None
    logs = (log for log in lakehouse.rglob("_delta_log") if _names(log, found[0]))
    tables = [log.parent.relative_to(lakehouse).as_posix() for log in logs]
    return HomeError(
        expected=f"every data file of {tables[0] if tables else 'each table'}",
        found=f"that {found[0]} is missing",
        remedy="flywheel doctor says what else is, and how to get it back",
    )


def _names(log: Path, file: str) -> bool:
    return any(file in entry.read_text(encoding="utf-8") for entry in log.glob("*.json"))


def digest_in(name: str) -> str | None:
    """Give the sha256 that a data file of ours is named by; None for a name of another kind."""
    match = _DATA_FILE.fullmatch(name)
    return match[1] if match else None


def digest_of(file: Path) -> str:
    """Give the sha256 of a file's contents."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def files(delta: "DeltaTable", first: date, last: date) -> list[DataFile]:
    """List the data files of a range of days, by a table's log."""
    actions = pl.DataFrame(delta.get_add_actions(flatten=True))
    if actions.is_empty():
        return []
    day = pl.col(f"partition.{PARTITION}")
    chosen = actions.filter(day.is_between(first, last))
    rows = chosen.select("path", day, "size_bytes", pl.col("num_records").fill_null(1))
    return [DataFile(*row) for row in rows.iter_rows()]


def intact(file: Path) -> bool:
    """Say whether a data file is there, with the contents that it is named by."""
    digest = digest_in(file.name)
    return file.exists() and (digest is None or digest == digest_of(file))


def write(folder: Path, frame: pl.DataFrame, kept: Collection[date] = ()) -> list[Action]:
    """Write and sync a data file for each day, and the names on the way to it.

    Parameters
    ----------
    kept : collection of date
        Days that have a file without rows where they have no rows.
    """
    written: list[Action] = []
    try:
        for day, part in _days(frame, kept):
            buffer = io.BytesIO()
            part.write_parquet(buffer)
            content = buffer.getbuffer()
            digest = hashlib.sha256(content).hexdigest()
            path = f"{PARTITION}={day}/part-{uuid.uuid4().hex[:8]}-{digest}.parquet"
            disk.make_folder(folder / f"{PARTITION}={day}", folder / f"{PARTITION}={day}")
            disk.write(folder / path, content)
            written.append(add(path, str(day), len(content), part.height))
            disk.sync_folder((folder / path).parent)
    except OSError:
        discard(folder, written)
        raise
    return written


def _days(frame: pl.DataFrame, kept: Collection[date]) -> Iterator[tuple[date, pl.DataFrame]]:
    there = frame[PARTITION].unique()
    if there.len() == 1:
        yield there[0], frame.drop(PARTITION)
    else:
        for (day,), part in frame.partition_by(PARTITION, as_dict=True, include_key=False).items():
            yield day, part
    for day in sorted(set(kept).difference(there)):
        yield day, frame.clear().drop(PARTITION)


def discard(folder: Path, actions: Iterable[Action]) -> None:
    """Remove the data files of a commit that was not made."""
    for action in actions:
        if "add" in action:
            disk.remove(folder / action["add"]["path"])
