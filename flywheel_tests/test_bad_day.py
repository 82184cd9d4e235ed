"""A day's file that cannot be read stops that day and those after it, not those before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import Result

from flywheel_assets import DailyFiles, TableFile
from flywheel_assets.project import declared
from flywheel_tests.conftest import contents
from flywheel_tests.test_starting import inside, project  # noqa: F401  fixtures
from flywheel_tests.test_went_wrong import FIRST, N_DAYS, observing, visits  # noqa: F401  fixtures

DAY = timedelta(days=1)
BAD = FIRST + 5 * DAY
LAST = FIRST + (N_DAYS - 1) * DAY


@pytest.fixture
def daily(
    inside: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Write the visits as a file for each day, and declare them so."""
    folder = tmp_path / "visits"
    folder.mkdir()
    rows = pl.read_csv(visits)
    for n in range(N_DAYS):
        day = str(FIRST + n * DAY)
        rows.filter(pl.col("visited at").str.starts_with(day)).write_csv(folder / f"{day}.csv")
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    [view] = wheel.views
    visit = view.fact.observation
    assert isinstance(visit.source, TableFile)
    source = DailyFiles(
        path=str(folder),
        event_time="visited at",
        time_zone="Europe/London",
        columns=visit.source.columns,
        every_day=True,
    )
    monkeypatch.setattr("tea_shop.FLYWHEELS", (observing(wheel, replace(visit, source=source)),))
    return folder


def decided(tmp_path: Path) -> list[str]:
    """List the days that are decided."""
    found = pl.read_delta(str(tmp_path / "home" / "lakehouse" / "tea_shop" / "decisions"))
    return [str(day) for day in found["partition_date"].unique().sort()]


def broken(file: Path) -> None:
    """Call a column otherwise."""
    file.write_text(file.read_text().replace("n_pages", "pages seen"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (broken, "pages seen"),
        (lambda file: file.write_bytes(b""), "an empty file"),
        (lambda file: file.unlink(), f"{BAD}.csv among them"),
    ],
    ids=["another column", "empty", "missing"],
)
def test_the_days_before_are_made(
    spoil: Callable[[Path], None],
    said: str,
    inside: Callable[..., Result],  # noqa: F811
    daily: Path,
    tmp_path: Path,
) -> None:
    """The message says which day it is; with its file mended the same command goes on from it."""
    file = daily / f"{BAD}.csv"
    sound = file.read_text()
    spoil(file)
    range_ = ("run", "--from", str(FIRST), "--to", str(LAST))
    stopped = inside(*range_)
    assert stopped.exit_code == 1
    assert f"found that {BAD} stops it, collect/visit: " in stopped.output
    assert said in stopped.output
    assert f"goes on from {BAD}: what is before it, 5 days from {FIRST}" in stopped.output
    assert decided(tmp_path) == [str(FIRST + n * DAY) for n in range(5)]
    file.write_text(sound)
    again = inside(*range_)
    assert again.exit_code == 0, again.output
    assert decided(tmp_path) == [str(FIRST + n * DAY) for n in range(N_DAYS)]


def test_a_first_day_that_cannot_be_read_makes_nothing(
    inside: Callable[..., Result],  # noqa: F811
    daily: Path,
    tmp_path: Path,
) -> None:
    """There is none before it."""
    broken(daily / f"{FIRST}.csv")
    stopped = inside("run", "--from", str(FIRST), "--to", str(LAST))
    assert stopped.exit_code == 1
    assert "collect_visit failed: " in stopped.output
    assert not (tmp_path / "home" / "lakehouse" / "tea_shop" / "decisions").exists()


def test_a_file_that_is_gone_is_no_empty_day(
    inside: Callable[..., Result],  # noqa: F811
    daily: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was collected of it stays, and what would be made again says what to put back."""
    [wheel] = declared()
    visit = wheel.views[0].fact.observation
    calm = replace(visit, source=replace(visit.source, every_day=False))  # type: ignore[type-var]
    monkeypatch.setattr("tea_shop.FLYWHEELS", (observing(wheel, calm),))
    ends = ("--from", str(FIRST), "--to", str(LAST))
    assert inside("run", *ends).exit_code == 0
    before = contents(tmp_path / "home")
    text = (daily / f"{BAD}.csv").read_text()
    (daily / f"{BAD}.csv").unlink()
    refused = inside("run", *ends, "--again")
    assert refused.exit_code == 1
    n_rows = before["collect/visit"].filter(partition_date=BAD).height
    assert f"expected the {n_rows} records of {BAD} that collect/visit has" in refused.output
    after = contents(tmp_path / "home")
    assert all(frame.equals(after[name]) for name, frame in before.items())
    (daily / f"{BAD}.csv").write_text(text)
    assert inside("run", *ends, "--again").exit_code == 0
    (daily / f"{BAD}.csv").write_text(text.splitlines()[0] + "\n")
    said_so = inside("run", "--from", str(BAD), "--to", str(LAST), "--decide-again")
    assert said_so.exit_code == 0, said_so.output
    assert contents(tmp_path / "home")["collect/visit"].filter(partition_date=BAD).is_empty()
