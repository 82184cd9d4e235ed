"""Fraud, on the handbook's simulated transactions."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from flywheel_assets.declare.organize import Fact
from flywheel_assets.flywheels.fraud import fraud, fraud_verdicts
from flywheel_assets.stages.candidates import candidates
from flywheel_assets.stages.model import scorer, train
from flywheel_assets.stages.policy import decide
from flywheel_assets.stages.predicted import Scorer
from flywheel_assets.stages.seen import Snapshots
from flywheel_tests.handbook import (
    DAY,
    LOOKS_BACK,
    TESTED,
    TRAINED,
    TRAINED_FROM,
    card_precision,
    population,
    transactions,
)
from flywheel_tests.staged import matured, of_day, organized, snapshots

# The handbook trains on all transactions, and says itself on which it tests.
everybody = replace(fraud, decisions=replace(fraud.policy, candidates=pl.lit(value=True)))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write all that the tested days look back on."""
    folder = tmp_path_factory.mktemp("handbook")
    return transactions(folder, TRAINED_FROM - LOOKS_BACK, TESTED[-1])


@pytest.fixture(scope="module")
def facts(path: Path) -> dict[Fact, pl.DataFrame]:
    """Collect and organize them; verdicts come up to the last day, those of a week before."""
    first, last = TRAINED_FROM - LOOKS_BACK, TESTED[-1]
    return organized(fraud, {"card_payment": path, "fraud_verdict": path}, first, last)


@pytest.fixture(scope="module")
def views(facts: dict[Fact, pl.DataFrame]) -> Snapshots:
    """Compute the features of the days that are trained and tested on."""
    return snapshots(fraud, facts, [*TRAINED, *TESTED])


@pytest.fixture(scope="module")
def champion(facts: dict[Fact, pl.DataFrame], views: Snapshots) -> Scorer:
    """Train on the week whose verdicts are known when the test begins."""
    rows = matured(everybody, facts, views, TRAINED)
    assert rows["partition_date"].max() == TESTED[0] - DAY
    return scorer(train(rows, everybody), everybody)


def test_verdicts_are_a_week_late(facts: dict[Fact, pl.DataFrame], path: Path) -> None:
    """A verdict happens, and is known, seven days after its transaction, and says the same."""
    verdicts = facts[fraud_verdicts].join(
        pl.read_parquet(path).select(
            transaction_id="TRANSACTION_ID", at="TX_DATETIME", said="TX_FRAUD"
        ),
        on="transaction_id",
    )
    at = pl.col("at").dt.replace_time_zone("UTC") + 7 * DAY
    assert verdicts.height > 500_000
    assert verdicts.select((pl.col("event_time") == at).all()).item()
    assert verdicts.select((pl.col("known_at") == at).all()).item()
    assert verdicts.select((pl.col("is_fraud") == pl.col("said")).all()).item()


def test_as_good_as_the_best_that_the_handbook_publishes(
    champion: Scorer, views: Snapshots, path: Path
) -> None:
    """AUC, average precision and card precision@100, each at least the best of its three models."""
    seen = pl.concat(candidates(of_day(views, day), everybody) for day in TESTED)
    scores = pl.Series("score", champion(seen).expected[:, 0])
    scored = population(path).join(
        seen.select("transaction_id", scores), on="transaction_id", maintain_order="left"
    )
    assert scored.height == population(path).height
    label, score = scored["is_fraud"], scored["score"]
    figures = {
        "auc": roc_auc_score(label, score),
        "average_precision": average_precision_score(label, score),
        "card_precision": card_precision(scored),
    }
    assert figures["auc"] >= 0.871
    assert figures["average_precision"] >= 0.658
    assert figures["card_precision"] >= 0.291


def test_a_hundred_cards_are_checked_each_day(
    champion: Scorer, views: Snapshots, path: Path
) -> None:
    """One transaction of each; none of a card that is known; and chance finds far fewer frauds."""
    known = pl.read_parquet(path).select(
        transaction_id="TRANSACTION_ID", is_fraud="TX_FRAUD", terminal="TERMINAL_ID"
    )
    checked = []
    for day in TESTED:
        seen = candidates(of_day(views, day), fraud)
        assert seen["card_frauds_14d"].fill_null(0).max() == 0
        decided = decide(seen, champion(seen), fraud, day, 1)
        assert decided.height == seen.height
        acted = decided.filter(action="check").join(seen, on="transaction_id")
        assert acted.height == 100
        assert acted["card_id"].n_unique() == 100
        checked.append(acted.join(known, on="transaction_id"))
    found = pl.concat(checked)
    best, drawn = found.filter(~pl.col("explored")), found.filter("explored")
    assert drawn.height == 7 * 5
    assert best["is_fraud"].sum() > 0.25 * best.height
    assert drawn["is_fraud"].sum() < 0.1 * drawn.height
