"""Out of all other files below a home: logs, tags, what was set aside."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from flywheel_assets.stores import disk
from flywheel_assets.stores.alone import LOCK
from flywheel_assets.stores.forgetting import databases
from flywheel_assets.stores.forgetting.searching import holds
from flywheel_assets.stores.forgetting.sought import Sought
from flywheel_assets.stores.home import Home


def others(home: Home, sources: AbstractSet[Path] = frozenset()) -> Iterator[Path]:
    """List what is neither a table's nor the inbox's, nor a source's; SQLite's side files aside."""
    for file in sorted(home.root.rglob("*")):
        if not file.is_file() or file.is_symlink() or file.name.endswith(("-wal", "-shm")):
            continue
        if file.name == LOCK or file.resolve() in sources:
            continue
        if home.lakehouse not in file.parents and home.inbox not in file.parents:
            yield file


def mentions(file: Path, sought: Sought) -> int:
    """Count where a file mentions somebody: values of a database, or the whole file as one."""
    if databases.is_database(file):
        return databases.mentions(file, sought)
    return int(holds(file, sought))


def scrub(home: Home, file: Path, sought: Sought) -> int:
    """Put something else where a file mentions somebody.

    What was set aside is removed. What is neither text nor a database stays as it is, for a person
    to judge: the search says where it is.
    """
    if databases.is_database(file):
        return databases.scrub(file, sought)
    if not holds(file, sought):
        return 0
    if home.root / "set_aside" in file.parents:
        disk.remove(file)
        disk.sync_folder(file.parent)
        return 1
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return 0
    disk.overwrite(file, sought.among([text]).scrubbed(text).encode())
    return 1
