"""The whole loop, on real Delta tables, a real MLflow store and a real Dagster instance."""

import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_assets import Cancellation, Flywheel, Gate
from flywheel_assets.api.client import Local
from flywheel_assets.api.trace import trace
from flywheel_assets.dagster_assets.closed_loop import prepare, turn_with
from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.dagster_assets.turn import Run, Turner, day_by_day, replay
from flywheel_assets.errors import FlywheelError, HomeError
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.flywheels.repurchase import customer_orders, repurchase
from flywheel_assets.stores.home import Home
from flywheel_assets.worlds.shop import ShopConfig
from flywheel_tests.conftest import FIRST, LAST, contents, shared_data, spin
from flywheel_tests.test_went_wrong import boom
from flywheel_tests.unpacking import SAFELY

DAY = timedelta(days=1)


def test_every_line_is_accounted_for(spun: Turner, orders: Path) -> None:
    """Lines in the files = collected + rejected + duplicates, with nothing left over."""
    tables = contents(spun.home.root)
    lines = sum(len(f.read_text().splitlines()) - 1 for f in orders.glob("*.csv"))
    accounts = tables["collect/order_line_accounts"]
    collected = tables["collect/order_line"].height
    rejected = tables["collect/order_line_rejected"].height
    assert lines == accounts["received"].sum()
    assert lines == collected + rejected + accounts["duplicates"].sum()
    assert rejected > 0
    assert accounts["duplicates"].sum() > 0


def test_the_loop_closes(spun: Turner) -> None:
    """Decisions mature into training rows, a model is promoted, and it scores later decisions."""
    tables = contents(spun.home.root)
    assert tables["repurchase/training_set"].height > 0
    promoted = tables["repurchase/promotions"]
    assert promoted.height > 0
    first = promoted["partition_date"].min()
    decided = tables["repurchase/decisions"]
    before = decided.filter(pl.col("partition_date") < first)
    after = decided.filter(pl.col("partition_date") >= first)
    assert before["model_version"].null_count() == before.height
    assert after["model_version"].null_count() == 0
    contacted = decided.group_by("partition_date").agg((pl.col("action") == "contact").sum())
    assert (contacted["action"] <= 200).all()


def test_day_by_day_gives_the_same_tables_as_a_replay(
    spun: Turner, orders: Path, tmp_path: Path
) -> None:
    """A turn a day and runs over ranges end in equal tables."""
    last = FIRST + 5 * DAY
    home = Home(tmp_path)
    home.extend(FIRST, last, {"order_line": str(orders)}, ongoing=False, demo=False)
    turner = Turner(home, FLYWHEELS)
    turner.turn(list(day_by_day(repurchase, FIRST, last)), lambda _: None)
    ours = contents(tmp_path)
    for name, theirs in contents(spun.home.root).items():
        if name in ours:
            expected = theirs.filter(pl.col("partition_date") <= last)
            assert ours[name].equals(expected), name


def test_rematerializing_changes_nothing(spun: Turner) -> None:
    """Ten random (asset, partition) pairs, in random order, leave every table as it was."""
    before = contents(spun.home.root)
    chance = random.Random(0)  # noqa: S311  a repeatable choice, no secret
    days = (LAST - FIRST).days
    for _ in range(10):
        key = chance.choice(whole(repurchase))
        day = FIRST + chance.randint(0, days) * DAY
        keys = (key, f"{key}_rejected") if key == "collect/order_line" else (key,)
        if key.endswith("_rejected"):
            keys = (key.removesuffix("_rejected"), key)
        spun._execute(Run(keys, day, day))
    after = contents(spun.home.root)
    assert before.keys() == after.keys()
    for name, frame in before.items():
        assert frame.equals(after[name]), name


def test_a_day_done_is_skipped(spun: Turner) -> None:
    """Turning over days that are done starts no run."""
    runs = spun.clock.runs
    spun.turn([Run(tuple(whole(repurchase)), FIRST, LAST)], lambda _: None)
    assert spun.clock.runs == runs


def test_what_is_known_later_moves_nothing_earlier(orders: Path, tmp_path: Path) -> None:
    """An order known only after T, and one that happened after T, leave all of T as it was."""
    last = FIRST + 6 * DAY
    copied = tmp_path / "orders"
    copied.mkdir()
    for file in orders.glob("*.csv"):
        (copied / file.name).write_bytes(file.read_bytes())
    later = copied / f"{last}.csv"
    customer = later.read_text().splitlines()[1].split(",")[-2]
    late = f"999991,1,LATE,1,{last - 3 * DAY} 10:00:00,9.99,{customer},United Kingdom\n"
    after = f"999992,1,AFTER,1,{last} 10:00:00,9.99,{customer},United Kingdom\n"
    later.write_text(later.read_text() + late + after)
    spin(tmp_path / "one", orders, last)
    spin(tmp_path / "two", copied, last)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    for name, frame in one.items():
        kept = pl.col("partition_date") < last
        assert frame.filter(kept).equals(two[name].filter(kept)), name
    features = two["features/customer_orders"]
    assert not features.equals(one["features/customer_orders"])


def test_published_decisions_are_history(orders: Path, tmp_path: Path) -> None:
    """Deciding a published day differently is refused, with the difference shown."""
    turner = spin(tmp_path / "home", orders, FIRST + DAY)
    tables = tmp_path / "home" / "lakehouse" / "repurchase" / "decisions"
    frame = pl.read_delta(str(tables)).with_columns(pl.col("score") + 1)
    frame.write_delta(str(tables), mode="overwrite")
    said = r"that differ, such as \S+: score \S+, now \S+;.*decide_again"
    with pytest.raises(FlywheelError, match=said):
        turner._execute(Run(("repurchase/decisions",), FIRST, FIRST))


def test_a_missing_day_is_named(orders: Path, tmp_path: Path) -> None:
    """A stage whose input was never materialized says which days, and how to make them."""
    home = Home(tmp_path)
    home.extend(FIRST, LAST, {"order_line": str(orders)}, ongoing=False, demo=False)
    turner = Turner(home, FLYWHEELS)
    with pytest.raises(FlywheelError, match="flywheel run --from 2026-01-05"):
        turner._execute(Run(("organize/fct_order_line",), FIRST, FIRST))


def test_a_missing_day_of_a_dimension_is_named(orders: Path, tmp_path: Path) -> None:
    """Features are not made without what a day told of attributes; with it they are."""
    turner = spin(tmp_path / "home", orders, FIRST)
    second = FIRST + DAY
    collected = ("collect/order_line", "collect/order_line_rejected")
    turner._execute(Run((*collected, "organize/fct_order_line"), second, second))
    features = Run(("features/customer_orders",), second, second)
    with pytest.raises(FlywheelError, match=r"organize/dim_customer .*1 day without it"):
        turner._execute(features)
    turner._execute(replace(features, assets=("organize/dim_customer", *features.assets)))


DISTURBED = FIRST + 9 * DAY


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> dict[str, pl.DataFrame]:
    """Turn without being disturbed, until the day to which those who are killed come."""
    root = tmp_path_factory.mktemp("calm")
    spin(root, orders, DISTURBED)
    return contents(root)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_and_started_again(
    orders: Path, calm: dict[str, pl.DataFrame], tmp_path: Path, seed: int
) -> None:
    """SIGKILL at random moments: readable tables, and in the end those of an undisturbed run."""
    chance = random.Random(seed)  # noqa: S311  a repeatable choice, no secret
    root = tmp_path / "killed"
    Home(root).extend(FIRST, LAST, {"order_line": str(orders)}, ongoing=False, demo=False)
    command = [sys.executable, "-m", "flywheel_assets.cli", "run"]
    command += ["--from", str(FIRST), "--to", str(DISTURBED)]
    environment = os.environ | {"FLYWHEEL_HOME": str(root)}
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(3, 8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        contents(root)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    killed = contents(root)
    assert calm.keys() == killed.keys()
    for name, frame in calm.items():
        assert frame.equals(killed[name]), name


def test_the_shop_reacts_and_lives_its_days_again(tmp_path: Path) -> None:
    """A shop stopped half way and opened again comes to the same orders and decisions."""
    config = ShopConfig(start=FIRST, n_customers=300, history=timedelta(days=20))
    roots = [tmp_path / "one", tmp_path / "two"]
    for root, stops in zip(roots, ([3], [1, 3]), strict=True):
        home = Home(root)
        home.extend(FIRST, LAST, {}, ongoing=True, demo=True)
        for stop in stops:
            shop, last = prepare(home, repurchase, config), FIRST + stop * DAY
            turner = Turner(home, FLYWHEELS)
            turn_with(shop, turner, repurchase, FIRST, last, progress=lambda _: None)
    one, two = (contents(root) for root in roots)
    assert all(frame.equals(two[name]) for name, frame in one.items())


def test_days_with_the_shop_are_decided_again_by_another_champion(tmp_path: Path) -> None:
    """Turned a day at a time, they are still all that was decided since."""
    config = ShopConfig(start=FIRST, n_customers=300, history=timedelta(days=20))
    model = replace(repurchase.model, retrain="daily", gate=Gate(holdout=DAY, refit=False))
    outcome = replace(repurchase.training_set, horizon=DAY)
    sound = replace(repurchase, model=model, training_set=outcome)
    broken = replace(sound, model=replace(model, estimator=boom))
    home, last = Home(tmp_path), FIRST + 4 * DAY
    home.extend(FIRST, LAST, {}, ongoing=True, demo=True)

    def turned(flywheel: Flywheel, first: date, **how: bool) -> pl.DataFrame:
        shop, turner = prepare(home, flywheel, config), Turner(home, [flywheel], **how)
        turn_with(shop, turner, flywheel, first, last, progress=lambda _: None)
        return contents(home.root)["repurchase/decisions"]

    ruled = turned(broken, FIRST)
    assert ruled["model_version"].null_count() == ruled.height > 0
    again = turned(sound, FIRST + 2 * DAY, decide_again=True)
    assert again.filter(partition_date=last)["model_version"].null_count() == 0


def test_real_orders_are_accounted_for(tmp_path: Path) -> None:
    """Every one of the 541,909 lines of the real orders is collected, rejected or a duplicate."""
    archive = shared_data() / "online_retail" / "by-day.tar.gz"
    if not archive.exists():
        pytest.skip(f"the real orders are not at {archive}")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, **SAFELY)  # noqa: S202  filtered where it can be
    first, last = date(2010, 12, 1), date(2011, 12, 9)
    home = Home(tmp_path / "home")
    sources = {"order_line": str(tmp_path / "by-day")}
    home.extend(first, last, sources, ongoing=False, demo=False)
    turner = Turner(home, FLYWHEELS)
    keys = ("collect/order_line", "collect/order_line_rejected", "organize/fct_order_line")
    turner.turn([Run(keys, first, last)], lambda _: None)
    tables = contents(home.root)
    rejected = tables["collect/order_line_rejected"]
    duplicates = tables["collect/order_line_accounts"]["duplicates"].sum()
    facts = tables["organize/fct_order_line"]
    assert facts.height + rejected.height + duplicates == 541_909
    assert rejected.height == 135_080
    assert rejected["reason"].str.contains("customer_id: required, found nothing").all()
    assert (facts.filter("is_cancellation")["quantity"] < 0).all()


CLICK = "the-click"
FOLLOWED = FIRST + 35 * DAY
"""A Monday, on which is trained on the first days' outcomes of ten days."""


@pytest.fixture(scope="module")
def tangled(orders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Turner, Flywheel, int]:
    """Turn a flywheel whose lines are a fifth late and whose cancellations withdraw.

    One more order, of the customer who is given back, is logged through the API.
    """
    chance = random.Random(3)  # noqa: S311  a repeatable choice, no secret
    root = tmp_path_factory.mktemp("tangled")
    folder = root / "orders"
    kept: dict[date, list[str]] = {}
    for file in sorted(orders.glob("*.csv")):
        if file.stem > str(FOLLOWED):
            break
        header, *lines = file.read_text().splitlines()
        for line in lines:
            delay = chance.randint(1, 9) * DAY if chance.random() < 0.2 else 0 * DAY
            day = min(date.fromisoformat(file.stem) + delay, FOLLOWED)
            kept.setdefault(day, [header]).append(line)
    folder.mkdir()
    for day, lines in kept.items():
        (folder / f"{day}.csv").write_text("\n".join(lines) + "\n")
    rule = Cancellation(
        when=pl.col("invoice").str.starts_with("C"),
        becomes="retraction",
        measures=("quantity",),
        match=("customer_id", "stock_code"),
    )
    fact = replace(customer_orders.fact, cancellation=rule)
    view = replace(customer_orders, fact=fact)
    flywheel = replace(
        repurchase,
        features=view,
        training_set=replace(repurchase.outcome, fact=fact, horizon=10 * DAY),
    )
    home = Home(root / "home")
    home.extend(FIRST, FOLLOWED, {"order_line": str(folder)}, ongoing=False, demo=False)
    customer = int(float(kept[FIRST][1].split(",")[-2]))
    happened = datetime(FIRST.year, FIRST.month, FIRST.day, 10, tzinfo=UTC) + DAY
    with closing(
        Local(home, [flywheel], clock=lambda: int(happened.timestamp() + 60) * 1_000_000)
    ) as api:
        payload: dict[str, object] = {"invoice": "900001", "stock_code": "X", "country": "EIRE"}
        payload |= {"quantity": 3, "unit_price": 2.5}
        said = api.log_observation(
            "order_line", {"customer_id": customer}, happened, payload, observation_id=CLICK
        )
        assert said.status == "accepted"
    turner = Turner(home, [flywheel])
    turner.turn(list(replay(flywheel, FIRST, FOLLOWED)), lambda _: None)
    return turner, flywheel, customer


def test_one_observation_is_followed_from_the_api_to_later_decisions(
    tangled: tuple[Turner, Flywheel, int],
) -> None:
    """By its id: received, collected, a fact, features, training rows, models, decisions."""
    turner, flywheel, customer = tangled
    steps = trace(turner.home, [flywheel], CLICK)
    assert list(dict.fromkeys(step.table for step in steps)) == [
        "collect/order_line_received",
        "collect/order_line",
        "organize/fct_order_line",
        "features/customer_orders",
        "repurchase/training_set",
        "repurchase/model",
        "repurchase/decisions",
    ]
    told = {step.table: step.what for step in steps}
    tables = contents(turner.home.root)
    mine = tables["features/customer_orders"].filter(customer_id=customer)
    day = FIRST + DAY
    before, after = (
        mine.filter(partition_date=d)["lines_90d"].item() for d in (FIRST, FIRST + DAY)
    )
    assert f"lines_90d {before} to {after}" in told["features/customer_orders"]
    assert after > before
    assert f"repurchase:{day}:{customer}" in told["repurchase/decisions"]
    decided = trace(turner.home, [flywheel], f"repurchase:{day}:{customer}")
    assert [step.table for step in decided] == [
        "features/customer_orders",
        "repurchase/decisions",
        "repurchase/training_set",
        "repurchase/model",
    ]
    with pytest.raises(HomeError, match="nobody"):
        trace(turner.home, [flywheel], "nobody")


def test_training_rows_hold_what_decisions_saw(tangled: tuple[Turner, Flywheel, int]) -> None:
    """With a fifth of the lines late and cancellations that withdraw: no feature differs.

    And a snapshot that was meddled with is found.
    """
    turner, _, _ = tangled
    tables = contents(turner.home.root)
    facts = tables["organize/fct_order_line"]
    late = facts.filter(pl.col("known_at") > pl.col("event_time") + DAY)
    assert late.height > facts.height * 0.15
    assert facts["retracts"].count() > 20
    assert tables["repurchase/training_set"].height > 1_000
    path = str(turner.home.lakehouse / "features" / "customer_orders")
    meddled = pl.read_delta(path).with_columns(pl.col("revenue_30d") + 0.01)
    meddled.write_delta(path, mode="overwrite")
    with pytest.raises(FlywheelError, match="features_as_decided"):
        turner._execute(Run(("repurchase/training_set",), FOLLOWED, FOLLOWED))
