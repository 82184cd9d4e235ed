"""What decisions were worth: rankings that do not rank everybody, arms, and uplift beside AUC."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel_assets import Arm, Arms, Flywheel, Slate, Threshold, TopK
from flywheel_assets.flywheels.repurchase import contact_policy, repurchase
from flywheel_assets.stages.performance import performance
from flywheel_tests.shelf import shelf

DAY = date(2026, 2, 5)


def matured(n: int, **columns: Any) -> pl.DataFrame:
    """Make matured decisions of one day."""
    chance = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "partition_date": [DAY] * n,
            "decision_id": [f"d{i}" for i in range(n)],
            "decided_at": [datetime(2026, 1, 6, tzinfo=UTC)] * n,
            "outcome": chance.integers(0, 2, n).astype(np.int8),
            "reward": np.ones(n),
            "score": chance.random(n),
            "action": ["contact", "hold"] * (n // 2),
            "propensity": [0.5] * n,
            "explored": [True] * n,
            "model_version": [1] * n,
            "recency_days": chance.random(n),
            "orders_365d": chance.integers(1, 9, n),
        }
    ).with_columns(**columns)


def ranked_by(expression: pl.Expr) -> Flywheel:
    """Declare the bundled flywheel with one baseline."""
    policy = replace(contact_policy, baselines={"other": expression})
    return replace(repurchase, decisions=policy)


def test_whoever_a_baseline_does_not_rank_comes_last() -> None:
    """Null and NaN are below everybody: the figures are those of a very low number."""
    rows = matured(400)
    unknown = pl.when(pl.col("recency_days") > 0.5).then(pl.col("recency_days"))
    nan = pl.when(pl.col("recency_days") > 0.5).then(pl.col("recency_days")).otherwise(np.nan)
    low = pl.when(pl.col("recency_days") > 0.5).then(pl.col("recency_days")).otherwise(-1e9)
    found = [performance(rows, ranked_by(e)).filter(ranking="other") for e in (unknown, nan, low)]
    assert found[0].equals(found[2])
    assert found[1].equals(found[2])
    assert found[0]["roc_auc"].item() is not None


def test_infinite_values_tie_and_are_above_the_unknown() -> None:
    """The logarithm of no orders is no reason to rank by the order of rows."""
    rows = matured(400, reward=pl.int_range(pl.len()) % 7)
    orders = pl.col("orders_365d") % 3
    known = pl.when(pl.col("recency_days") > 0.2)
    logarithm = ranked_by(known.then(orders.log()))
    finite = ranked_by(known.then(orders).otherwise(-1))
    found = performance(rows, logarithm).filter(ranking="other")
    assert found.equals(performance(rows, finite).filter(ranking="other"))
    for seed in range(3):
        shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
        again = performance(shuffled, logarithm).filter(ranking="other")
        for figure in ("roc_auc", "precision_at_capacity", "qini", "uplift_at_k"):
            assert again[figure].item() == pytest.approx(found[figure].item())


def test_every_arm_earns() -> None:
    """With arms the reward is that of all decisions; the last arm is who was held."""
    arms = Arms(arms=tuple(Arm(name=name) for name in ("red", "blue", "none")))
    flywheel = replace(
        repurchase,
        model=replace(repurchase.model, learner="t"),
        decisions=replace(contact_policy, allocation=arms, exploration=None),
    )
    rows = matured(300, action=pl.Series(["red", "blue", "none"] * 100))
    found = performance(rows, flywheel).filter(ranking="score")
    assert found["reward"].item() == 300
    assert found["acted"].item() == 200
    assert found["qini"].item() is None


def test_uplift_stands_beside_the_auc() -> None:
    """A score that ranks by what acting changes has a Qini above that of its opposite."""
    rows = matured(4_000)
    changes = rows["score"] > 0.5
    acted = rows["action"] == "contact"
    rows = rows.with_columns(
        (changes & acted).cast(pl.Float64).alias("reward"), (-rows["score"]).alias("recency_days")
    )
    found = performance(rows, ranked_by(pl.col("recency_days")))
    score, opposite = (found.filter(ranking=name) for name in ("score", "other"))
    assert score["qini"].item() > 0.05
    assert opposite["qini"].item() < -0.05
    assert score["uplift_at_k"].item() == 1.0


@pytest.mark.parametrize("former", ["contact", "hold"])
def test_days_before_an_action_was_renamed_are_worth_what_they_were(former: str) -> None:
    """Who was acted on counts as that, whichever of acting and holding was called otherwise."""
    rows = matured(4_000)
    rows = rows.with_columns(reward=pl.col("score") * (pl.col("action") == "contact"))
    then = rows.with_columns(action=pl.col("action").replace({former: "another name"}))
    assert performance(then, repurchase).equals(performance(rows, repurchase))


def test_precision_is_of_as_many_as_the_policy_acts_on() -> None:
    """The best of each slate, as many as were above a level, one of each unit that is limited."""
    two = matured(
        40,
        outcome=pl.Series([1, 1, 0, 0] * 10),
        score=pl.Series([4.0, 3.0, 2.0, 1.0] * 10),
        customer_id=pl.int_range(40) // 4,
    )
    slates = performance(two, shelf(allocation=Slate(size=2, per="customer_id")))
    assert slates["precision_at_capacity"].item() == 1.0
    one_of_a_kind = Slate(size=2, per="customer_id", at_most={"item_id": 1})
    kinds = two.with_columns(item_id=pl.Series(["i0", "i0", "i3", None] * 10))
    limited = performance(kinds, shelf(allocation=one_of_a_kind))
    assert limited["precision_at_capacity"].item() == 0.5

    def by(allocation: Threshold | TopK) -> Flywheel:
        policy = replace(contact_policy, allocation=allocation, exploration=None, baselines={})
        return replace(repurchase, decisions=policy)

    tenth = two.with_columns(action=pl.Series(["contact", "hold", "hold", "hold"] * 10))
    above = performance(tenth, by(Threshold(at=3.5, action="contact")))
    assert above["precision_at_capacity"].item() == 1.0
    each = performance(two, by(TopK(capacity=40, action="contact", each="customer_id")))
    assert each["precision_at_capacity"].item() == 1.0
    nobody = tenth.with_columns(action=pl.lit("hold"))
    none = performance(nobody, by(Threshold(at=5, action="contact")))
    assert none["precision_at_capacity"].item() is None
