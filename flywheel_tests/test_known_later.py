"""A source whose records become known a declared delay after the one time that they say."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_assets import DailyFiles, Observation, TableFile
from flywheel_assets.stages.collect import validate
from flywheel_assets.stores.sources import read_source
from flywheel_tests.clicks import START, click

WEEK = timedelta(days=7)
PAID = datetime(2026, 1, 6, 9, 30, tzinfo=UTC)


def validated(observation: Observation, path: Path) -> pl.DataFrame:
    """Read a source and validate its records."""
    assert observation.source is not None
    raw = read_source(observation, path, START, date(2026, 2, 1), start=START)
    assert raw is not None
    return validate(raw, observation, observation.source)


@pytest.mark.parametrize(
    ("told", "happened"),
    [({"known_at": "at"}, PAID + WEEK), ({"event_time": "at"}, PAID)],
    ids=["a verdict, given a week later", "a payment, told a week later"],
)
@pytest.mark.parametrize("daily", [False, True], ids=["one file", "daily files"])
def test_known_a_week_later(
    tmp_path: Path, told: dict[str, str], happened: datetime, *, daily: bool
) -> None:
    """Without an event_time it happened when it became known; with one, a week before."""
    lines = f"visitor_id,page,seconds,at\n7,a,0.5,{PAID:%Y-%m-%d %H:%M:%S}\n"
    file = tmp_path / "2026-01-06.csv"
    file.write_text(lines)
    source = DailyFiles(path="x", delay=WEEK, **told) if daily else None  # type: ignore[arg-type]
    source = source or TableFile(path="x", delay=WEEK, **told)  # type: ignore[arg-type,assignment]
    found = validated(replace(click, source=source), tmp_path if daily else file)
    row = found.row(0, named=True)
    assert row["reason"] is None
    assert row["event_time"] == happened
    assert row["known_at"] == PAID + WEEK
    assert row["partition_date"] == (PAID + WEEK).date()
