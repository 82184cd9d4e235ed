"""Files that a power cut cannot take back: what a name refers to is on disk before the name is."""

import os
import uuid
from contextlib import suppress
from pathlib import Path


def write(path: Path, data: bytes | memoryview) -> None:
    """Write a new file and sync it; nothing may refer to it before its folder is synced too.

    Raises
    ------
    OSError
        On a full or failing disk; what was written of the file is removed.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            rest = memoryview(data)
            while rest:
                # A nearly full disk takes a part of it without an error.
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        remove(path)
        raise


def publish(path: Path, data: bytes) -> None:
    """Give a whole, synced file its name, unless the name is taken: one of several writers wins.

    Raises
    ------
    FileExistsError
        When the name is taken; what has it is untouched.
    OSError
        On a full or failing disk. The file may then be there under its name, and whole, but not
        yet safe from a power cut.
    """
    aside = _aside(path)
    write(aside, data)
    try:
        os.link(aside, path)
    finally:
        remove(aside)
    sync_folder(path.parent)


def overwrite(path: Path, data: bytes) -> None:
    """Put a whole, synced file in the place of another, in one step for whoever reads it."""
    aside = _aside(path)
    write(aside, data)
    try:
        os.replace(aside, path)  # noqa: PTH105  every change to a disk here goes through os
    except OSError:
        remove(aside)
        raise
    sync_folder(path.parent)


def make_folder(path: Path, root: Path) -> None:
    """Make a folder below a root, and sync every name on the way to it."""
    if not root.parent.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
    for folder in reversed([path, *path.parents]):
        if folder == root or root in folder.parents:
            with suppress(FileExistsError):
                os.mkdir(folder)  # noqa: PTH102
            sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file that nothing refers to; one that will not go is left for `flywheel doctor`."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
