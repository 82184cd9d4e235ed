"""News of what is yet to happen, days before, where the declared clock tolerance allows it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from flywheel_assets import TableFile
from flywheel_assets.dagster_assets.turn import Turner, replay
from flywheel_assets.stores.home import Home
from flywheel_assets.testing import Rows
from flywheel_tests.conftest import contents
from flywheel_tests.shelf import DAY, START, purchases, shelf

BEGUN = datetime(START.year, START.month, START.day, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_an_outcome_that_was_known_before_its_decision(tmp_path: Path) -> None:
    """It follows, in the loop as on literal rows; a deed of before the decision does not."""
    told = [  # who, when, and when that was known
        (1, BEGUN + 9 * HOUR, BEGUN + 9 * HOUR),
        (2, BEGUN + 9 * HOUR, BEGUN + 9 * HOUR),
        (1, BEGUN + 4 * DAY + HOUR, BEGUN + 10 * HOUR),
        (2, BEGUN + 3 * DAY + HOUR, BEGUN + 10 * HOUR),
    ]
    rows = pl.DataFrame(told, schema=["customer_id", "at", "known"], orient="row")
    rows = rows.with_columns(item_id=pl.lit("i1"))
    rows.write_parquet(tmp_path / "purchases.parquet")
    source = TableFile(path=str(tmp_path / "purchases.parquet"), event_time="at", known_at="known")
    fact = purchases(source)
    fact = replace(fact, observation=replace(fact.observation, clock_tolerance=4 * DAY))
    flywheel, home = shelf(fact), Home(tmp_path / "home")
    last, decided = START + 5 * DAY, START + 3 * DAY
    home.extend(START, last, {}, ongoing=False, demo=False)
    Turner(home, [flywheel]).turn(list(replay(flywheel, START, last)), lambda _: None)

    matured = contents(home.root)["shelf/training_set"].filter(partition_date=last)
    found = matured.sort("customer_id").select("customer_id", "outcome").rows()
    assert found == [(1, 1), (2, 0)]
    said = rows.rename({"at": "event_time", "known": "known_at"}).to_dicts()
    labels = Rows(flywheel, {"purchase": said}).labels(decided).sort("customer_id")
    assert labels.select("customer_id", "outcome").rows() == found
