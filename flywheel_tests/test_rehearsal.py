"""A flywheel rehearsed in memory: the Dagster loop's decisions, its switches, its refusals."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flywheel_assets import TopK
from flywheel_assets.dagster_assets.closed_loop import prepare, turn_with
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.errors import FlywheelError
from flywheel_assets.flywheels.shop_contacts import shop_contacts
from flywheel_assets.rehearsal import Rehearsal, rehearse, without_exploration
from flywheel_assets.stores.home import Home
from flywheel_assets.worlds.shop import ShopConfig
from flywheel_assets.worlds.shop_world import ShopWorld

DAY = timedelta(days=1)
FIRST = date(2026, 1, 5)
N_DAYS = 17
LAST = FIRST + (N_DAYS - 1) * DAY
CONFIG = ShopConfig(start=FIRST, n_customers=300, history=timedelta(days=20))
daily = replace(
    shop_contacts,
    # So small a shop teaches little: with the gate open, more than one model decides.
    model=replace(
        shop_contacts.model,
        retrain="daily",
        gate=replace(shop_contacts.model.gate, minimum=1e9, minimum_gain=-1e9),
    ),
    decisions=replace(shop_contacts.policy, allocation=TopK(capacity=20, action="contact")),
)


def rehearsed(**switches: object) -> tuple[Rehearsal, pl.DataFrame]:
    """Rehearse two weeks and a half."""
    flywheel = switches.pop("flywheel", daily)
    rehearsal = Rehearsal(flywheel, ShopWorld(CONFIG, tells_contacts=True), **switches)  # type: ignore[arg-type]
    return rehearsal, pl.concat(rehearse(rehearsal, FIRST, LAST))


@pytest.fixture(scope="module")
def usual() -> tuple[Rehearsal, pl.DataFrame]:
    """Rehearse without a switch."""
    return rehearsed()


def test_it_decides_what_the_dagster_loop_decides(
    usual: tuple[Rehearsal, pl.DataFrame], tmp_path: Path
) -> None:
    """Seventeen days of the shop through Delta, MLflow, inbox and API: the same decisions."""
    home = Home(tmp_path)
    home.extend(FIRST, LAST, {}, ongoing=True, demo=True)
    shop = prepare(home, daily, CONFIG)
    turner = Turner(home, [daily])
    turn_with(shop, turner, daily, FIRST, LAST, progress=lambda _: None)
    theirs = pl.read_delta(str(home.lakehouse / "shop_contacts" / "decisions"))
    rehearsal, ours = usual
    order = ["partition_date", "decision_id"]
    assert ours["model_version"].n_unique() > 1, "no model decided: the test is too short"
    assert_frame_equal(ours.sort(order), theirs.select(ours.columns).sort(order), check_exact=True)
    world = rehearsal.world
    assert isinstance(world, ShopWorld)
    assert world.shop.revenue == shop.revenue


def test_the_same_world_twice_decides_the_same(usual: tuple[Rehearsal, pl.DataFrame]) -> None:
    """A rehearsal is a function of flywheel and world."""
    assert rehearsed()[1].equals(usual[1])


def test_a_frozen_model_is_the_first(usual: tuple[Rehearsal, pl.DataFrame]) -> None:
    """With ``learning="once"`` the first champion decides for ever."""
    _, free = usual
    frozen, decided = rehearsed(learning="once")
    versions = free["model_version"].drop_nulls().unique().sort()
    before = pl.col("model_version").is_null() | (pl.col("model_version") == versions[0])
    assert len(versions) > 1
    assert decided.filter(
        decided["partition_date"] < free.filter(~before)["partition_date"].min()
    ).equals(free.filter(before))
    assert decided["model_version"].drop_nulls().unique().to_list() == [versions[0]]
    assert frozen.version == versions[0]


def test_a_flywheel_that_never_learns_decides_by_its_rule() -> None:
    """With ``learning="never"`` no day has a model."""
    rehearsal, decided = rehearsed(learning="never")
    assert decided["model_version"].null_count() == decided.height
    assert rehearsal.trainings == []


def test_without_exploration_nothing_is_left_to_chance() -> None:
    """Every action has the propensity 1."""
    _, decided = rehearsed(flywheel=without_exploration(daily), learning="never")
    assert (decided["propensity"] == 1).all()
    assert not decided["explored"].any()


class OneDay:
    """A world that tells one thing."""

    def __init__(self, told: Mapping[str, pl.DataFrame]) -> None:
        self.told = told

    def history(self) -> Iterator[tuple[date, Mapping[str, pl.DataFrame]]]:
        """Have none."""
        return iter(())

    def day(self, day: date, decisions: pl.DataFrame) -> Mapping[str, pl.DataFrame]:
        """Tell it."""
        return self.told


def test_a_world_tells_declared_observations_of_its_day() -> None:
    """An unknown kind, and a row that was known on another day, are mistakes of the world."""
    with pytest.raises(FlywheelError, match="order_lime"):
        Rehearsal(daily, OneDay({"order_lime": pl.DataFrame()})).turn(FIRST)
    line = {
        "event_time": datetime(2026, 1, 9, tzinfo=UTC),
        "customer_id": 7,
        "invoice": "1",
        "stock_code": "A",
        "description": "",
        "quantity": 1,
        "unit_price": 1.0,
        "country": "EIRE",
    }
    lines = pl.DataFrame([line]).with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))
    with pytest.raises(FlywheelError, match="became known from 2026-01-05"):
        Rehearsal(daily, OneDay({"order_line": lines})).turn(FIRST)
