"""Freeing the disk of data files that no one can ask for any more."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from flywheel_assets.stores import disk
from flywheel_assets.stores.delta_log import LOG
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.models import Models
from flywheel_assets.stores.registry import Registry

RETENTION_HOURS = 168
"""A file that a table no longer has stays for so long: somebody may be reading an older version."""


@dataclass(frozen=True)
class Freed:
    """What of a table only versions had that nobody needs.

    Parameters
    ----------
    kept_versions : tuple of int
        Old versions that registered models were trained on: their files stay.
    """

    table: str
    files: int
    size: int
    kept_versions: tuple[int, ...]


def vacuum(
    home: Home, retention_hours: int = RETENTION_HOURS, *, dry_run: bool = False
) -> list[Freed]:
    """Remove the data files of every table that only old versions have.

    Never one of the version of a table that a registered model was trained on, however old; a
    version of a model that is deleted from the registry needs nothing any more.

    Parameters
    ----------
    retention_hours : int
        How long ago a file must have been replaced.
    dry_run : bool
        Whether to count alone.
    """
    needed = Registry(Models(home.mlflow)).needed() if home.mlflow.exists() else {}
    found = []
    for log in sorted(home.lakehouse.rglob(LOG)):
        table = log.parent.relative_to(home.lakehouse).as_posix()
        freed = _table(log.parent, table, needed, retention_hours, dry_run=dry_run)
        if freed.files:
            found.append(freed)
    return found


def _table(
    folder: Path,
    table: str,
    needed: Mapping[str, Collection[int]],
    retention_hours: int,
    *,
    dry_run: bool,
) -> Freed:
    from deltalake import DeltaTable

    kept = sorted(needed.get(table, ()))
    # The library says which, and we remove: it would commit to the log without syncing it. What no
    # entry refers to may be of a run that is about to commit it, and is left to the doctor.
    replaced = _replaced(folder / LOG)
    doomed = DeltaTable(str(folder)).vacuum(
        retention_hours=retention_hours,
        dry_run=True,
        enforce_retention_duration=False,
        full=True,
        keep_versions=kept or None,
    )
    files = [folder / name for name in doomed if name in replaced and (folder / name).exists()]
    size = sum(file.stat().st_size for file in files)
    if not dry_run:
        for file in files:
            disk.remove(file)
        for parent in {file.parent for file in files}:
            disk.sync_folder(parent)
    return Freed(table, len(files), size, tuple(kept))


def _replaced(log: Path) -> set[str]:
    """Find the data files that an entry of a log has taken out of its table."""
    texts = (entry.read_text() for entry in log.glob("*.json"))
    actions = (json.loads(line) for text in texts for line in text.splitlines() if line)
    return {unquote(action["remove"]["path"]) for action in actions if "remove" in action}
