"""The search of everything below a folder: raw bytes, and what is inside compressed files."""

import bz2
import gzip
import io
import lzma
import zipfile
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


def search(root: Path, sought: Sought) -> list[Path]:
    """Find the files that still hold somebody."""
    files = (f for f in sorted(root.rglob("*")) if f.is_file() and not f.is_symlink())
    return [file for file in files if holds(file, sought)]


def holds(file: Path, sought: Sought) -> bool:
    """Say whether a file holds somebody: as bytes, or decompressed."""
    content = file.read_bytes()
    if content.startswith(databases.MAGIC):
        return databases.mentions(file, sought) > 0
    return any(found for found in _looked_through(content, sought))


def _looked_through(content: bytes, sought: Sought) -> Iterator[bool]:
    yield _mentioned(content, sought)
    if content.startswith(b"PAR1"):
        yield _in_frame(pl.read_parquet(io.BytesIO(content), hive_partitioning=False), sought)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            for name in opened.namelist():
                yield from _looked_through(opened.read(name), sought)
    else:
        for magic, opener in _OPENERS.items():
            if content.startswith(magic):
                yield from _looked_through(opener(content), sought)


def _in_frame(frame: pl.DataFrame, sought: Sought) -> bool:
    """Look through every column: texts, whole numbers, and what is nested."""
    found = [sought.rows(frame.schema)]
    numbers = [int.from_bytes(n, "little", signed=True) for n in sought.numbers()]
    found += [pl.col(n).is_in(numbers) for n, t in frame.schema.items() if t == pl.Int64]
    if frame.select(pl.any_horizontal(found).any()).item():
        return True
    nested = frame.select(n for n, t in frame.schema.items() if t.is_nested())
    return _mentioned(nested.write_ndjson().encode(), sought)


def _mentioned(content: bytes, sought: Sought) -> bool:
    if any(number in content for number in sought.numbers()):
        return True
    if not sought.may_be_in(content):
        return False
    text = content.decode("utf-8", "replace")
    return sought.among([text]).mentioned(text)
