"""Forgetting somebody in a home that has turned: nothing of them is left, all else is as it was."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import sqlite3
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel_assets import HomeError
from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.doctor import examine
from flywheel_assets.dagster_assets.forgetting import forget
from flywheel_assets.dagster_assets.promotions import champion_as_of
from flywheel_assets.dagster_assets.reproducing import reproduce
from flywheel_assets.dagster_assets.status import status
from flywheel_assets.dagster_assets.turn import Run
from flywheel_assets.stages.drift import PROFILE_SCHEMA
from flywheel_assets.stores.forgetting.receipts import Receipt, Receipts
from flywheel_assets.stores.tables import Tables
from flywheel_tests.conftest import contents
from flywheel_tests.web import ANNA, DAY, LAST, START, VISITORS, WHEELS, Web, at_noon, write_clicks

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


@dataclass(frozen=True)
class Story:
    """What stood in the home before and after, and what forgetting said of it."""

    web: Web
    before: dict[str, pl.DataFrame]
    was_in: dict[str, list[bytes]]
    counted: Receipt
    """By a dry run."""
    receipt: Receipt
    after: dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def story(web: Web) -> Story:
    root = web.home.root
    # As a model that reads streets would have it.
    lake = Tables(web.home.lakehouse)
    rows = lake.read("buys/profile", PROFILE_SCHEMA, LAST, LAST).collect()
    hers = rows.head(1).with_columns(category=pl.lit("24 Anna's Own Lane"))
    lake.replace("buys/profile", pl.concat([rows, hers]), PROFILE_SCHEMA, LAST, LAST)
    before, was_in = contents(root), found(root)
    asked: dict[str, Any] = {"keys": {"visitor_id": str(ANNA)}, "by": "a test"}
    counted = forget(web.home, WHEELS, **asked, dry_run=True)
    assert found(root) == was_in
    receipt = forget(web.home, WHEELS, **asked)
    return Story(web, before, was_in, counted, receipt, contents(root))


def of_anna(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Choose rows in a way of their own: every value as text."""
    texts = pl.concat_str(pl.all().cast(pl.String).fill_null("-"), separator="\n")
    return rows.filter(texts.str.contains(f"{ANNA}|Anna's Own Lane"))


def test_it_was_everywhere(story: Story) -> None:
    """The search that finds nothing afterwards does find her before."""
    places = {place.split("/")[0] for place in story.was_in}
    assert places == {"lakehouse", "inbox", "dagster"}
    assert {n for there in story.was_in.values() for n in there} >= {NEEDLES[0], *NEEDLES[4:]}
    tables = {"/".join(place.split("/")[1:3]) for place in story.was_in if "lakehouse" in place}
    assert tables == {
        *("collect/click", "collect/click_received", "collect/click_rejected"),
        *("collect/purchase", "collect/purchase_received", "collect/decision"),
        *("organize/fct_click", "organize/fct_purchase", "organize/fct_decision"),
        *("organize/dim_visitor", "features/browsing", "features/spending"),
        *("buys/training_set", "buys/decisions", "buys/profile"),
        *("comes_back/training_set", "comes_back/decisions"),
    }


def test_nothing_is_left(story: Story) -> None:
    """Not in any file: raw bytes, columns, freed pages, old versions, Dagster's log."""
    assert not story.receipt.left
    assert not found(story.web.home.root)


def test_counts_in_every_table(story: Story) -> None:
    """Hers are gone, all others stand as they were, and the receipt says so of each table."""
    assert story.before.keys() == story.after.keys() == story.receipt.rows.keys()
    for table, rows in story.before.items():
        hers = of_anna(table, rows)
        assert story.after[table].equals(
            rows.join(hers, on=rows.columns, how="anti", nulls_equal=True)
        ), table
        counts = {"before": rows.height, "theirs": hers.height, "after": rows.height - hers.height}
        said = story.receipt.rows[table]
        assert {name: said[name] for name in counts} == counts, table
        assert story.counted.rows[table] == said | {"after": rows.height}
    # The first day was made twice.
    assert story.receipt.rows["organize/fct_click"]["past_files"] == 1
    assert story.receipt.rows["collect/click_rejected"]["theirs"] == 2
    # Three purchases and one withdrawn, a click and its correction, and what named no kind.
    assert story.receipt.elsewhere["inbox"] == 7


def test_the_receipt_proves_it_without_the_data(story: Story) -> None:
    """Whose it is can be told by who knows the salt and the id."""
    home, receipt = story.web.home, story.receipt
    (kept,) = Receipts.of(home).all()
    assert kept == receipt
    assert receipt.finished_at is not None
    assert receipt.by == "a test"
    salt = json.loads((home.root / "forgotten.json").read_text())["salt"]
    digest = hashlib.sha256(f"{salt}:visitor_id:{ANNA}".encode()).hexdigest()
    assert receipt.digests == {"visitor_id": digest}
    assert [s["path"] for s in receipt.sources] == [str(story.web.sources)]
    assert receipt.sources[0]["records"] == 4
    assert story.counted.sources == receipt.sources
    assert receipt.searched["files"] > 100


def test_models_that_saw_her(story: Story) -> None:
    """They are named and flagged, status says so, and reproducing them is refused with why."""
    home, build = story.web.home, build_for(story.web.home)
    trained = {(m["model"], m["version"]): m["rows"] for m in story.receipt.models}
    assert trained == {("buys.buys_model", 1): 1, ("comes_back.comes_back_model", 1): 1}
    assert build.registry.forgot("buys.buys_model", 1) == [story.receipt.id]
    with pytest.raises(HomeError, match="forgotten since"):
        reproduce(build, WHEELS[1], 1)
    told = {one.table: one for one in status(home, WHEELS)}
    [warned] = told["buys/model"].warned
    assert "forgotten since" in warned
    every = build.registry.versions("buys.buys_model")
    sound = [v for v in every if not build.registry.forgot("buys.buys_model", v)]
    assert (f"flywheel promote buys {max(sound)}" if sound else "no version was trained") in warned
    assert not examine(home, WHEELS)


def test_the_loop_goes_on_without_her(story: Story) -> None:
    """Old days made again stay as they are; news of her is counted, and goes no further."""
    web, home = story.web, story.web.home
    build = build_for(home)
    web.turner.force(Run(tuple(REMADE), START, LAST))
    again = contents(home.root)
    for table in (
        story.after.keys()
        - {"collect/click_rejected"}
        - {t for t in story.after if t.endswith("_accounts")}
    ):
        assert again[table].equals(story.after[table]), table
    refused = again["collect/click_rejected"]
    news = refused.filter(reason="forgotten")
    assert news.height == 4
    assert news.select("file", "line", "record").null_count().row(0) == (4, 4, 4)
    assert refused.filter(pl.col("reason") != "forgotten").equals(
        story.after["collect/click_rejected"]
    )
    day = LAST + DAY
    web.clock(day)
    write_clicks(web.sources, day, [*VISITORS[:20]])
    at_noon(web.api, day, np.random.default_rng(2))
    web.turn(day)
    tables = contents(home.root)
    assert tables["buys/decisions"].filter(partition_date=day).height > 10
    came = tables["collect/purchase_rejected"].filter(partition_date=day)
    assert came["reason"].to_list() == ["forgotten"]
    # What the product logs of her is with the inbox until she is forgotten again.
    assert {place.split("/")[0] for place in found(home.root)} == {"inbox"}
    # Trained again, and promoted, without her.
    champion = champion_as_of(build, WHEELS[1], day)
    assert champion == 2
    assert not build.registry.forgot("buys.buys_model", 2)
    assert not reproduce(build, WHEELS[1], 2).differences
    told = {one.table: one for one in status(home, WHEELS)}
    assert not told["buys/model"].warned


REMADE = [
    *("collect/click", "collect/click_rejected", "collect/purchase", "collect/purchase_rejected"),
    *("organize/fct_click", "organize/fct_purchase", "organize/dim_visitor"),
    *("features/browsing", "features/spending", "buys/training_set", "comes_back/training_set"),
]
