"""The search of everything below a folder: raw bytes, and what is inside compressed files."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from flywheel_assets.stores.forgetting import databases
from flywheel_assets.stores.forgetting.sought import Sought

_OPENERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
}
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    zipfile.BadZipFile,
    lzma.LZMAError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)
_IN_LIST = re.compile(r"(?<=[\[,])-?\d+(?:\.\d+)?(?=[,\]])")
"""Numbers of a list: of no key."""


def search(root: Path, sought: Sought) -> list[Path]:
    """Find the files that still hold somebody."""
    files = (f for f in sorted(root.rglob("*")) if f.is_file() and not f.is_symlink())
    return [file for file in files if holds(file, sought)]


def holds(file: Path, sought: Sought) -> bool:
    """Say whether a file holds somebody: as bytes, or decompressed.

    One that cannot be read counts as theirs, unless it is text after all: nobody can say that it
    is not.
    """
    content = file.read_bytes()
    if content.startswith(databases.MAGIC):
        return databases.mentions(file, sought) > 0
    try:
        return any(found for found in _looked_through(content, sought))
    except _UNREADABLE:
        return not _is_text(content)


def _looked_through(content: bytes, sought: Sought) -> Iterator[bool]:
    if content.startswith(b"PAR1") and not _is_text(content):
        # Its numbers are columns, not bytes: what is in a column of somebody else's is theirs.
        yield _in_frame(pl.read_parquet(io.BytesIO(content), hive_partitioning=False), sought)
        return
    yield _mentioned(content, sought)
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            for name in opened.namelist():
                yield from _looked_through(opened.read(name), sought)
    else:
        for magic, opener in _OPENERS.items():
            if content.startswith(magic):
                yield from _looked_through(opener(content), sought)


def _in_frame(frame: pl.DataFrame, sought: Sought) -> bool:
    """Look through every column: keys, also as sources call them, texts, and what is nested."""
    if frame.select(sought.rows(frame.schema).any()).item():
        return True
    keys = [[n for n in names if n in frame.columns] for names in sought.names.values()]
    if all(keys):
        named = frame.select(
            pl.col(n[-1]).alias(k) for k, n in zip(sought.names, keys, strict=True)
        )
        if named.select(sought.rows(named.schema).any()).item():
            return True
    nested = frame.select(n for n, t in frame.schema.items() if t.is_nested())
    text = _IN_LIST.sub("", nested.write_ndjson())
    return sought.among([text]).mentioned(text)


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mentioned(content: bytes, sought: Sought) -> bool:
    if any(number in content for number in sought.numbers()):
        return True
    if not sought.may_be_in(content):
        return False
    text = content.decode("utf-8", "replace")
    return sought.among([text]).mentioned(text)
