"""What a person sees: Dagster's pages on a project's home, in a real browser.

``FLYWHEEL_SCREENSHOTS=docs/screenshots`` keeps a picture of each page, for the docs.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from flywheel_tests.browsing import CHROMIUM, PATIENCE_S, flywheel, served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

STAGES = ("collect", "organize", "features", "training_set", "model", "decisions", "performance")
SCREENSHOTS = os.environ.get("FLYWHEEL_SCREENSHOTS")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Start a project as a new user does, and run it; then claim of its data what is not so."""
    folder = tmp_path_factory.mktemp("browser")
    flywheel(folder, "new", "tea_shop")
    project = folder / "tea_shop"
    flywheel(project, "run", "tea_shop", "--from", "2026-01-05", "--to", "2026-01-12")
    declaration = project / "tea_shop" / "declaration.py"
    said = '    description="Visits, each once.",\n'
    assert said in declaration.read_text()
    stricter = said + '    unique=("customer_id",),\n'
    declaration.write_text(declaration.read_text().replace(said, stricter))
    return project


@pytest.fixture(scope="module")
def url(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve it."""
    with served(project, tmp_path_factory.mktemp("served") / "log") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page; whatever it reports as an error fails the test."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(PATIENCE_S * 1000)
    expect.set_options(timeout=PATIENCE_S * 1000)
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert not errors


def keep(page: Page, name: str) -> None:
    """Take a picture, where somebody asks for it."""
    if SCREENSHOTS:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def test_the_lineage_has_every_stage(url: str, page: Page) -> None:
    page.goto(f"{url}/asset-groups~/")
    for stage in STAGES:
        expect(page.get_by_text(stage, exact=True).first).to_be_visible()
    keep(page, "lineage")


def test_an_asset_says_whose_it_is_and_what_it_holds(url: str, page: Page) -> None:
    page.goto(f"{url}/assets/features/customer_visits")
    for text in ("tea_shop", "visits_7d", "Visits in the last 7 days.", "Delta Lake"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    keep(page, "asset")


def launch(page: Page, partitions: str, name: str) -> None:
    """Press Materialize, choose partitions, launch, and go where it can be watched."""
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    chosen = dialog.get_by_placeholder("ex:")
    chosen.fill(partitions)
    chosen.press("Enter")
    keep(page, name)
    dialog.get_by_role("button", name="Launch").click()
    page.get_by_text("View", exact=True).last.click()


def test_one_partition_is_materialized(url: str, page: Page) -> None:
    page.goto(f"{url}/assets/features/customer_visits")
    launch(page, "2026-01-12", "materialize")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    keep(page, "run")


def test_a_range_is_backfilled(url: str, page: Page) -> None:
    page.goto(f"{url}/assets/features/customer_visits")
    launch(page, "[2026-01-06...2026-01-08]", "backfill")
    expect(page.get_by_text("100% completed")).to_be_visible()
    keep(page, "backfilled")


def test_a_failing_check_says_what_is_wrong(url: str, page: Page) -> None:
    page.goto(f"{url}/assets/organize/fct_visit")
    launch(page, "2026-01-12", "to_fail")
    expect(page.get_by_text("Failure", exact=True).first).to_be_visible()
    page.goto(f"{url}/assets/organize/fct_visit?view=checks")
    page.get_by_text("unique_key").first.click()
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text("customer_id").first).to_be_visible()
    keep(page, "check")


@pytest.fixture(scope="module")
def report(project: Path) -> str:
    """Write the flywheel's report; gives its address."""
    flywheel(project, "report", "tea_shop", "--out", "report.html")
    return (project / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_report_fits_phone_and_desk(
    report: str, page: Page, width: int, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(report)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    ground, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (brightness(ground) > brightness(ink)) == (scheme == "light")
    keep(page, f"report_{width}_{scheme}")


def brightness(color: str) -> float:
    """Sum the channels of ``rgb(...)``."""
    return sum(float(channel) for channel in re.findall(r"[\d.]+", color)[:3])
