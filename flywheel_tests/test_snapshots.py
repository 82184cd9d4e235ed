"""A snapshot of a view is what the view gives for its rows when asked for each."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from flywheel_assets import Aggregation, Fact, FeatureView
from flywheel_assets.stages.features import features, recomputed
from flywheel_assets.stages.organize import fact_schema
from flywheel_tests.clicks import OWNERS, click, visitor

HOUR = timedelta(hours=1)
CLOSES = datetime(2026, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("hours", [12, 24, 36, 48])
@pytest.mark.parametrize("aligned", [False, True])
def test_who_is_in_a_view_is_so_however_it_is_asked(hours: int, *, aligned: bool) -> None:
    """Also of those who were seen only between an aligned window's midnight and its length."""
    clicks = Fact(name="click", observation=click, owners=OWNERS, description="Clicks.")
    counted = Aggregation(name="n", function="count", window=hours * HOUR, aligned=aligned)
    view = FeatureView(
        name="clicks",
        entity=visitor,
        fact=clicks,
        aggregations=(counted,),
        owners=OWNERS,
        description="Clicks of late.",
    )
    seen = [CLOSES - HOUR * ago for ago in range(1, 73)]
    rows = pl.DataFrame(
        [{"event_time": at, "known_at": at, "visitor_id": n} for n, at in enumerate(seen)],
        schema=fact_schema(clicks),
    )
    made = features(rows, {}, view, [date(2026, 1, 8)])
    assert made.height == (-(-hours // 24) * 24 if aligned else hours)
    again = recomputed(made.select("visitor_id", "as_of"), rows, {}, view)
    assert again.equals(made.select(again.columns))
