"""One click, followed through two flywheels that share it."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl
import pytest

from flywheel_assets.api.trace import trace
from flywheel_tests.conftest import contents
from flywheel_tests.web import BEN, DAY, LAST, ONE_CLICK, START, WHEELS, Web

CLICKED = START + DAY
"""The day of the click: also the first on which decisions have matured."""


@pytest.fixture(scope="module")
def tables(web: Web) -> dict[str, pl.DataFrame]:
    """Read what stands about who clicked once; other tests may turn the home further."""
    found = contents(web.home.root)
    return {
        k: v.filter(pl.col("partition_date") <= LAST, visitor_id=BEN)
        for k, v in found.items()
        if "visitor_id" in v.columns
    }


def test_it_is_an_outcome_here_and_a_feature_there(tables: dict[str, pl.DataFrame]) -> None:
    """The decision of the evening before gets its label, the view of the other its first row."""
    assert tables["organize/fct_click"]["observation_id"].to_list() == [ONE_CLICK]
    labels = tables["comes_back/training_set"].sort("partition_date")
    assert labels["outcome"].to_list() == [1] + [0] * (labels.height - 1)
    assert labels["partition_date"][0] == CLICKED
    assert labels["decided_at"][0] == datetime(2026, 1, 6, tzinfo=UTC)
    seen = tables["features/browsing"].sort("partition_date")
    assert seen["partition_date"][0] == CLICKED
    assert set(seen.select("clicks_7d", "seconds_7d").rows()) == {(1, 1000.0)}
    # And what the other learns from and decides by next.
    learnt = tables["buys/training_set"].sort("partition_date")
    assert learnt["partition_date"][0] == CLICKED + DAY
    assert learnt["seconds_7d"].unique().to_list() == [1000.0]
    assert tables["buys/decisions"]["partition_date"].min() == CLICKED


def test_both_in_the_same_turn(web: Web) -> None:
    """One run made the label and the feature."""
    runs = set()
    for key in ("collect/click", "comes_back/training_set", "features/browsing"):
        records = web.turner.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(key.split("/")), asset_partitions=[str(CLICKED)]
            ),
            limit=1,
        ).records
        runs.add(records[0].event_log_entry.run_id)
    assert len(runs) == 1


def test_the_trace_follows_it_through_both(web: Web) -> None:
    """From its receipt to the label of one, and to features, rows and decisions of the other."""
    steps = trace(web.home, WHEELS, ONE_CLICK)
    told = {step.table: step.what for step in steps}
    assert list(told)[:3] == ["collect/click_received", "collect/click", "organize/fct_click"]
    assert "1 matured decision had it as an outcome" in told["comes_back/training_set"]
    assert "1 of them positive" in told["comes_back/training_set"]
    assert f"partitions {CLICKED} to" in told["features/browsing"]
    assert "seconds_7d None to 1000" in told["features/browsing"]
    assert "saw it" in told["buys/training_set"]
    assert "saw it" in told["buys/decisions"]
    assert "comes_back/decisions" not in told
