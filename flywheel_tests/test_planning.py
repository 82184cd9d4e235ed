"""Changing a declaration over tables that are there: planned, carried out, nothing else moved."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

import flywheel_assets.flywheels
from flywheel_assets import Aggregation, DailyFiles, Expression, FeatureView, Flywheel
from flywheel_assets.changes.meaning import Meaning
from flywheel_assets.changes.plan import Grade
from flywheel_assets.cli import app
from flywheel_assets.dagster_assets.notices import sensors
from flywheel_assets.dagster_assets.planning import apply, steps
from flywheel_assets.dagster_assets.reported import write_report
from flywheel_assets.dagster_assets.speed import speeds
from flywheel_assets.dagster_assets.status import Urgency, status
from flywheel_assets.dagster_assets.turn import Run, Turner, replay
from flywheel_assets.declare.flywheel import catalog
from flywheel_assets.errors import FlywheelError
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.flywheels.repurchase import (
    customer_orders,
    customers,
    order_line,
    order_lines,
    repurchase,
)
from flywheel_assets.flywheels.repurchase import orders as counted
from flywheel_assets.stores.declared import Declared
from flywheel_assets.stores.home import Home, Settings
from flywheel_tests.conftest import FIRST, LAST, contents

DAYS = timedelta(days=34)
VIEW, ROWS = "features/customer_orders", "repurchase/training_set"


def seeing(view: FeatureView) -> Flywheel:
    """Declare the flywheel over another view."""
    return replace(repurchase, features=view)


@pytest.fixture(scope="module")
def home(orders: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Turn the flywheel for five weeks."""
    made = Home(tmp_path_factory.mktemp("planned"))
    made.extend(FIRST, LAST, {"order_line": str(orders)}, ongoing=False, demo=False)
    runs = list(replay(repurchase, FIRST, FIRST + DAYS))
    Turner(made, [repurchase]).turn(runs, lambda _: None)
    return made


def test_what_was_just_made_needs_nothing(home: Home) -> None:
    """The declaration that made the tables plans nothing, nor does one with other words."""
    assert steps(home, [repurchase], {}) == []
    worded = seeing(replace(customer_orders, description="Otherwise said."))
    planned = steps(home, [worded], {})
    assert [(s.change.table, s.change.grade, s.n_days) for s in planned] == [
        (VIEW, Grade.DESCRIPTION, 0)
    ]


def test_a_run_warns_of_what_is_not_applied(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of days to be made again, on standard error; not of additions, nor published decisions."""
    more = (*customer_orders.aggregations, counted(14))
    longer = [
        replace(a, window=timedelta(days=8)) if a.name == "orders_7d" else a
        for a in customer_orders.aggregations
    ]
    added = seeing(replace(customer_orders, aggregations=more))
    cautious = replace(repurchase, decisions=replace(repurchase.policy, control=0.1))
    changed = seeing(replace(customer_orders, aggregations=tuple(longer)))
    monkeypatch.setenv("FLYWHEEL_HOME", str(home.root))
    said = {}
    for name, wheel in (("added", added), ("history", cautious), ("recompute", changed)):
        monkeypatch.setattr(flywheel_assets.flywheels, "FLYWHEELS", (wheel,))
        day = ("--from", str(FIRST), "--to", str(FIRST))
        said[name] = CliRunner().invoke(app, ["run", "repurchase", *day, "--json"])
        assert said[name].exit_code == 0, said[name].output
    told = {name: json.loads(one.stdout)["unapplied"] for name, one in said.items()}
    assert told == {
        "added": [],
        "history": ["repurchase/performance"],
        "recompute": [VIEW, ROWS, "repurchase/performance", "repurchase/drift"],
    }
    assert said["added"].stderr == ""
    warning = said["recompute"].stderr
    assert f"{VIEW} (recompute), {ROWS} (recompute)" in warning
    assert " and 1 more." in warning
    assert "flywheel plan" in warning
    assert "flywheel apply" in warning


def test_a_feature_that_decisions_never_saw_stops_nothing(home: Home, tmp_path: Path) -> None:
    """Added and not applied, it is null for them, as is what is made of it; others are checked."""
    home = Home(Path(shutil.copytree(home.root, tmp_path / "copied")))
    twice = Expression(name="twice", expression=pl.col("orders_14d") * 2, description="Twice.")
    more = replace(
        customer_orders,
        aggregations=(*customer_orders.aggregations, counted(14)),
        expressions=(*customer_orders.expressions, twice),
    )
    changed = seeing(more)
    day = FIRST + DAYS
    Turner(home, [changed]).force(Run((ROWS,), day, day))
    rows = contents(home.root)[ROWS].filter(partition_date=day)
    assert rows["orders_14d"].null_count() == rows["twice"].null_count() == rows.height > 0
    meddled = pl.read_delta(str(home.lakehouse / VIEW)).with_columns(pl.col("revenue_30d") + 1)
    meddled.write_delta(str(home.lakehouse / VIEW), mode="overwrite")
    with pytest.raises(FlywheelError, match="features_as_decided"):
        Turner(home, [changed]).force(Run((ROWS,), day, day))


def test_a_table_that_is_gone_is_missed(home: Home) -> None:
    """Nothing goes on without it; `apply` makes it again as it was, killed in between or not."""
    turner = Turner(home, [repurchase])
    fact, before = home.lakehouse / ROWS, contents(home.root)
    planned_before = steps(home, [repurchase], {})
    shutil.rmtree(fact)
    days = turner._build.declared.epochs(ROWS)
    with pytest.raises(FlywheelError, match="put its folder back from a backup, or make it again"):
        turner.force(Run((ROWS,), FIRST + DAYS, FIRST + DAYS))
    with pytest.raises(FlywheelError, match="put its folder back from a backup, or make it again"):
        turner.force(Run(("repurchase/drift",), FIRST + DAYS, FIRST + DAYS))
    [lost] = [s for s in steps(home, [repurchase], {}) if s.change.table == ROWS]
    assert lost.ranges == ((days[0].first, days[-1].last),)
    turner._build.declared.record(ROWS, *lost.ranges[0], Meaning(columns={}))
    turner.force(Run((ROWS,), FIRST, FIRST))  # and killed
    left = [s for s in steps(home, [repurchase], {}) if s.change.table == ROWS]
    assert left[0].ranges
    list(apply(left, turner, lambda _: None))
    assert [s.change.table for s in steps(home, [repurchase], {})] == [
        s.change.table for s in planned_before if s.change.table != ROWS
    ]
    assert contents(home.root)[ROWS].equals(before[ROWS])


def test_a_renamed_field_is_carried_over(home: Home, tmp_path: Path) -> None:
    """Its tables get the new name, nothing is made again, features are as they were."""
    home = Home(Path(shutil.copytree(home.root, tmp_path / "copied")))
    source = order_line.source
    assert isinstance(source, DailyFiles)
    columns = {**source.columns, "price": source.columns["unit_price"]}
    del columns["unit_price"]
    told = tuple(
        replace(f, name="price", old_names=("unit_price",)) if f.name == "unit_price" else f
        for f in order_line.fields
    )
    observation = replace(order_line, fields=told, source=replace(source, columns=columns))
    derive = {**order_lines.derive, "revenue": pl.col("quantity") * pl.col("price")}
    fact = replace(order_lines, observation=observation, derive=derive)
    dimension = replace(customers, observation=observation)
    view = replace(customer_orders, fact=fact, dimensions={dimension: ("country",)})
    outcome = replace(repurchase.outcome, fact=fact)
    changed = replace(repurchase, features=view, training_set=outcome)
    before, turner = contents(home.root), Turner(home, [changed])
    planned = steps(home, [changed], {})
    assert [(s.change.table, s.change.grade, s.change.carried) for s in planned] == [
        ("collect/order_line", Grade.ADDITIVE, ("price",)),
        ("organize/fct_order_line", Grade.ADDITIVE, ("price",)),
    ]
    assert list(apply(planned, turner, lambda _: None)) == planned
    assert turner.clock.runs == 0
    assert steps(home, [changed], {}) == []
    after = contents(home.root)
    for table, frame in before.items():
        renamed = frame.rename({"unit_price": "price"}, strict=False)
        assert after[table].equals(renamed.sort(renamed.columns)), table


def test_a_home_of_several_flywheels_needs_nothing(spun: Turner) -> None:
    """Where one of those declared has turned, what all of them share is as it is declared."""
    assert steps(spun.home, FLYWHEELS, {}) == []


def test_a_feature_more_is_planned_and_applied(home: Home) -> None:
    """One line more: two tables, all of their days; applied, the other columns are as they were."""
    before = contents(home.root)
    aggregations = (*customer_orders.aggregations, counted(14))
    changed = seeing(replace(customer_orders, aggregations=aggregations))
    turner = Turner(home, [changed])
    planned = steps(home, [changed], speeds(turner, [VIEW, ROWS]))
    assert [(s.change.table, s.change.grade, s.change.added) for s in planned] == [
        (VIEW, Grade.ADDITIVE, ("orders_14d",)),
        (ROWS, Grade.ADDITIVE, ("orders_14d",)),
    ]
    assert [s.n_rows for s in planned] == [before[VIEW].height, before[ROWS].height]
    assert planned[0].n_days == DAYS.days + 1
    assert all(s.seconds is not None and s.seconds > 0 for s in planned)
    assert not any(s.at_most for s in planned)  # both were made in ranges
    # Stopped after the first table and planned anew, only the second is left.
    next(apply(planned, turner, lambda _: None))
    left = steps(home, [changed], {})
    assert [s.change.table for s in left] == [ROWS]
    assert list(apply(left, turner, lambda _: None)) == left
    assert steps(home, [changed], {}) == []
    after = contents(home.root)
    for table, frame in before.items():
        again = after[table].select(frame.columns).sort(frame.columns)
        assert again.equals(frame), table
    filled = after[VIEW].filter(pl.col("orders_14d") > 0)
    assert filled.height > 0
    assert (filled["orders_14d"] >= filled["orders_7d"]).all()


def test_days_made_one_by_one_only_bound_what_a_range_takes(orders: Path, tmp_path: Path) -> None:
    """A run has a cost of its own; where all that is known are such, the estimate says at most."""
    home = Home(tmp_path)
    home.extend(FIRST, LAST, {"order_line": str(orders)}, ongoing=False, demo=False)
    turner, table = Turner(home, [repurchase]), "collect/order_line"
    keys, week = (table, f"{table}_rejected"), [FIRST + timedelta(days=n) for n in range(7)]
    turner.turn([Run(keys, day, day) for day in week], lambda _: None)
    bound = speeds(turner, [table])[table]
    assert bound.is_bound
    alone = turner.clock.steps
    assert bound.seconds(7) == pytest.approx(alone, rel=0.5)
    turner.force(Run(keys, week[0], week[-1]))
    known = speeds(turner, [table])[table]
    assert not known.is_bound
    together = turner.clock.steps - alone
    assert known.seconds(7) == pytest.approx(together, rel=0.5)
    assert known.seconds(7) < bound.seconds(7)


def test_history_stays(home: Home) -> None:
    """A policy that changes leaves published decisions alone, and says so."""
    cautious = replace(repurchase, decisions=replace(repurchase.policy, control=0.1))
    planned = {s.change.table: s for s in steps(home, [cautious], {})}
    decided = planned["repurchase/decisions"]
    assert decided.is_history
    assert decided.n_days == 0
    assert decided.change.changed == ("action",)
    assert decided.change.owners == ("team:growth",)
    assert (decided.decides, decided.since) == ("repurchase", FIRST + DAYS + timedelta(days=1))
    assert all(step.retrains is None for step in planned.values())


def test_a_change_that_was_taken_back_is_history(home: Home, tmp_path: Path) -> None:
    """Days decided by another declaration stay; once newer ones are as declared, that is all."""
    home = Home(Path(shutil.copytree(home.root, tmp_path / "copied")))
    cautious = replace(repurchase, decisions=replace(repurchase.policy, control=0.1))
    model = replace(repurchase.model, training_window=timedelta(days=80))
    other = replace(repurchase, model=model)
    day = FIRST + DAYS
    for wheel in (cautious, repurchase):
        day += timedelta(days=1)
        assert "repurchase/decisions" in {s.change.table for s in steps(home, [wheel], {})}
        turner = Turner(home, [wheel])
        turner.turn(list(replay(wheel, day, day)), lambda _: None)
        list(apply(steps(home, [wheel], {}), turner, lambda _: None))
        assert steps(home, [wheel], {}) == []
    # A day without a training does not make a model what is declared.
    turner = Turner(home, [other])
    while day < date(2026, 2, 16):
        day += timedelta(days=1)
        planned = {s.change.table: s.since for s in steps(home, [other], {})}
        assert planned["repurchase/model"] == date(2026, 2, 16)
        turner.turn(list(replay(other, day, day)), lambda _: None)
    assert "repurchase/model" not in {s.change.table for s in steps(home, [other], {})}


def test_what_is_ranked_by_shows_in_the_plan(home: Home) -> None:
    """Scores become another number: of decisions from now on, and of what is compared with them."""
    ranked = replace(
        repurchase,
        model=replace(repurchase.model, learner="s"),
        decisions=replace(repurchase.policy, rank_by="uplift"),
    )
    learning = replace(ranked, decisions=repurchase.policy)
    by_table = {s.change.table: s for s in steps(home, [ranked], {})}
    decided = by_table["repurchase/decisions"]
    assert "score" in decided.change.changed
    assert (decided.decides, decided.since) == ("repurchase", FIRST + DAYS + timedelta(days=1))
    assert "alternatives" in by_table["repurchase/performance"].change.changed
    # None of it is of the learner.
    other = {s.change.table: s.change.changed for s in steps(home, [learning], {})}
    assert "repurchase/performance" not in other
    assert "score" not in other.get("repurchase/decisions", ())


def test_a_model_to_retrain_is_named_with_the_day(home: Home) -> None:
    """Another estimator: trained again on the next Monday, deciding from the next day on."""
    model = replace(repurchase.model, training_window=timedelta(days=80))
    planned = steps(home, [replace(repurchase, model=model)], {})
    following = {s.retrains or s.decides: s.since for s in planned if s.since}
    assert following == {
        "order_probability": date(2026, 2, 9),
        "repurchase": FIRST + DAYS + timedelta(days=1),
    }
    assert {s.change.owners for s in planned if s.retrains} == {
        ("team:growth", "mlops@example.com")
    }


def test_a_day_made_by_an_older_declaration_is_found(home: Home) -> None:
    """Days that a changed declaration has made already are not made again."""
    shorter = Aggregation(
        name="orders_3d",
        function="count",
        window=timedelta(days=3),
        description="Order lines in three days.",
    )
    view = replace(customer_orders, aggregations=(*customer_orders.aggregations, shorter))
    changed = seeing(view)
    turner = Turner(home, [changed])
    planned = next(s for s in steps(home, [changed], {}) if s.change.table == VIEW)
    half = replace(planned, ranges=((FIRST, FIRST + DAYS / 2),))
    list(apply([half], turner, lambda _: None))
    left = next(s for s in steps(home, [changed], {}) if s.change.table == VIEW)
    assert left.ranges == ((FIRST + DAYS / 2 + timedelta(days=1), FIRST + DAYS),)


def test_what_needs_attention_comes_first(home: Home) -> None:
    """A table with a hole, one never made, and those that are fine."""
    root = home.lakehouse
    found = status(home, [repurchase])
    assert {one.table for one in found} >= {VIEW, ROWS, "collect/order_line"}
    by_table = {one.table: one for one in found}
    assert by_table[VIEW].newest == FIRST + DAYS
    assert by_table[VIEW].holes == ()
    assert by_table[VIEW].days_behind == (LAST - FIRST - DAYS).days
    assert by_table[VIEW].urgency is Urgency.LATE
    meddled = pl.read_delta(str(root / VIEW)).with_columns(pl.col("revenue_30d") + 1)
    meddled.write_delta(str(root / VIEW), mode="overwrite")
    with pytest.raises(FlywheelError, match="features_as_decided"):
        Turner(home, [repurchase]).force(Run((ROWS,), FIRST + DAYS, FIRST + DAYS))
    worst = status(home, [repurchase])[0]
    assert (worst.table, worst.urgency) == (ROWS, Urgency.FAILED)
    assert "features_as_decided" in worst.failed[0]


@pytest.mark.parametrize("ongoing", [True, False])
def test_a_flywheel_that_nobody_turns_is_behind(home: Home, tmp_path: Path, ongoing: bool) -> None:
    """Up to the day that closed last, in a home that goes on; a replay of history is through."""
    home = Home(Path(shutil.copytree(home.root, tmp_path / "copied")))
    newest, yesterday = FIRST + DAYS, datetime.now(UTC).date() - timedelta(days=1)
    home.save(Settings(start=FIRST, end=None if ongoing else newest))
    missed = (yesterday - newest).days if ongoing else 0
    behind = {one.table: one.days_behind for one in status(home, [repurchase])}
    assert behind[VIEW] == behind[ROWS] == missed
    told = write_report(home, repurchase, tmp_path / "page.html").read_text()
    assert (f"Nothing was made for the {missed:,} days that closed after" in told) is ongoing


def test_what_began_after_its_home_has_no_hole_before_it(home: Home, tmp_path: Path) -> None:
    """A second flywheel's tables begin with its first day; a day that lacks after it is a hole."""
    home = Home(Path(shutil.copytree(home.root, tmp_path / "copied")))
    home.save(Settings(start=FIRST - timedelta(days=5), end=FIRST + DAYS))
    assert not any(one.holes for one in status(home, [repurchase]))
    lacking, later = (FIRST + DAYS + timedelta(days=n) for n in (1, 2))
    made = dg.AssetMaterialization(dg.AssetKey(VIEW.split("/")), partition=later.isoformat())
    Turner(home, [repurchase]).instance.report_runless_asset_event(made)
    assert [one.holes for one in status(home, [repurchase]) if one.table == VIEW] == [(lacking,)]


def test_owners_are_told(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """A check that stopped a run names the table's owners, and those of what is downstream."""
    turner = Turner(home, [repurchase])
    meddled = pl.read_delta(str(home.lakehouse / VIEW)).with_columns(pl.col("revenue_90d") + 1)
    meddled.write_delta(str(home.lakehouse / VIEW), mode="overwrite")
    with pytest.raises(FlywheelError, match="features_as_decided"):
        turner.force(Run((ROWS,), FIRST + DAYS, FIRST + DAYS))
    run = turner.instance.get_runs(limit=1)[0]
    failed = turner.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE
    ).records
    event = failed[0].event_log_entry.dagster_event
    assert event is not None
    sensor = next(s for s in sensors(catalog([repurchase])) if s.name == "failed_runs")
    context = dg.build_run_status_sensor_context(
        sensor.name, event, turner.instance, run
    ).for_run_failure()
    with caplog.at_level("ERROR", logger="flywheel.notices"):
        sensor(context)
    assert f"{ROWS} (team:growth): check features_as_decided failed" in caplog.text
    assert "repurchase/decisions" in caplog.text


def test_flywheels_that_never_turned_are_not_planned(home: Home) -> None:
    """Others that are declared ask nothing of a home in which they have not decided."""
    alone = {step.change.table for step in steps(home, [repurchase], {})}
    assert {step.change.table for step in steps(home, FLYWHEELS, {})} == alone
    assert [one.table for one in status(home, FLYWHEELS)] == [
        one.table for one in status(home, [repurchase])
    ]


def test_what_was_made_before_runs_kept_records_is_made_again(home: Home) -> None:
    """A home of an older release is not said to be as declared: all its days are planned."""
    home.declared.rename(home.root / "aside")
    try:
        planned = {step.change.table: step for step in steps(home, [repurchase], {})}
    finally:
        (home.root / "aside").rename(home.declared)
    assert planned[VIEW].ranges == ((FIRST, FIRST + DAYS),)
    assert planned["repurchase/decisions"].is_history


def test_a_table_that_is_no_longer_declared_is_let_go(home: Home) -> None:
    """It breaks who reads it, and says so once: applied, no plan speaks of it; its data stays."""
    kept, before = Declared(home.declared), steps(home, [repurchase], {})
    made = kept.epochs("organize/fct_order_line")[0]
    kept.record("features/earlier", made.first, made.last, made.meaning)
    [gone] = [s for s in steps(home, [repurchase], {}) if s.change.table == "features/earlier"]
    assert (gone.change.grade, gone.gone, gone.ranges) == (Grade.BREAKING, True, ())
    list(apply([gone], Turner(home, [repurchase]), lambda _: None))
    assert steps(home, [repurchase], {}) == before
