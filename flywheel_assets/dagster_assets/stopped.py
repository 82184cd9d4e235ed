"""Turning days of files up to the one whose file cannot be read."""

from collections.abc import Callable
from datetime import date

from flywheel_assets.dagster_assets.turn import Run, Turner, replay
from flywheel_assets.declare.collect import DailyFiles
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import FlywheelError, SourceError, many
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.sources import read_source


def turn_files(
    turner: Turner, flywheel: Flywheel, first: date, last: date, progress: Callable[[Run], None]
) -> None:
    """Replay a range of days; where a day's file cannot be read, all days before it.

    Months are collected in one run, which a single file stops.

    Raises
    ------
    SourceError
        For that day, when those before it are made.
    FlywheelError
        When a step or a blocking check fails.
    """
    try:
        turner.turn(list(replay(flywheel, first, last)), progress)
    except FlywheelError:
        stopped = _stopped(turner.home, flywheel, first, last)
        if stopped is None or stopped[0] == first:
            raise
    else:
        return
    day, why = stopped
    turner.turn(list(replay(flywheel, first, day - DAY)), progress)
    before = many((day - first).days, "day")
    raise SourceError(
        expected=f"{flywheel.name} from {first} to {last}",
        found=f"that {day} stops it, {why}",
        remedy=f"mend that and run the same command again, which goes on from {day}: what is "
        f"before it, {before} from {first} to {day - DAY}, is made",
    )


def _stopped(home: Home, flywheel: Flywheel, first: date, last: date) -> tuple[date, str] | None:
    """Find the first day of a range that daily files cannot be read for, and why."""
    settings = home.settings()
    start = settings.start if settings else first
    daily = [
        (one, home.source_path(one.name, one.source.path))
        for one in catalog([flywheel]).observations
        if isinstance(one.source, DailyFiles)
    ]
    for day in days(first, last):
        for observation, path in daily:
            try:
                read_source(observation, path, day, day, start=start)
            except SourceError as error:
                return day, f"collect/{observation.name}: {error}"
    return None
