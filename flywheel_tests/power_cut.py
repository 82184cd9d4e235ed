"""A disk that forgets: what a power cut can leave, from the calls that were made before it.

Contents last when their file was synced. A name (of a file made, linked, moved, removed, or of a
folder made) lasts when its folder was synced; before that, any subset of names may have reached the
disk, with or without the contents.
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class _Inode:
    data: bytes = b""
    synced: bytes = b""


@dataclass
class _Change:
    """Names set (or removed: None) in one folder, in one step."""

    folder: str
    names: dict[str, _Inode | str | None]
    lasts: bool = False


@dataclass
class Disk:
    """Follows the calls of a store; give `seen` to `before_each`."""

    changes: list[_Change] = field(default_factory=list)
    inodes: dict[str, _Inode] = field(default_factory=dict)
    descriptors: dict[int, str] = field(default_factory=dict)

    def after(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Take note of a call that succeeded."""
        if name == "open":
            self._open(str(args[0]), args[1], result)
        elif name == "write":
            self._inode(self.descriptors[args[0]]).data += bytes(args[1])[:result]
        elif name == "fsync":
            self._sync(self.descriptors[args[0]])
        elif name == "link":
            self._change({str(args[1]): self._inode(str(args[0]))})
        elif name == "replace":
            self._change({str(args[1]): self._inode(str(args[0])), str(args[0]): None})
        elif name == "unlink":
            self._change({str(args[0]): None})
        elif name == "mkdir":
            self._change({str(args[0]): "folder"})

    def states(self) -> Iterator[dict[str, bytes | str | None]]:
        """Give what a cut now may leave: path -> contents, "folder", or None if removed."""
        pending = [c for c in self.changes if not c.lasts]
        for kept in itertools.product((False, True), repeat=len(pending)):
            chosen = {id(c) for c, keep in zip(pending, kept, strict=True) if keep}
            there = [c for c in self.changes if c.lasts or id(c) in chosen]
            for lost in (True, False):
                found: dict[str, bytes | str | None] = {}
                for change in there:
                    for path, what in change.names.items():
                        if isinstance(what, _Inode):
                            found[path] = what.synced if lost else what.data
                        else:
                            found[path] = what
                yield found

    def _open(self, path: str, flags: int, descriptor: int) -> None:
        self.descriptors[descriptor] = path
        if flags & os.O_CREAT:
            self.inodes.pop(path, None)
            self._change({path: self._inode(path)})

    def _inode(self, path: str) -> _Inode:
        return self.inodes.setdefault(path, _Inode())

    def _change(self, names: dict[str, _Inode | str | None]) -> None:
        for path, what in names.items():
            if isinstance(what, _Inode):
                self.inodes[path] = what
        self.changes.append(_Change(str(Path(next(iter(names))).parent), names))

    def _sync(self, path: str) -> None:
        if path in self.inodes:
            self.inodes[path].synced = self.inodes[path].data
            return
        for change in self.changes:
            change.lasts = change.lasts or change.folder == path


def leave(state: dict[str, bytes | str | None], before: Path, after: Path) -> None:
    """Make the folder `after` what a cut left of calls that were made in `before`."""
    for path, what in state.items():
        target = after / Path(path).relative_to(before)
        if not target.parent.is_dir():
            continue  # the name is there, in a folder that is lost
        if what == "folder":
            target.mkdir(exist_ok=True)
        elif what is None:
            target.unlink(missing_ok=True)
        else:
            target.write_bytes(bytes(what) if isinstance(what, bytes) else b"")
