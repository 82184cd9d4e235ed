"""A Delta table's log: entries and checkpoints that are on disk before they have their names.

deltalake gives an entry its name first and never syncs it, so that a power cut can leave an empty
one. Here an entry is written aside, synced and then linked into place. Where the contents are the
library's (the first entry, checkpoints) it makes them in a scratch folder.
"""

import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stores import disk

if TYPE_CHECKING:
    from deltalake import DeltaTable

Action = dict[str, Any]
LOG, POINTER = "_delta_log", "_last_checkpoint"
CHECKPOINT_EVERY = 50
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")


def entry_name(version: int) -> str:
    """Name the entry that makes a version.

    Examples
    --------
    >>> entry_name(7)
    '00000000000000000007.json'
    """
    return f"{version:020}.json"


def checkpoints(log: Path) -> dict[int, Path]:
    """Find the checkpoints of a log, by version, oldest first."""
    found = {int(m[1]): f for f in log.iterdir() if (m := _CHECKPOINT.fullmatch(f.name))}
    return dict(sorted(found.items()))


def create(table: Path, root: Path, schema: Mapping[str, Any]) -> None:
    """Create an empty table below a root; one that is there already stays as it is."""
    from deltalake import DeltaTable

    arrow = pl.DataFrame(schema=dict(schema)).to_arrow(compat_level=pl.CompatLevel.oldest())
    with tempfile.TemporaryDirectory() as scratch:
        DeltaTable.create(scratch, schema=arrow.schema, partition_by=[PARTITION])
        first = (Path(scratch) / LOG / entry_name(0)).read_bytes()
    log = table / LOG
    disk.make_folder(log, root)
    with suppress(FileExistsError):
        disk.publish(log / entry_name(0), first)


def commit(table: Path, version: int, actions: Iterable[Action], predicate: str) -> None:
    """Make a version of a table, in one step, from data files that are on disk.

    Raises
    ------
    FileExistsError
        When another writer made this version first.
    """
    about = {
        "timestamp": _now_ms(),
        "operation": "WRITE",
        "operationParameters": {"mode": "Overwrite", "predicate": predicate},
        "engineInfo": "flywheel-assets",
    }
    lines = (json.dumps(a, separators=(",", ":")) for a in ({"commitInfo": about}, *actions))
    disk.publish(table / LOG / entry_name(version), ("\n".join(lines) + "\n").encode())


def add(path: str, day: str, size: int, rows: int) -> Action:
    """Describe a data file that a version adds."""
    return {
        "add": {
            "path": path,
            "partitionValues": {PARTITION: day},
            "size": size,
            "modificationTime": _now_ms(),
            "dataChange": True,
            "stats": json.dumps({"numRecords": rows}),
        }
    }


def remove(path: str, day: str, size: int) -> Action:
    """Describe a data file that a version no longer has; it stays for the versions that do."""
    return {
        "remove": {
            "path": path,
            "deletionTimestamp": _now_ms(),
            "dataChange": True,
            "extendedFileMetadata": True,
            "partitionValues": {PARTITION: day},
            "size": size,
        }
    }


def reshape(
    delta: "DeltaTable", schema: Mapping[str, Any], names: Mapping[str, str]
) -> list[Action]:
    """Describe a table's columns as they are by now, if they differ.

    Older files read as null in columns that they lack; ``names`` are those that are rewritten,
    stored name -> name by now.
    """
    from deltalake import Schema

    arrow = pl.DataFrame(schema=dict(schema)).to_arrow(compat_level=pl.CompatLevel.oldest())
    fields = delta.schema().fields
    declared = {field.name: field for field in Schema.from_arrow(arrow.schema).fields}
    kept = [declared[names[f.name]] if f.name in names else f for f in fields]
    there = {field.name for field in kept}
    new = [field for name, field in declared.items() if name not in there]
    if not new and not names:
        return []
    about = delta.metadata()
    return [
        {
            "metaData": {
                "id": str(about.id),
                "name": about.name,
                "description": about.description,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": Schema([*kept, *new]).to_json(),
                "partitionColumns": about.partition_columns,
                "createdTime": about.created_time,
                "configuration": about.configuration,
            }
        }
    ]


def checkpoint_if_due(table: Path, version: int) -> None:
    """Sum the log up to a version in one file, every so many versions, so that opening stays fast.

    The newest two are kept: the older one goes when the new one and its pointer are on disk.
    """
    log = table / LOG
    standing = checkpoints(log)
    newest = max(standing, default=None)
    if version - (newest or 0) < CHECKPOINT_EVERY:
        return
    content, pointer = _summed(log, version, newest)
    with suppress(FileExistsError):
        disk.publish(log / f"{version:020}.checkpoint.parquet", content)
    disk.overwrite(log / POINTER, pointer)
    for old in list(standing.values())[:-1]:
        disk.remove(old)


def _summed(log: Path, version: int, newest: int | None) -> tuple[bytes, bytes]:
    from deltalake import DeltaTable

    with tempfile.TemporaryDirectory() as scratch:
        copied = Path(scratch) / LOG
        copied.mkdir()
        names = [entry_name(v) for v in range(newest or 0, version + 1)]
        if newest is not None:
            names.append(f"{newest:020}.checkpoint.parquet")
        for name in names:
            shutil.copyfile(log / name, copied / name)
        DeltaTable(scratch).create_checkpoint()
        content = (copied / f"{version:020}.checkpoint.parquet").read_bytes()
        return content, (copied / POINTER).read_bytes()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
