"""The documentation: built without a warning, needing no network, and every block of it run."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel_assets import DailyFiles
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.moved import lead_here
from flywheel_tests.pages import ROOT, SHOWN, Block, Reader, blocks, commands, words_of

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
UNRUN = {
    "make": "turns ninety days, runs every test, or serves until it is stopped",
    "flywheel ui": "serves until it is stopped",
    "flywheel run NAME": "NAME stands for a flywheel of one's own",
    "flywheel run repurchase --from 2026-01-05": "the home of the tests was made so",
    "flywheel run repurchase --from 2010": "needs the real orders",
    "flywheel performance repurchase --from 2011": "needs the real orders",
}
"""Commands that are read, and held against what there is, but not run; and why."""
UNRUN_IN_README = {
    "flywheel new": "test_starting does",
    "flywheel validate": "test_starting does, in what flywheel new wrote",
    "pytest": "test_starting does, in what flywheel new wrote",
    "flywheel apply": "the tour does",
    "python -c": "shows what flywheel apply made",
    "flywheel promote": "docs/operating.md does; version 7 stands for any",
    "flywheel rollback": "docs/operating.md does, where there is a champion to return to",
    "flywheel reproduce": "docs/stages.md does; version 7 stands for any",
}


def runs(page: Path) -> list[Block]:
    """Give the blocks of a page that are more than pictures."""
    return [block for block in blocks(page) if block.language not in SHOWN]


def front_page(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Define what the front page leaves to its reader: names, and whom it talks about."""
    from flywheel_assets.flywheels.repurchase import repurchase
    from flywheel_assets.worlds.shop import ShopConfig
    from flywheel_assets.worlds.shop_world import ShopWorld

    now, day = datetime(2026, 1, 31, 12, tzinfo=UTC), date(2026, 1, 31)
    decisions = pl.read_delta(str(folder / "data/lakehouse/repurchase/decisions"))
    newest = decisions.filter(partition_date=decisions["partition_date"].max())
    known = decisions.filter(partition_date=day).join(newest, on="customer_id", how="semi")
    customer = int(known["customer_id"][0])
    line = {"invoice": "1", "stock_code": "A", "quantity": 1, "unit_price": 2.0, "country": "Spain"}
    record = {
        "kind": "order_line",
        "entity": {"customer_id": customer},
        "event_time": now.isoformat(),
        "payload": line | {"invoice": "2"},
    }
    (folder / "orders.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    names = {
        "timedelta": timedelta,
        "when": now,
        "day": day,
        "line": line,
        "flywheel": repurchase,
        "world": ShopWorld(ShopConfig(start=day, n_customers=50, history=timedelta(days=9))),
        "spine": pl.DataFrame({"customer_id": [customer], "card_id": [1], "as_of": [now]}),
        "frame": pl.read_delta(str(folder / "data/lakehouse/features/customer_orders")),
        "events": pl.DataFrame(
            {"card_id": [1, 1], "event_time": [now, now], "known_at": [now, now], "amount": [2, 3]}
        ),
    }
    return names, {"17850": str(customer)}


@pytest.mark.parametrize("page", [p for p in PAGES if runs(p)], ids=lambda p: p.stem)
def test_every_block_runs(
    page: Path, spun: Turner, orders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block runs, in order, in a copy of a home, and prints what the page shows."""
    shutil.copytree(spun.home.root, tmp_path / "data")
    shutil.copytree(orders, tmp_path / "orders")
    home = Home(tmp_path / "data")
    settings = home.settings()
    assert settings is not None
    lead_here(home.mlflow)
    home.save(replace(settings, sources={"order_line": str(tmp_path / "orders")}))
    monkeypatch.setenv("FLYWHEEL_HOME", str(home.root))
    monkeypatch.setenv("COLUMNS", "240")
    reader = Reader(tmp_path, UNRUN)
    if page.name == "README.md":
        names, stands_for = front_page(tmp_path)
        reader = Reader(tmp_path, UNRUN | UNRUN_IN_README, names, stands_for)
    with reader:
        for block in runs(page):
            reader.read(block)


def test_every_exception_is_needed() -> None:
    """What is listed as not run is on a page."""
    said = [
        " ".join(words_of(command.text))
        for page in PAGES
        for block in runs(page)
        if block.language in {"sh", "console"}
        for command in commands(block)
    ]
    for beginning in UNRUN | UNRUN_IN_README:
        assert any(text.startswith(beginning) for text in said), beginning


def test_every_option_of_daily_files_is_in_the_table() -> None:
    """And none that there is not, with what holds without it."""
    page = (DOCS / "declaring.md").read_text(encoding="utf-8")
    table = page.partition("| option | says |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines()[2:]]
    told = {name: cells[3] for cells in rows for name in re.findall(r"`(\w+)`", cells[1])}
    assert set(told) == {field.name for field in fields(DailyFiles)}
    for field in fields(DailyFiles):
        if isinstance(field.default, str) and field.name != "time_zone":
            assert told[field.name].strip() == f"`{field.default}`"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", DOCS, folder / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return folder / "html"


def test_pages_need_no_network(site: Path) -> None:
    """No page loads anything from elsewhere: no font, script, style or picture."""
    loads = re.compile(
        r"""(?:src|srcset)=["']\s*(?:https?:)?//|<link[^>]+href=["'](?:https?:)?//"""
    )
    styles = re.compile(r"""@import|url\(\s*["']?(?:https?:)?//""")
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        assert not loads.search(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not styles.search(style.read_text(encoding="utf-8")), style


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """What can be imported is explained."""
    import flywheel_assets

    shown = "".join(page.read_text(encoding="utf-8") for page in site.glob("reference*.html"))
    for name in flywheel_assets.__all__:
        assert f'id="flywheel_assets.{name}"' in shown, name
