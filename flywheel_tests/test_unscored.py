"""Whom the bootstrap rule cannot score, from decisions to what they were worth."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flywheel_assets import TopK
from flywheel_assets.api.client import Local
from flywheel_assets.api.trace import trace
from flywheel_assets.dagster_assets.turn import Turner, replay
from flywheel_assets.flywheels.repurchase import contact_policy, ordered_again, repurchase
from flywheel_assets.stages.performance import pooled
from flywheel_assets.stores.home import Home
from flywheel_tests.conftest import FIRST, contents

DAY = timedelta(days=1)
known = pl.when(pl.col("orders_180d") > 1).then(-pl.col("recency_days"))
partly = replace(
    repurchase,
    training_set=replace(ordered_again, horizon=DAY),
    decisions=replace(
        contact_policy,
        bootstrap=known,
        baselines={"the rule": known},
        allocation=TopK(capacity=300, action="contact"),
    ),
)


def test_the_unscored_go_all_the_way(orders: Path, tmp_path: Path) -> None:
    """Published with a null score, read, come back, learnt from; only chance acts on them."""
    last = FIRST + 2 * DAY
    home = Home(tmp_path)
    home.extend(FIRST, last, {"order_line": str(orders)}, ongoing=False, demo=False)
    Turner(home, [partly]).turn(list(replay(partly, FIRST, last)), lambda _: None)
    tables = contents(tmp_path)
    made = tables["repurchase/decisions"]
    unscored = made.filter(pl.col("score").is_null())
    scored = made.filter(pl.col("score").is_not_null())
    assert 0 < unscored.height < made.height
    left = pl.lit(270) - (pl.col("score").is_not_null()).sum()
    assert made.group_by("partition_date").agg(left > 0)["literal"].all(), "no place was left"
    assert (scored["action"] == "contact").all()
    tried = made.filter(pl.col("score").is_null()).group_by("partition_date")
    acted = tried.agg(pl.len(), (pl.col("action") == "contact").sum().alias("acted"))
    assert acted.select((pl.col("acted") == pl.min_horizontal("len", 30)).all()).item()
    ranks = [f.group_by("partition_date").agg(pl.col("rank")) for f in (scored, unscored)]
    both = ranks[0].join(ranks[1], on="partition_date", suffix="_unscored")
    assert both.select(
        (pl.col("rank").list.max() < pl.col("rank_unscored").list.min()).all()
    ).item()
    matured = tables["repurchase/training_set"]
    assert 0 < matured["score"].null_count() < matured.height
    beside = tables["repurchase/alternatives"]
    assert beside["policy"].unique().sort().to_list() == ["logged", "no_exploration"]
    figures = tables["repurchase/performance"]
    same = figures.drop("ranking", "model_version").unique()
    assert same.height == figures.height / 2, "a baseline that is the rule ranks as the rule did"
    api = Local(home, [partly])
    row = unscored.row(0, named=True)
    at = row["decided_at"]
    found = api.get_decision("repurchase", row["customer_id"], as_of=at)
    api.close()
    assert found is not None
    assert (found["decision_id"], found["score"]) == (row["decision_id"], None)
    told = "\n".join(map(str, trace(home, [partly], row["decision_id"])))
    assert "score none by the bootstrap rule" in told


@pytest.mark.parametrize("empty", [None, float("nan")])
def test_performance_ranks_the_unscored_last(empty: float | None) -> None:
    """As if each of them had the same score, below all others."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=40).tolist()
    frame = pl.DataFrame(
        {
            "partition_date": [FIRST] * 40,
            "decision_id": [f"d{i:02}" for i in range(40)],
            "decided_at": [FIRST] * 40,
            "outcome": rng.integers(0, 2, 40),
            "reward": rng.normal(size=40),
            "action": ["contact", "hold"] * 20,
            "propensity": [0.5] * 40,
            "score": [None if i % 3 == 0 else s for i, s in enumerate(scores)],
            "recency_days": [empty if i % 3 == 0 else s for i, s in enumerate(scores)],
            "orders_365d": [-9.0 if i % 3 == 0 else s for i, s in enumerate(scores)],
        },
        strict=False,
    )
    policy = replace(
        contact_policy,
        baselines={"other": pl.col("recency_days"), "lowest": pl.col("orders_365d")},
        allocation=TopK(capacity=30, action="contact"),
    )
    found = pooled(frame, replace(repurchase, decisions=policy))
    assert found.drop("ranking").unique().height == 1
    assert found["ranking"].to_list() == ["score", "other", "lowest"]
