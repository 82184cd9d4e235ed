"""Full dumps: who is in a file is there, whenever its rows are known and whatever they say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flywheel_assets import DailyFiles, DeclarationError, Dimension, Entity, Observation
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.collect import collect
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.dagster_assets.organize import organize_dimension
from flywheel_assets.stages.collect import dump_schema, observation_schema
from flywheel_assets.stages.organize import changes, dimension_schema, looked_up
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.tables import Tables
from flywheel_tests.clicks import DAY, OWNERS, START, click, visitor

HOUR = timedelta(hours=1)
N_DAYS = 4
WHO = (1, 2, 3)


@dataclass(frozen=True)
class Told:
    """What a day's file says of somebody: where, since when by the local clock, soundly or not."""

    who: int
    page: str
    since: datetime
    sound: bool = True


Files = dict[int, list[Told]]
"""The records of the files, by day."""


def dumped(folder: Path, zone: str, delay: timedelta) -> tuple[Observation, Dimension]:
    """Declare visitors, of whom all are told each day."""
    source = DailyFiles(
        path=str(folder), event_time="at", time_zone=zone, full_dump=True, delay=delay
    )
    observation = replace(click, source=source)
    where = Dimension(
        name="visitor",
        entity=visitor,
        observation=observation,
        attributes=("page",),
        owners=OWNERS,
        description="Where somebody is.",
    )
    return observation, where


def write(root: Path, files: Files) -> Path:
    """Write the files into a folder."""
    folder = root / "files"
    folder.mkdir(parents=True)
    for day, records in files.items():
        lines = [f"{t.who},{t.page},{0.5 if t.sound else 'much'},{t.since}" for t in records]
        text = "visitor_id,page,seconds,at\n" + "".join(f"{line}\n" for line in lines)
        (folder / f"{START + day * DAY}.csv").write_text(text)
    return folder


def organized(
    root: Path, files: Files, zone: str, step: int, delay: timedelta = 0 * DAY
) -> tuple[pl.DataFrame, Dimension]:
    """Write the files, and collect and organize so many days at a time."""
    folder = write(root, files)
    observation, where = dumped(folder, zone, delay)
    home, tables = Home(root / "home"), Tables(root / "home" / "lakehouse")
    home.save(Settings(start=START))
    table = pl.DataFrame(schema=dimension_schema(where))
    for n in range(0, N_DAYS, step):
        span = (START + n * DAY, START + (n + step - 1) * DAY)
        Collecting(observation, home, Settings(start=START)).collect(*span)
        rows = tables.read("collect/click", observation_schema(observation), *span).collect()
        there = tables.read("collect/click_in_dump", dump_schema(observation), *span).collect()
        table = pl.concat([table, changes(rows, table, where, in_dump=there)])
    return table.sort(table.columns), where


def at_closes(table: pl.DataFrame, where: Dimension) -> list[list[str | None]]:
    """Look everybody up at the close of each day."""
    found = []
    for day in range(N_DAYS):
        moment = pl.lit(midnight(day + 1)).cast(pl.Datetime("us", "UTC"))
        spine = pl.DataFrame({"visitor_id": WHO}).with_columns(moment.alias("as_of"))
        found.append(looked_up(spine, table, where, ["page"])["page"].to_list())
    return found


def midnight(day: int) -> datetime:
    """Give the moment at which a partition begins."""
    return datetime(START.year, START.month, START.day, tzinfo=UTC) + day * DAY


def by_hand(files: Files, zone: str, delay: timedelta = 0 * DAY) -> list[list[str | None]]:
    """Say what is known of everybody who was in every dump since it was told."""
    return [
        [_known(files, ZoneInfo(zone), delay, day, who) for who in WHO] for day in range(N_DAYS)
    ]


def _known(files: Files, zone: ZoneInfo, delay: timedelta, last: int, who: int) -> str | None:
    found = []
    for day in range(last, -1, -1):
        if day not in files or not files[day]:
            continue
        told = [t for t in files[day] if t.who == who]
        if not told:
            break
        for t in told:
            happened = t.since.replace(tzinfo=zone).astimezone(UTC)
            if t.sound and max(happened + delay, midnight(day)) < midnight(last + 1):
                found.append((happened, t.page))
    return max(found)[1] if found else None


def local(day: int, hour: int) -> datetime:
    """Give an hour of a day by the local clock."""
    return midnight(day).replace(tzinfo=None) + hour * HOUR


def test_the_assets_know_what_else_was_told(tmp_path: Path) -> None:
    """A dimension's asset reads who is in a dump and, of what is no dump, what was told again."""
    new = [Told(1, "a", local(0, 9)), Told(2, "b", local(2, 21))]
    old = [Told(1, "a", local(0, 9)), Told(2, "a", local(0, 9))]
    assert materialized(tmp_path / "dump", [old, old, new], full_dump=True) == ["a", "a"]
    told = [
        [Told(1, "x", local(0, 9))],
        [Told(1, "x", local(1, 12))],
        [Told(1, "z", local(1, 11))],
    ]
    assert materialized(tmp_path / "news", told, full_dump=False) == ["x", None]


def materialized(root: Path, told: list[list[Told]], *, full_dump: bool) -> list[str | None]:
    """Materialize the assets a day at a time, and look up at the last close."""
    folder = write(root, dict(enumerate(told)))
    observation, where = dumped(folder, "America/New_York", 0 * DAY)
    assert isinstance(observation.source, DailyFiles)
    source = replace(observation.source, full_dump=full_dump)
    observation = replace(observation, source=source)
    where = replace(where, observation=observation)
    build = Build(home=Home(root / "home"), settings=Settings(start=START))
    build.home.save(build.settings)
    assets = [collect(build, observation), organize_dimension(build, where)]
    with dg.DagsterInstance.ephemeral() as instance:
        for n in range(len(told)):
            key = (START + n * DAY).isoformat()
            assert dg.materialize(assets, instance=instance, partition_key=key).success
    rows = build.tables.read("organize/dim_visitor", dimension_schema(where)).collect()
    return at_closes(rows, where)[len(told) - 1][:2]


def test_who_is_changed_in_the_evening_is_not_gone(tmp_path: Path) -> None:
    """Behind UTC it is known on the next day; until then the old page holds."""
    old = [Told(1, "a", local(0, 9)), Told(2, "a", local(0, 9))]
    new = [Told(1, "a", local(0, 9)), Told(2, "b", local(2, 21))]
    files = {0: old, 1: old, 2: new, 3: new}
    table, where = organized(tmp_path, files, "America/New_York", 1)
    assert [row[1] for row in at_closes(table, where)] == ["a", "a", "a", "b"]


def test_whose_record_is_rejected_is_not_gone(tmp_path: Path) -> None:
    """What was known of her before holds for as long as her record breaks its contract."""
    first = Told(1, "a", local(0, 9))
    files = {
        day: [first, Told(2, "a", local(0, 9), sound=day not in {1, 2})] for day in range(N_DAYS)
    }
    table, where = organized(tmp_path, files, "UTC", 1)
    assert [row[1] for row in at_closes(table, where)] == ["a"] * N_DAYS
    assert table.height == 2


def test_a_day_without_a_file_closes_nobody(tmp_path: Path) -> None:
    """Also where what is known on it was told by the file of the day before."""
    friday = [Told(1, "a", local(0, 9)), Told(2, "b", local(0, 21))]
    table, where = organized(tmp_path, {0: friday}, "America/New_York", 1)
    assert [row[:2] for row in at_closes(table, where)] == [["a", None]] + [["a", "b"]] * 3


def test_a_dimension_of_others_than_the_dump_is_refused() -> None:
    """A dump says who is there of its own entity alone."""
    observation, where = dumped(Path("x"), "UTC", 0 * DAY)
    page = Entity(name="page", keys=("page",), owners=OWNERS, description="A page.")
    with pytest.raises(DeclarationError, match="of whom its full dump is"):
        replace(where, entity=page, observation=observation, attributes=("seconds",))


@st.composite
def _files(draw: st.DrawFn) -> Files:
    """Draw changes of page by the local clock, who is there each day, and what is broken."""
    files: Files = {}
    pages = {who: Told(who, "a", local(0, 1)) for who in WHO}
    for day in range(N_DAYS):
        for who in WHO:
            if draw(st.booleans()):
                hour = draw(st.sampled_from([2, 12, 18, 19, 21, 23]))
                pages[who] = Told(who, draw(st.sampled_from("abc")), local(day, hour))
        if draw(st.integers(0, 4)):
            there: Sequence[int] = draw(st.lists(st.sampled_from(WHO), unique=True, min_size=1))
            files[day] = [replace(pages[who], sound=bool(draw(st.integers(0, 3)))) for who in there]
    return files or {0: [Told(1, "a", local(0, 1))]}


@settings(max_examples=25, deadline=None)
@given(
    files=_files(),
    zone=st.sampled_from(["UTC", "America/Los_Angeles", "Pacific/Auckland"]),
    delay=st.sampled_from([0 * DAY, 20 * HOUR]),
)
@example(  # gone for two days: closed once, from the first of them
    files={
        0: [Told(2, "a", local(0, 1))],
        1: [Told(1, "a", local(0, 1))],
        2: [Told(1, "a", local(0, 1))],
        3: [Told(1, "a", local(0, 1)), Told(2, "a", local(0, 1))],
    },
    zone="UTC",
    delay=0 * DAY,
)
def test_a_dump_is_its_file(
    tmp_path_factory: pytest.TempPathFactory, files: Files, zone: str, delay: timedelta
) -> None:
    """Whoever is in the last one is there, as far as known; the same however it is made."""
    table, where = organized(tmp_path_factory.mktemp("daily"), files, zone, 1, delay)
    whole, _ = organized(tmp_path_factory.mktemp("whole"), files, zone, N_DAYS, delay)
    assert table.equals(whole)
    assert at_closes(table, where) == by_hand(files, zone, delay)


def test_what_is_in_a_dump_is_kept_by_its_day(tmp_path: Path) -> None:
    """Once each, who has a key that can be read."""
    files = {1: [Told(2, "a", local(1, 9), sound=False), Told(2, "b", local(1, 23))]}
    organized(tmp_path, files, "America/New_York", 1)
    found = Tables(tmp_path / "home" / "lakehouse").read(
        "collect/click_in_dump", {"partition_date": pl.Date(), "visitor_id": pl.Int64()}
    )
    assert found.collect().rows() == [(date(2026, 1, 6), 2)]
