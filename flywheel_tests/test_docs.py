"""The documentation: built without a warning, needing no network, and every block of it run."""

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel_assets.dagster_assets.turn import Turner
from flywheel_tests.pages import ROOT, SHOWN, Block, Reader, blocks

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
UNRUN = {
    "make": "turns ninety days, runs every test, or serves until it is stopped",
    "flywheel ui": "serves until it is stopped",
    "flywheel demo": "turns ninety days",
    "flywheel run NAME": "NAME stands for a flywheel of one's own",
    "flywheel run repurchase --from 2010": "needs the real orders",
    "flywheel performance repurchase --from 2011": "needs the real orders",
}
"""Commands that are read, and held against what there is, but not run; and why."""


def runs(page: Path) -> list[Block]:
    """Give the blocks of a page that are more than pictures."""
    return [block for block in blocks(page) if block.language not in SHOWN]


@pytest.fixture(scope="module")
def unrun() -> dict[str, str]:
    """Note which of the exceptions are needed."""
    return {}


def given(page: Path, folder: Path) -> dict[str, Any]:
    """Define what the front page's fragments leave to its reader."""
    if page.name != "README.md":
        return {}
    from flywheel_assets.flywheels.repurchase import repurchase

    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    return {
        "timedelta": timedelta,
        "home": folder,
        "flywheel": repurchase,
        "when": now,
        "events": pl.DataFrame(
            {"card_id": [1, 1], "event_time": [now, now], "known_at": [now, now], "amount": [2, 3]}
        ),
        "spine": pl.DataFrame({"card_id": [1], "as_of": [now + timedelta(days=1)]}),
    }


@pytest.mark.parametrize("page", [p for p in PAGES if runs(p)], ids=lambda p: p.stem)
def test_every_block_runs(
    page: Path, spun: Turner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block of the page runs, in order, and prints what the page shows."""
    shutil.copytree(spun.home.root, tmp_path / "data")
    monkeypatch.setenv("FLYWHEEL_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "160")
    with Reader(tmp_path, UNRUN, given(page, tmp_path)) as reader:
        for block in runs(page):
            reader.read(block)


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
