"""--source: a file, a folder, or one of several observations; a wrong one is no trap."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import Result

from flywheel_assets import HomeError
from flywheel_assets.cli.sources import require_sources, sources
from flywheel_assets.flywheels.fraud import fraud
from flywheel_assets.flywheels.offer import offer
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stores.home import Home
from flywheel_tests.test_starting import inside, project  # noqa: F401  fixtures
from flywheel_tests.test_went_wrong import FIRST, visits  # noqa: F401  fixtures

DAY = timedelta(days=1)


def test_several_observations_are_found_by_their_names(tmp_path: Path) -> None:
    """Folders of daily files, a file by the observation's name or by that of the declared file."""
    assert sources(repurchase, tmp_path) == {"order_line": str(tmp_path)}
    both = ("card_payment", "fraud_verdict")
    (tmp_path / "transactions.parquet").touch()
    assert sources(fraud, tmp_path) == dict.fromkeys(both, str(tmp_path / "transactions.parquet"))
    for name in both:
        (tmp_path / f"{name}.parquet").touch()
    assert sources(fraud, tmp_path) == {n: str(tmp_path / f"{n}.parquet") for n in both}
    for name in ("visit", "email"):
        (tmp_path / name).mkdir()
    found = {"visit": str(tmp_path / "visit"), "email": str(tmp_path / "email")}
    assert sources(offer, tmp_path) == found


def test_what_has_no_file_is_refused(tmp_path: Path) -> None:
    """A folder of other files, one where a file is declared, and what is only declared."""
    home = Home(tmp_path / "home")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        HomeError, match=r"files named \{day\}.csv; found a folder .*nothing was beg"
    ):
        require_sources(home, repurchase, sources(repurchase, tmp_path))
    with pytest.raises(HomeError, match=r"found a folder .*it is called card_payment.parquet"):
        require_sources(home, fraud, sources(fraud, tmp_path))
    (tmp_path / "visit").mkdir()
    (tmp_path / "visit" / "2026-01-05.csv").touch()
    with pytest.raises(HomeError, match=r"'audience'.*where it is declared.*called audience; noth"):
        require_sources(home, offer, sources(offer, tmp_path))
    for name in ("audience", "email"):
        (home.root / "landing" / name).mkdir(parents=True)
    require_sources(home, offer, sources(offer, tmp_path))


def test_a_wrong_source_is_put_right_by_the_right_one(
    inside: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As long as nothing was collected; then another is refused. No environment need be set."""
    monkeypatch.delenv("DAGSTER_HOME")
    ends = ("--from", str(FIRST), "--to", str(FIRST + 2 * DAY))
    wrong = tmp_path / "notes.csv"
    wrong.write_text("a,b\n1,2\n")
    assert inside("run", *ends, "--source", str(wrong)).exit_code == 1
    right = inside("run", *ends, "--source", str(visits))
    assert right.exit_code == 0, right.output
    refused = inside("run", *ends, "--source", str(wrong))
    assert "expected the source that visit was collected from" in refused.output
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert inside("run", *ends, "--again").exit_code == 0
