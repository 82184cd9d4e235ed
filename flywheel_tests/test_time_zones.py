"""Local times: files of days that are not UTC's, and days on which clocks change at midnight."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from flywheel_assets import DailyFiles, Field, TableFile
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stages.collect import validate
from flywheel_assets.stages.times import parse_time
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.sources import read_source
from flywheel_tests.clicks import DAY, click
from flywheel_tests.conftest import contents

HEADER = "visitor_id,page,seconds,at\n"


def collected(
    root: Path, source: DailyFiles, files: dict[date, str], first: date, last: date
) -> tuple[list[tuple[int, date]], list[str]]:
    """Collect files a day at a time; returns who is in which partition, and why others are not."""
    folder = root / "files"
    folder.mkdir()
    for day, text in files.items():
        (folder / f"{day}.csv").write_text(HEADER + text)
    home, settings = Home(root / "home"), Settings(start=first)
    home.save(settings)
    observation = replace(click, source=replace(source, path=str(folder)))
    for n in range((last - first).days + 1):
        Collecting(observation, home, settings).collect(first + n * DAY, first + n * DAY)
    tables = contents(home.root)
    rows = tables["collect/click"].select("visitor_id", "partition_date").sort("visitor_id").rows()
    return rows, tables["collect/click_rejected"]["reason"].to_list()


@pytest.mark.parametrize(
    ("zone", "hours", "known"),
    [
        ("America/Los_Angeles", 20, (6, 7)),
        ("America/Los_Angeles", 0, (5, 6)),
        ("America/Los_Angeles", 24, (6, 7)),
        ("UTC", 20, (6, 6)),
        ("Pacific/Auckland", 20, (5, 6)),
    ],
)
def test_a_delay_of_part_of_a_day(
    tmp_path: Path, zone: str, hours: int, known: tuple[int, int]
) -> None:
    """What happened in the last hours of a file's day is known in time, however far behind UTC."""
    day = date(2026, 1, 5)
    source = DailyFiles(path="x", event_time="at", time_zone=zone, delay=timedelta(hours=hours))
    rows, reasons = collected(
        tmp_path,
        source,
        {day: f"1,a,0.5,{day} 08:00:00\n2,a,0.5,{day} 23:00:00\n"},
        day,
        day + 5 * DAY,
    )
    assert reasons == []
    assert [(who, found.day) for who, found in rows] == [(1, known[0]), (2, known[1])]


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Atlantic/Azores", date(2025, 10, 25)), ("America/Havana", date(2025, 11, 1))],
)
def test_a_day_that_ends_at_two_midnights(tmp_path: Path, zone: str, day: date) -> None:
    """Where clocks go back to midnight, a day ends with the second of the two."""
    lines = [f"1,a,0.5,{day} 12:00:00", f"2,a,0.5,{day + DAY} 00:30:00", f"3,a,0.5,{day + 3 * DAY}"]
    source = DailyFiles(path="x", event_time="at", time_zone=zone)
    rows, reasons = collected(tmp_path, source, {day: "\n".join(lines) + "\n"}, day, day + 2 * DAY)
    assert [who for who, _ in rows] == [1, 2]
    assert len(reasons) == 1
    assert "expected a time that has been" in reasons[0]


FORWARD = [
    ("Africa/Cairo", date(2025, 4, 25)),
    ("America/Santiago", date(2025, 9, 7)),
    ("Atlantic/Azores", date(2025, 3, 30)),
    ("Pacific/Apia", date(2011, 12, 30)),
]
"""Days without a midnight; the last was left out altogether."""


@pytest.mark.parametrize(("zone", "day"), FORWARD)
def test_what_is_of_a_later_day_is_refused(tmp_path: Path, zone: str, day: date) -> None:
    """Also where the file's day ends without a midnight: nothing is lost in silence."""
    lines = [f"1,a,0.5,{day - DAY} 23:00:00", f"2,a,0.5,{day + 3 * DAY} 12:00:00"]
    source = DailyFiles(path="x", event_time="at", time_zone=zone)
    files = {day - DAY: "\n".join(lines) + "\n"}
    rows, reasons = collected(tmp_path, source, files, day - DAY, day + 3 * DAY)
    assert [who for who, _ in rows] == [1]
    assert len(reasons) == 1
    assert "expected a time that has been" in reasons[0]


@pytest.mark.parametrize("time_format", [None, "%d.%m.%Y"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("zone", "day"), FORWARD)
def test_a_day_without_a_midnight(
    tmp_path: Path, zone: str, day: date, kind: str, time_format: str | None
) -> None:
    """As a time it is its first moment, as a date it is itself; a time that was not is none."""
    field = Field(name="due", dtype=pl.Date, nullable=True, description="When it is due.")
    source = TableFile(path="x", event_time="at", time_zone=zone, time_format=time_format)
    observation = replace(click, fields=(*click.fields, field), source=source)
    frame = pl.DataFrame({"visitor_id": 1, "page": "a", "seconds": 0.5, "due": day, "at": day})
    path = tmp_path / f"one.{kind}"
    if kind == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, date_format=time_format)
    raw = read_source(observation, path, day, day, start=day)
    assert raw is not None
    row = validate(raw, observation, source).row(0, named=True)
    assert row["reason"] is None
    assert row["due"] == day
    first = row["event_time"].astimezone(ZoneInfo(zone))
    before = (row["event_time"] - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    assert before.date() < day <= first.date()


def test_a_time_that_was_not_is_refused() -> None:
    """An hour that the clocks left out is no time, midnight among them; as a date it has one."""
    texts = pl.DataFrame({"at": ["2025-09-07 00:00:00", "2025-09-07 00:30:00"]})
    source = TableFile(path="x", event_time="at", time_zone="America/Santiago")
    times = parse_time(pl.col("at"), pl.String(), pl.Datetime("us", "UTC"), source)
    dates = parse_time(pl.col("at"), pl.String(), pl.Date(), source)
    assert texts.select(times)["at"].to_list() == [None, None]
    assert texts.select(dates)["at"].to_list() == [date(2025, 9, 7)] * 2


def test_a_time_with_an_offset_has_the_date_of_the_zone() -> None:
    """Late in the evening in Santiago it is tomorrow in UTC."""
    texts = pl.DataFrame({"at": ["2025-06-02T02:00:00Z", "2025-06-02T02:00:00-04:00"]})
    source = TableFile(path="x", event_time="at", time_zone="America/Santiago")
    dates = parse_time(pl.col("at"), pl.String(), pl.Date(), source)
    assert texts.select(dates)["at"].to_list() == [date(2025, 6, 1), date(2025, 6, 2)]


def test_a_known_at_that_nobody_can_read_is_not_the_files_day(tmp_path: Path) -> None:
    """It is rejected for what it is, late news and news of the day alike; so is one left out.

    One that can be read is not complained of where it is the event that nothing dates.
    """
    source = DailyFiles(path=str(tmp_path), event_time="at", known_at="seen")
    lines = (
        "1,a,1,2026-01-05 10:00:00,2026-01-05 11:00:00",
        "2,a,1,2026-01-05 10:00:00,soon",
        "3,a,1,2026-01-03 10:00:00,soon",
        "4,a,1,2026-01-03 10:00:00,",
        "5,a,1,soon,2026-01-05 11:00:00",
        "6,a,1,soon,later",
    )
    text = "\n".join(("visitor_id,page,seconds,at,seen", *lines, ""))
    (tmp_path / "2026-01-05.csv").write_text(text)
    day = date(2026, 1, 5)
    found = read_source(replace(click, source=source), tmp_path, day, day, start=day)
    assert found is not None
    assert validate(found, click, source)["reason"].to_list() == [
        None,
        "seen: expected a time, found soon",
        "seen: expected a time, found soon",
        "seen: expected a time, found nothing",
        "at: expected a time, found soon",
        "at: expected a time, found soon; seen: expected a time, found later",
    ]
