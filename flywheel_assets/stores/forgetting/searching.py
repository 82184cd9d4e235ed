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
        return any(_mentioned(bytes(v), sought) for v in databases.values(file))
    return any(_mentioned(part, sought) for part in _parts(content))


def _parts(content: bytes) -> Iterator[bytes]:
    yield content
    if content.startswith(b"PAR1"):
        frame = pl.read_parquet(io.BytesIO(content), hive_partitioning=False)
        yield frame.write_ndjson().encode()
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            for name in opened.namelist():
                yield from _parts(opened.read(name))
    else:
        for magic, opener in _OPENERS.items():
            if content.startswith(magic):
                yield from _parts(opener(content))


def _mentioned(content: bytes, sought: Sought) -> bool:
    # Latin-1 gives each byte a character, UTF-8 gives the text; what is not text is both.
    if any(number in content for number in sought.numbers()):
        return True
    return sought.mentioned(content.decode("utf-8", "replace"))
