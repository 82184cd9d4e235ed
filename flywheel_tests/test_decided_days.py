"""A day on which nobody is acted on is decided all the same, whoever asks."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from typer.testing import Result

from flywheel_assets.api.client import Local
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.decisions import _publish
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.errors import PublishedError
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.project import declared
from flywheel_assets.stages.policy import decide
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.promotions import PROMOTE, Ledger
from flywheel_tests.conftest import contents
from flywheel_tests.test_starting import inside, project  # noqa: F401  fixtures
from flywheel_tests.test_went_wrong import needs, turn, visits  # noqa: F401  fixtures

FIRST = date(2026, 1, 5)
DAY = timedelta(days=1)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Make a home in which nothing is decided yet."""
    home = Home(tmp_path)
    settings = Settings(start=FIRST, end=FIRST + 9 * DAY, sources={}, demo=False)
    home.save(settings)
    return Build(home, settings)


@pytest.fixture
def api(build: Build) -> Iterator[Local]:
    """Read what is published in it."""
    with closing(Local(build.home, [repurchase])) as local:
        yield local


def publish(build: Build, day: date, *customers: int, again: bool = False) -> None:
    """Decide a day about some customers, or about nobody, as the asset does."""
    known = pl.DataFrame(
        {"customer_id": customers, "recency_days": [3.0] * len(customers)},
        schema={"customer_id": pl.Int64(), "recency_days": pl.Float64()},
    )
    _publish(build, repurchase, decide(known, None, repurchase, day, None), day, again=again)


def test_nobody_is_served_after_a_day_on_which_nobody_was_considered(
    build: Build, api: Local
) -> None:
    """Not whom the day before acted on, in the newest partition and as of a moment."""
    publish(build, FIRST, 1, 2)
    before = api.best_decisions("repurchase")
    assert {one["entity"]["customer_id"] for one in before} == {1, 2}
    publish(build, FIRST + DAY)
    night = datetime(2026, 1, 7, tzinfo=UTC)
    for moment in (None, night):
        assert api.best_decisions("repurchase", as_of=moment) == []
        assert api.get_decisions("repurchase", [1, 2], as_of=moment) == [None, None]
    assert api.best_decisions("repurchase", as_of=night - DAY) == before
    publish(build, FIRST + 2 * DAY, 1)
    assert len(api.best_decisions("repurchase")) == 1


def test_nobody_is_served_where_nobody_was_ever_considered(build: Build, api: Local) -> None:
    """The first day is decided, too: there is an answer, and it is empty."""
    publish(build, FIRST)
    assert api.best_decisions("repurchase") == []


def test_a_day_that_was_decided_about_nobody_is_history(build: Build) -> None:
    """Neither decisions nor a promotion come after it unless all is decided again."""
    publish(build, FIRST, 1, 2)
    publish(build, FIRST + DAY)
    publish(build, FIRST + DAY)
    with pytest.raises(PublishedError, match=r"of 0, 2 more.*--decide-again"):
        publish(build, FIRST + DAY, 1, 2)
    entry = {"version": 1, "action": PROMOTE, "by": "ada", "reason": "better"}
    ledger = Ledger(build.tables, "repurchase")
    with pytest.raises(PublishedError, match=f"from {FIRST + 2 * DAY} on, the first day that is"):
        ledger.entered_by_hand(FIRST + DAY, entry)
    publish(build, FIRST + DAY, 1, 2, again=True)
    assert build.tables.count_days("repurchase/decisions", FIRST, FIRST + DAY) == {
        FIRST: 2,
        FIRST + DAY: 2,
    }


def test_decided_again_a_day_may_come_out_about_nobody(build: Build, api: Local) -> None:
    """Not by chance: without being asked to, what was published stays."""
    publish(build, FIRST, 1, 2)
    with pytest.raises(PublishedError, match=r"of 2, 2 gone.*--decide-again"):
        publish(build, FIRST)
    assert len(api.best_decisions("repurchase")) == 2
    publish(build, FIRST, again=True)
    assert api.best_decisions("repurchase") == []


def test_days_that_are_decided_again_about_nobody_leave_nothing_behind(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What had come back of them and what had matured goes, too; how many went is told."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    wheel = replace(wheel, training_set=replace(wheel.training_set, horizon=DAY))
    monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))
    assert turn(0, 7).exit_code == 0
    nobody = replace(wheel.policy, candidates=pl.col("pages_30d") < 0)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, decisions=nobody),))
    again = turn(3, 7, "--decide-again")
    assert again.exit_code == 0, again.output
    assert "no decision since 2026-01-08" in needs(inside, "tea_shop/decisions")
    with Turner(Home(tmp_path / "home"), [wheel]).instance as instance:
        key = dg.AssetKey(["tea_shop", "decisions"])
        [record] = instance.fetch_materializations(key, limit=1).records
    assert record.asset_materialization is not None
    told = record.asset_materialization.metadata["decided_again"].value
    assert told == {str(FIRST + 7 * DAY): "of 5, 5 gone"}
    made = contents(tmp_path / "home")
    for table, after in (
        ("tea_shop/decisions", 0),
        ("organize/fct_decision", 1),
        ("tea_shop/training_set", wheel.training_set.matures_after.days),
    ):
        days = made[table]["partition_date"].unique().sort().to_list()
        assert days == [FIRST + (n + after) * DAY for n in range(3)], table
