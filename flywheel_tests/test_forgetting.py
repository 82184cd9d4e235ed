"""Forgetting somebody in a home that has turned: nothing of them is left, all else is as it was."""

import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from flywheel_assets.dagster_assets.forgetting import forget
from flywheel_assets.stores.forgetting.receipts import Receipt
from flywheel_tests.conftest import contents
from flywheel_tests.web import ANNA, WHEELS, Web

NEEDLES = [
    str(ANNA).encode(),
    ANNA.to_bytes(8, "little"),
    ANNA.to_bytes(8, "big"),
    ANNA.to_bytes(6, "big"),  # as SQLite stores it
    b"anna-was-here",
    b"Anna's Own Lane",
    b"secret 13 of hers",
    b"of-13-her-own",
]


def found(root: Path) -> dict[str, list[bytes]]:
    """Search every file as raw bytes, compressed ones opened; written apart from what is tested."""
    told: dict[str, list[bytes]] = {}
    for file in root.rglob("*"):
        if file.is_file():
            there = [n for n in NEEDLES if any(n in part for part in opened(file))]
            if there:
                told[file.relative_to(root).as_posix()] = there
    return told


def opened(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    yield content
    if content.startswith(b"SQLite format 3"):
        with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump()).encode("utf-8", "backslashreplace")
    else:
        yield from inside(content)


def inside(content: bytes) -> Iterator[bytes]:
    if content.startswith(b"PAR1"):
        yield pl.read_parquet(io.BytesIO(content), hive_partitioning=False).write_ndjson().encode()
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)
                yield from inside(archive.read(name))
    for magic, open_ in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma)):
        if content.startswith(magic):
            yield open_.decompress(content)


@pytest.fixture(scope="module")
def before(web: Web) -> dict[str, pl.DataFrame]:
    return contents(web.home.root)


@pytest.fixture(scope="module")
def receipt(web: Web, before: dict[str, pl.DataFrame]) -> Receipt:
    return forget(web.home, WHEELS, {"visitor_id": str(ANNA)}, by="a test")


def test_nothing_is_left(web: Web, receipt: Receipt) -> None:
    assert not receipt.left
    assert not found(web.home.root)
