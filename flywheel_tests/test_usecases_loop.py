"""The use cases on real data through the whole loop: Dagster, Delta tables, MLflow, every check."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TypeAlias

import dagster as dg
import pytest

from flywheel_assets import Flywheel
from flywheel_assets.dagster_assets.turn import Turner, replay
from flywheel_assets.flywheels.fraud import fraud
from flywheel_assets.flywheels.lead_scoring import lead_scoring
from flywheel_assets.flywheels.recommendation import recommendation
from flywheel_assets.stores.home import Home
from flywheel_tests import bank, handbook, retail
from flywheel_tests.conftest import contents

DAY = timedelta(days=1)
Range: TypeAlias = tuple[Mapping[str, Path], date, date]


def some_cards(folder: Path) -> Range:
    """Give the payments of one card in ten."""
    first, last = date(2018, 7, 1), date(2018, 7, 23)
    path = handbook.transactions(folder, first, last, one_card_in=10)
    return {"card_payment": path, "fraud_verdict": path}, first, last


def some_leads(folder: Path) -> Range:
    """Give the first seven batches of leads."""
    return bank.write_days(folder, 7), bank.DAYS[0], bank.DAYS[6]


def some_orders(folder: Path) -> Range:
    """Give the orders of a week."""
    return {"order_line": retail.orders(folder)}, date(2010, 12, 1), date(2010, 12, 8)


WEEK = replace(
    recommendation,
    training_set=replace(recommendation.outcome, horizon=2 * DAY),
    model=replace(
        recommendation.model,
        retrain="daily",
        gate=replace(recommendation.model.gate, holdout=DAY, minimum=0.5),
    ),
)
"""Recommendation with an outcome that matures within the week."""

CASES: Mapping[str, tuple[Flywheel, Callable[[Path], Range]]] = {
    "fraud": (fraud, some_cards),
    "lead_scoring": (lead_scoring, some_leads),
    "recommendation": (WEEK, some_orders),
}


@pytest.mark.parametrize("name", CASES)
def test_it_turns_with_every_check_green(name: str, tmp_path: Path) -> None:
    """Decisions come back, mature and train a champion that decides; no check fails.

    Those of drift aside: it is there, in the economy's figures and in what a week of a shop buys.
    """
    flywheel, make = CASES[name]
    sources, first, last = make(tmp_path)
    home = Home(tmp_path / "home")
    home.extend(first, last, {k: str(p) for k, p in sources.items()}, ongoing=False, demo=False)
    turner = Turner(home, [flywheel])
    turner.turn(list(replay(flywheel, first, last)), lambda _: None)
    tables = contents(home.root)
    decided = tables[f"{name}/decisions"]
    assert decided["partition_date"].n_unique() == (last - first).days + 1
    assert decided["model_version"].drop_nulls().len() > 0
    outcome = tables[f"{name}/training_set"]["outcome"]
    assert 0 < outcome.sum() < outcome.len() / 2
    assert failed_checks(turner.instance) == []


def failed_checks(instance: dg.DagsterInstance) -> list[str]:
    """Name the checks that did not pass, blocking or not."""
    records = [
        record
        for run in instance.get_runs()
        for record in instance.get_records_for_run(
            run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ).records
    ]
    events = (record.event_log_entry.dagster_event for record in records)
    evaluations = [event.asset_check_evaluation_data for event in events if event]
    return [
        f"{e.asset_key.to_user_string()} {e.check_name}: {e.description}"
        for e in evaluations
        if not e.passed and e.asset_key.path[-1] != "drift"
    ]
