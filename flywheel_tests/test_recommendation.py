"""Recommendation, on real orders; all dates are in ``flywheel_benchmarks.recommendation``."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from flywheel_assets.declare.organize import Fact
from flywheel_assets.flywheels.recommendation import recommendation
from flywheel_assets.flywheels.repurchase import order_lines
from flywheel_assets.stages.candidates import candidates
from flywheel_assets.stages.model import scorer, train
from flywheel_assets.stages.policy import decide
from flywheel_assets.stages.seen import Snapshots
from flywheel_tests.retail import DAY, FIRST, PAIR, bought_next, most_popular, orders, recall
from flywheel_tests.staged import matured, organized, snapshots

TRAINED, TESTED = date(2011, 5, 31), date(2011, 6, 30)
"""Partitions: those that close when June and July begin."""
best = replace(recommendation, decisions=replace(recommendation.policy, exploration=None))


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[Fact, pl.DataFrame]:
    """Collect and organize the orders up to the end of July."""
    folder = orders(tmp_path_factory.mktemp("retail"))
    return organized(recommendation, {"order_line": folder}, FIRST, TESTED + 31 * DAY)


@pytest.fixture(scope="module")
def shown(facts: dict[Fact, pl.DataFrame]) -> pl.DataFrame:
    """Train on what was decided a month before, and decide."""
    views: Snapshots = snapshots(recommendation, facts, [TRAINED, TESTED])
    rows = matured(best, facts, views, [TRAINED])
    some = rows.filter(pl.col("customer_id") % 3 == 0)
    champion = scorer(train(some, best), best)
    today = {view: frame.filter(partition_date=TESTED) for view, frame in views.items()}
    seen = candidates(today, best, facts)
    return decide(seen, champion(seen), best, TESTED, 1)


def test_each_customer_is_shown_ten_products_not_bought_before(
    facts: dict[Fact, pl.DataFrame], shown: pl.DataFrame
) -> None:
    """Ten each, to everybody who ordered within a year, and none that they have."""
    acted = shown.filter(action="show")
    sizes = acted.group_by("customer_id").len()["len"]
    assert (sizes == 10).all()
    before = facts[order_lines].filter(
        ~pl.col("is_cancellation"), pl.col("partition_date") <= TESTED
    )
    assert sizes.len() == before["customer_id"].n_unique()
    assert acted.join(before, on=PAIR, how="semi").is_empty()


def test_recall_against_the_most_popular(
    facts: dict[Fact, pl.DataFrame], shown: pl.DataFrame
) -> None:
    """At least a quarter more of what is bought next than the most popular of the last 30 days."""
    lines = facts[order_lines]
    wanted = bought_next(lines, TESTED)
    ours = recall(shown.filter(action="show"), wanted)
    popular = recall(most_popular(lines, TESTED, wanted), wanted)
    assert ours.len() == popular.len() > 600
    assert ours.mean() >= 1.25 * popular.mean()  # type: ignore[operator]
