"""A small observation that is only logged, and homes in which some of it was received."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from flywheel_assets import Entity, Field, Observation
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox, Received

DAY = timedelta(days=1)
START = date(2026, 1, 5)
OWNERS = ["team:web"]
visitor = Entity(name="visitor", keys=("visitor_id",), owners=OWNERS, description="A browser.")
click = Observation(
    name="click",
    entity=visitor,
    owners=OWNERS,
    description="A click.",
    duplicates_within=2 * DAY,
    fields=(
        Field(name="visitor_id", dtype=pl.Int64, description="Who."),
        Field(name="page", dtype=pl.String, description="Where."),
        Field(name="seconds", dtype=pl.Float64, nullable=True, description="How long."),
    ),
)


def us(day: int, hour: int = 12) -> int:
    """Give an hour of a day, counted from the start, in microseconds since the epoch."""
    return int(datetime(2026, 1, 5, hour, tzinfo=UTC).timestamp() + day * 86_400) * 1_000_000


def sent(own: str, visitor_id: int, *, day: int = 0, links: str = "", page: str = "a") -> Received:
    """Make a validated record; ``links`` is JSON to put in."""
    payload = "" if "retracts" in links else f', "payload": {{"page": "{page}", "seconds": 0.1}}'
    text = f'{{"entity": {{"visitor_id": {visitor_id}}}{payload}{links}}}'
    return Received("click", own, us(day, 1), text.encode())


def home_with(root: Path, *puts: tuple[int, list[Received]]) -> Home:
    """Open a home in which records were received, each batch at a time."""
    home = Home(root)
    home.save(Settings(start=START))
    for at, records in puts:
        inbox = Inbox(home.inbox, clock=lambda at=at: at)  # type: ignore[misc]  # bound now
        inbox.put(records)
        inbox.close()
    return home
