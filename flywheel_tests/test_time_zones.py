"""Local times: files of days that are not UTC's, and days on which clocks change at midnight."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from flywheel_assets import DailyFiles
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stores.home import Home, Settings
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
