"""Out of Delta tables: each data file of any version that holds somebody is replaced or removed.

Versions that never held them stay readable, so that models which did not see them can still be
trained again from the same rows.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import ConflictError, HomeError
from flywheel_assets.stores import data_files, delta_log, disk
from flywheel_assets.stores.data_files import DataFile
from flywheel_assets.stores.delta_log import LOG, POINTER
from flywheel_assets.stores.forgetting.sought import Sought

_ATTEMPTS = 100


@dataclass(frozen=True)
class Holding:
    """What a table holds of somebody.

    Parameters
    ----------
    files : mapping of str to int
        Data file, of any version -> how many rows of it are theirs.
    rows, current : int
        Theirs, and all, in the newest version.
    """

    table: str
    folder: Path
    files: dict[str, int]
    rows: int
    current: int

    @property
    def past_files(self) -> int:
        """How many data files that hold them are of older versions."""
        return len(self.files) - len({f.path for f in _standing(self.folder)} & self.files.keys())


def look(folder: Path, table: str, sought: Sought) -> Holding:
    """Find the rows that are somebody's, in every data file there is; nothing is changed.

    A file that no version has and that cannot be read, for example because its writer was killed,
    counts as theirs: nobody can say that it is not.

    Raises
    ------
    HomeError
        For a file of the newest version that cannot be read.
    """
    standing = _standing(folder)
    needed = {f.path for f in standing}
    found = {}
    for file in _data(folder):
        path = file.relative_to(folder).as_posix()
        try:
            scan = pl.scan_parquet(file, hive_partitioning=False)
            count = scan.select(sought.rows(scan.collect_schema()).sum()).collect().item()
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            if path in needed:
                raise HomeError(
                    expected=f"{path} of {table} as it was written",
                    found=str(error),
                    remedy="run flywheel doctor, mend what it finds, and run this again",
                ) from error
            count = 1
        if count:
            found[path] = int(count)
    return Holding(
        table=table,
        folder=folder,
        files=found,
        rows=sum(found.get(f.path, 0) for f in standing),
        current=sum(f.rows for f in standing),
    )


def n_rows(folder: Path) -> int:
    """Count the rows of the newest version."""
    return sum(file.rows for file in _standing(folder))


def held_by(holding: Holding, version: int, first: date, last: date) -> int:
    """Count the rows of theirs in a range of a version, by its log and `Holding.files`."""
    from deltalake import DeltaTable

    delta = DeltaTable(str(holding.folder), version=version)
    return sum(holding.files.get(f.path, 0) for f in data_files.files(delta, first, last))


def erase(holding: Holding, sought: Sought) -> None:
    """Write the newest version without them, then remove every file that holds them.

    Killed at any point, the same again ends in the same.

    Raises
    ------
    ConflictError
        When other writers were faster a hundred times.
    """
    folder = holding.folder
    for _ in range(_ATTEMPTS):
        if _replaced(folder, holding, sought):
            break
    else:
        raise ConflictError(
            expected=f"to rewrite {holding.table}",
            found=f"that other writers were faster {_ATTEMPTS} times",
            remedy="end what writes it, and run this again",
        )
    for path in holding.files:
        disk.remove(folder / path)
    for parent in {(folder / path).parent for path in holding.files}:
        if parent.exists():
            disk.sync_folder(parent)


def clean_log(folder: Path, sought: Sought) -> int:
    """Take what mentions them out of a log: statistics, predicates, whole checkpoints.

    Our own entries have neither ids nor bounds in them; those of other writers may.

    Returns
    -------
    int
        How many entries and checkpoints did.
    """
    log, cleaned = folder / LOG, 0
    for entry in sorted(log.glob("*.json")):
        text = entry.read_text(encoding="utf-8")
        if sought.mentioned(text):
            lines = (json.dumps(_plain(json.loads(line))) for line in text.splitlines() if line)
            disk.overwrite(entry, ("\n".join(lines) + "\n").encode())
            cleaned += 1
    for file in delta_log.checkpoints(log).values():
        if sought.mentioned(pl.read_parquet(file).write_ndjson()):
            disk.remove(log / POINTER)
            disk.remove(file)
            disk.sync_folder(log)
            cleaned += 1
    return cleaned


def _replaced(folder: Path, holding: Holding, sought: Sought) -> bool:
    """Commit files without their rows in the place of those with them; False if overtaken."""
    from deltalake import DeltaTable

    delta = DeltaTable(str(folder))
    held = [f for f in _standing(folder) if f.path in holding.files]
    if not held:
        return True
    written: list[delta_log.Action] = []
    for file in held:
        frame = pl.read_parquet(folder / file.path, hive_partitioning=False)
        rest = frame.filter(~sought.rows(frame.schema)).with_columns(
            pl.lit(file.day).alias(PARTITION)
        )
        # A day of theirs alone goes on being one that was made.
        written += data_files.write(folder, rest, [file.day])
    removed = (delta_log.remove(f.path, str(f.day), f.size) for f in held)
    first, last = min(f.day for f in held), max(f.day for f in held)
    predicate = f"{PARTITION} >= '{first}' AND {PARTITION} <= '{last}'"
    try:
        delta_log.commit(folder, delta.version() + 1, [*removed, *written], predicate)
    except FileExistsError:
        data_files.discard(folder, written)
        return False
    delta_log.checkpoint_if_due(folder, delta.version() + 1)
    return True


def _standing(folder: Path) -> list[DataFile]:
    from deltalake import DeltaTable

    return data_files.files(DeltaTable(str(folder)), date.min, date.max)


def _data(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*.parquet")):
        if LOG not in file.parts:
            yield file


def _plain(action: delta_log.Action) -> delta_log.Action:
    """Leave of an action what a reader needs."""
    if "commitInfo" in action:
        kept = {k: v for k, v in action["commitInfo"].items() if k in {"timestamp", "operation"}}
        return {"commitInfo": kept}
    if "add" in action and action["add"].get("stats"):
        rows = json.loads(action["add"]["stats"])["numRecords"]
        return {"add": action["add"] | {"stats": json.dumps({"numRecords": rows})}}
    return action
