"""Collecting what the API received: exactly once, whoever is killed, early, late or not alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel_assets import Cancellation, DailyFiles, Dimension, Fact, Field, Observation
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stages import checks
from flywheel_assets.stages.collect import validate
from flywheel_assets.stages.organize import changes, dimension_schema, fact_schema, facts
from flywheel_assets.stages.received import API, as_raw
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox, Received, Rejected
from flywheel_assets.stores.replay import Replayed, replay
from flywheel_assets.stores.tables import Tables
from flywheel_tests.clicks import DAY, OWNERS, START, click, home_with, sent, us, visitor
from flywheel_tests.conftest import contents

# How often to try what chance decides; the suite tries a few, a release many.
KILLS = int(os.environ.get("FLYWHEEL_TEST_KILLS", "5"))
ROUNDS = int(os.environ.get("FLYWHEEL_TEST_ROUNDS", "5"))


def collect(home: Home, first: int, last: int | None = None, of: Observation = click) -> None:
    """Collect a range of days, counted from the start; all checks pass."""
    begin, end = START + first * DAY, START + (first if last is None else last) * DAY
    result, received = Collecting(of, home, Settings(start=START)).collect(begin, end)
    found = checks.collect(result.observations, result.accounts, ["visitor_id", "page"], received)
    assert all(check.passed for check in found), found


def accounts(home: Home) -> list[tuple[int, ...]]:
    """Give received, collected, rejected and duplicates of each day."""
    table = contents(home.root)["collect/click_accounts"].sort("partition_date")
    return [row[1:] for row in table.iter_rows()]


def test_what_was_received_is_collected_on_its_day(tmp_path: Path) -> None:
    """Each record once, in the partition of its receipt, older ones in the first, all counted."""
    home = home_with(
        tmp_path,
        (us(-9), [sent("old", 1, day=-9)]),
        (us(0), [sent("x", 2), sent("y", 2), sent("x", 2)]),
        (us(1, 0), [sent("late", 3), sent("y", 2)]),
    )
    inbox = Inbox(home.inbox, clock=lambda: us(1))
    inbox.reject([Rejected("click", "$.entity: required", b'{"\xff'), Rejected(None, "kind?", b"")])
    inbox.close()
    collect(home, 0)
    collect(home, 1)
    table = contents(home.root)["collect/click"].sort("known_at", "observation_id")
    assert table["observation_id"].to_list() == ["old", "x", "y", "late"]
    assert [(d - START).days for d in table["partition_date"]] == [0, 0, 0, 1]
    assert table["known_at"].dt.timestamp("us").to_list() == [us(-9), us(0), us(0), us(1, 0)]
    assert table["seconds"].to_list() == [0.1] * 4
    assert accounts(home) == [(4, 3, 0, 1), (3, 1, 1, 1)]
    rejected = contents(home.root)["collect/click_rejected"].row(0, named=True)
    assert rejected["reason"] == "$.entity: required"
    assert rejected["record"] == '{"\\xff'
    before = contents(home.root)
    collect(home, 0, 1)
    collect(home, 0)
    after = contents(home.root)
    assert all(frame.equals(after[name]) for name, frame in before.items())


def test_files_and_the_api_are_one_observation(tmp_path: Path) -> None:
    """Records of both are collected together; a record of one that the other told counts once."""
    folder = tmp_path / "files"
    folder.mkdir()
    header = "visitor_id,page,seconds,observation_id,at\n"
    row = "7,a,0.1,not an id of ours,2026-01-05T01:00:00Z\n"
    (folder / f"{START}.csv").write_text(header + row + row.replace("7", "x", 1))
    both = replace(click, source=DailyFiles(path=str(folder), event_time="at"))
    home = home_with(tmp_path / "home", (us(0), [sent("x", 2)]))
    collect(home, 0, of=both)
    told = contents(home.root)["collect/click"].filter(visitor_id=7)["observation_id"][0]
    inbox = Inbox(home.inbox, clock=lambda: us(1))
    inbox.put([sent(told, 7), sent("x", 2)])
    inbox.close()
    collect(home, 1, of=both)
    assert accounts(home) == [(3, 2, 1, 0), (2, 0, 0, 2)]


def test_links_reach_the_fact_and_a_retraction_has_no_payload(tmp_path: Path) -> None:
    """decision_id, corrects and retracts are columns; a dimension passes retractions over."""
    home = home_with(
        tmp_path,
        (us(0), [sent("x", 1, links=', "decision_id": "d"'), sent("y", 2)]),
        (us(0, 13), [sent("z", 1, links=', "corrects": "x"', page="b")]),
        (us(0, 14), [sent("r", 2, links=', "retracts": "y"')]),
    )
    collect(home, 0)
    rows = contents(home.root)["collect/click"]
    rule = Cancellation(
        when=pl.col("page") == "back", becomes="retraction", measures=("seconds",), match=("page",)
    )
    for cancellation in (None, rule):
        fact = Fact(
            name="click",
            observation=click,
            owners=OWNERS,
            description="Clicks.",
            cancellation=cancellation,
        )
        found = facts(rows, pl.DataFrame(schema=fact_schema(fact)), fact)
        links = found.select("observation_id", "decision_id", "corrects", "retracts", "page")
        assert links.rows() == [
            ("x", "d", None, None, "a"),
            ("y", None, None, None, "a"),
            ("z", None, "x", None, "b"),
            ("r", None, None, "y", None),
        ]
    where = Dimension(
        name="visitor",
        entity=visitor,
        observation=click,
        attributes=("page",),
        owners=OWNERS,
        description="Where somebody is.",
    )
    known = changes(rows, pl.DataFrame(schema=dimension_schema(where)), where)
    assert known["page"].null_count() == 0


def test_what_a_changed_contract_no_longer_takes_is_rejected(tmp_path: Path) -> None:
    """A record that was valid when it was received is judged by the contract of the day."""
    home = home_with(tmp_path, (us(0), [sent("x", 1), sent("y", 2, page="b")]))
    odd = Received("click", "odd", us(0, 1), b'{"entity": {"visitor_id": {}}}')
    not_json = Received("click", "no", us(0, 1), b"{")
    inbox = Inbox(home.inbox, clock=lambda: us(0, 13))
    inbox.put([odd, not_json])
    inbox.close()
    page = replace(click.fields[1], allowed=("a",))
    stricter = replace(click, fields=(click.fields[0], page, click.fields[2]))
    collect(home, 0, of=stricter)
    assert accounts(home) == [(4, 1, 3, 0)]
    reasons = contents(home.root)["collect/click_rejected"]["reason"].to_list()
    assert sum("page: expected one of ['a'], found 'b'" in r for r in reasons) == 1
    assert reasons.count("expected a JSON record") == 2
    collect(home, 0)
    assert accounts(home) == [(4, 2, 2, 0)]


def test_records_sent_again_days_apart_count_once(tmp_path: Path) -> None:
    """Three in ten are sent again up to two days later, and the facts are exact."""
    chance = random.Random(0)  # noqa: S311  a repeatable choice, no secret
    home, days, n = home_with(tmp_path), 5, 300
    again: dict[int, list[Received]] = {day: [] for day in range(days + 2)}
    total = 0
    for day in range(days + 2):
        fresh = [sent(f"{day}-{i}", i, day=day) for i in range(n)] if day < days else []
        for record in fresh:
            if chance.random() < 0.3:
                again[chance.choice([d for d in (day, day + 1, day + 2) if d < days + 2])].append(
                    record
                )
        inbox = Inbox(home.inbox, clock=lambda day=day: us(day))  # type: ignore[misc]  # bound now
        batch = [*fresh, *again[day]]
        total += len(batch)
        inbox.put(batch)
        collect(home, day)
        # Ids beyond the horizon are forgotten, so that looking costs no more as history grows.
        held = inbox._file.connection.execute(
            "select count(*), count(record) from received"
        ).fetchone()
        assert held[0] <= 2 * n
        assert held[1] == 0
        inbox.close()
    table = contents(home.root)["collect/click"]
    assert table.height == table["observation_id"].n_unique() == days * n
    assert sum(received for received, *_ in accounts(home)) == total


def test_rejects_are_received_when_the_contract_takes_them(tmp_path: Path) -> None:
    """Collected or not, of no kind or of one: each once, known from the replay on."""
    home = home_with(tmp_path)
    tables = Tables(home.lakehouse)
    raws = [b"1", b"2", b"3", b"no"]
    inbox = Inbox(home.inbox, clock=lambda: us(0))
    inbox.reject([Rejected("click", "why", raw) for raw in raws[:2]])
    inbox.reject([Rejected(None, "kind?", raw) for raw in raws[2:]])
    inbox.close()
    collect(home, 0)
    inbox = Inbox(home.inbox, clock=lambda: us(1))
    inbox.reject([Rejected("click", "why", b"4"), Rejected("click", "why", b"1")])

    def read(raw: bytes) -> Received | Rejected:
        if raw in {b"no", b"2"}:
            return Rejected("click", "still", raw)
        return sent(raw.decode(), int(raw), day=0)

    assert replay(inbox, tables, "click", read) == Replayed(accepted=2, duplicate=1, rejected=1)
    assert replay(inbox, tables, "click", read) == Replayed(rejected=1)
    assert replay(inbox, tables, None, read) == Replayed(accepted=1, rejected=1)
    assert [raw for *_, raw in inbox.rejects(None)] == [b"no"]
    collect(home, 1)
    assert replay(inbox, tables, "click", read) == Replayed(rejected=1)
    inbox.close()
    rows = contents(home.root)["collect/click"].sort("observation_id")
    assert rows["observation_id"].to_list() == ["1", "3", "4"]
    assert rows["partition_date"].unique().to_list() == [START + DAY]
    assert accounts(home) == [(2, 0, 2, 0), (6, 3, 2, 1)]


def test_the_command_replays_what_the_home_rejected(tmp_path: Path) -> None:
    """Records of the bundled flywheel: one that has become sound, and one of no kind at all."""
    home = Home(tmp_path)
    home.save(Settings(start=START))
    payload = {"invoice": "1", "stock_code": "A", "quantity": 1, "unit_price": 1.5, "country": "UK"}
    record = {
        "kind": "order_line",
        "entity": {"customer_id": 7},
        "event_time": "2026-01-05T01:00:00Z",
        "payload": payload,
    }
    inbox = Inbox(home.inbox)
    inbox.reject([Rejected("order_line", "too new", json.dumps(record).encode())])
    inbox.reject([Rejected(None, "kind?", b"{")])
    command = [sys.executable, "-m", "flywheel_assets.cli", "replay-rejected"]
    environment = os.environ | {"FLYWHEEL_HOME": str(tmp_path), "COLUMNS": "200"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [[cell.strip() for cell in line.split("│")] for line in said.stdout.splitlines()]
    assert ["", "order_line", "1", "0", "0", "0", ""] in rows
    assert ["", "(no declared kind)", "0", "0", "0", "1", ""] in rows
    today = (datetime.now(UTC).date() - date(1970, 1, 1)).days
    kept = [e.status for d in (today - 1, today) for e in inbox.waiting("order_line", d)]
    assert sorted(kept) == ["accepted", "rejected"]
    inbox.close()


earliest, latest = datetime(1970, 1, 1), datetime(2026, 1, 5)  # noqa: DTZ001  bounds have no zone
instants = st.datetimes(earliest, latest, timezones=st.just(UTC))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(exclude_categories=["Cs"])),
            st.booleans() | st.none(),
            st.dates(date(1970, 1, 1), date(2100, 1, 1)),
            instants,
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_collected_is_what_was_received(rows: list[tuple[Any, ...]]) -> None:
    """Every value of every type comes back exactly as it was sent."""
    types = (pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Date, pl.Datetime)
    fields = [
        Field(name=name, dtype=dtype, description="x", nullable=dtype == pl.Boolean)
        for name, dtype in zip("abcdef", types, strict=True)
    ]
    thing = replace(click, entity=replace(visitor, keys=("a",)), fields=tuple(fields))
    records = [
        json.dumps(
            {
                "entity": {"a": a},
                "payload": {"b": b, "c": c, "d": d, "e": e.isoformat(), "f": f.isoformat()},
            }
        )
        for a, b, c, d, e, f in rows
    ]
    moment = pl.lit(datetime(2026, 1, 5, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    received = pl.DataFrame({"record": records, "seq": range(len(rows))}).select(
        pl.lit(START).alias("partition_date"),
        "seq",
        moment.alias("known_at"),
        pl.lit("accepted").alias("status"),
        pl.col("seq").cast(pl.String).alias("observation_id"),
        moment.alias("event_time"),
        "record",
        pl.lit(None, dtype=pl.String).alias("reason"),
        pl.lit(1, dtype=pl.Int64).alias("copies"),
    )
    found = validate(as_raw(received, thing), thing, API)
    assert found["reason"].null_count() == len(rows), found["reason"]
    assert found.select(*"abcdef").rows() == rows


def test_what_is_logged_of_a_full_dump_is_rejected(tmp_path: Path) -> None:
    """A dump tells the whole of its source; one more row would close all the others."""
    (tmp_path / "files").mkdir()
    source = DailyFiles(path=str(tmp_path / "files"), event_time="at", full_dump=True)
    home = home_with(tmp_path / "home", (us(0), [sent("x", 2)]))
    collect(home, 0, of=replace(click, source=source))
    assert accounts(home) == [(1, 0, 1, 0)]
    reasons = contents(home.root)["collect/click_rejected"]["reason"]
    assert reasons.to_list() == ["a full dump tells the whole of its source"]


@pytest.mark.parametrize("broken", list(product([0, 1, 2], repeat=3)))
def test_rejects_of_some_of_several_files(tmp_path: Path, broken: tuple[int, ...]) -> None:
    """Collected together, each says its reason, whichever files are sound."""
    (tmp_path / "files").mkdir()
    for day, count in enumerate(broken):
        lines = [f"{n},,much,{START + day * DAY} 10:00:00\n" for n in range(count)]
        text = f"visitor_id,page,seconds,at\n7,a,0.5,{START + day * DAY} 10:00:00\n"
        (tmp_path / "files" / f"{START + day * DAY}.csv").write_text(text + "".join(lines))
    source = DailyFiles(path=str(tmp_path / "files"), event_time="at")
    home = home_with(tmp_path / "home")
    collect(home, 0, 2, of=replace(click, source=source))
    assert accounts(home) == [(1 + n, 1, n, 0) for n in broken]
    reasons = contents(home.root)["collect/click_rejected"]["reason"]
    expected = "page: required, found nothing; seconds: expected Float64, found much"
    assert reasons.to_list() == [expected] * sum(broken)


KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox
from flywheel_assets.stores.tables import Tables
from flywheel_tests.clicks import DAY, START, click

left = int(sys.argv[2])

def deadly(owner, name):
    whole = getattr(owner, name)
    def method(*args, **kwargs):
        global left
        for step in (lambda: None, lambda: whole(*args, **kwargs)):
            done = step()
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(owner, name, method)

for name in ("close_before", "collected", "forget"):
    deadly(Inbox, name)
deadly(Tables, "replace")
Collecting(click, Home(Path(sys.argv[1])), Settings(start=START)).collect(START, START + DAY)
print(left)
"""


def test_killed_between_any_two_writes(tmp_path: Path) -> None:
    """Then done again, it comes to the tables of an undisturbed run; nothing leaves unheld."""
    puts = (
        (us(0), [sent("x", 1), sent("y", 2), sent("x", 1)]),
        (us(1), [sent("z", 3), sent("x", 1)]),
    )
    calm = home_with(tmp_path / "calm", *puts)
    collect(calm, 0, 1)
    expected = contents(calm.root)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    kills = 0
    for point in range(1, 100):
        home = home_with(tmp_path / str(point), *puts)
        command = [sys.executable, "-c", KILLED, str(home.root), str(point)]
        ran = subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
        collect(home, 0, 1)
        found = contents(home.root)
        assert found.keys() == expected.keys()
        assert all(frame.equals(found[name]) for name, frame in expected.items()), point
        if ran.returncode == 0:
            break
        assert ran.returncode == -signal.SIGKILL
        kills += 1
    # Four commits of collect, two of the inbox's days, each day's leaving, closing, forgetting.
    assert kills == 2 * (3 + 2 + 2 + 1 + 1)


AT_ONCE = """
import sys, time
from pathlib import Path
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stores.home import Home, Settings
from flywheel_tests.clicks import START, click
for root in map(Path, sys.argv[2:]):
    (root / sys.argv[1]).touch()
    while len(list(root.glob("ready*"))) < 2:
        time.sleep(0)
    Collecting(click, Home(root), Settings(start=START)).collect(START, START)
"""


def test_collected_by_two_at_once(tmp_path: Path) -> None:
    """Two processes that collect the same partition come to one result, that of one alone."""
    puts = ((us(0), [sent(str(i), i) for i in range(200)]), (us(0, 13), [sent("0", 0)]))
    calm = home_with(tmp_path / "calm", *puts)
    collect(calm, 0)
    homes = [home_with(tmp_path / str(i), *puts) for i in range(ROUNDS)]
    roots = [str(home.root) for home in homes]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen([sys.executable, "-c", AT_ONCE, name, *roots], env=environment)
        for name in ("ready1", "ready2")
    ]
    assert [process.wait() for process in both] == [0, 0]
    expected = contents(calm.root)
    for home in homes:
        found = contents(home.root)
        assert all(frame.equals(found[name]) for name, frame in expected.items())
        collect(home, 0)
        assert contents(home.root)["collect/click"].equals(expected["collect/click"])


SERVER = """
import sys
from pathlib import Path
from flywheel_assets.stores.inbox import DAY_US, Inbox, now_us
from flywheel_tests.clicks import sent
inbox = Inbox(Path(sys.argv[1]), clock=lambda: now_us() - 3 * DAY_US)
for line in sys.stdin:
    first = int(line)
    inbox.put([sent(str(i), i) for i in range(first, first + 20)])
    print(first, flush=True)
"""


def serve_and_kill(root: Path, kills: int, chance: random.Random) -> tuple[set[int], int]:
    """Send batches to a process that is killed at random, again until acknowledged.

    Returns
    -------
    tuple of set of int and int
        The first numbers of the batches that were acknowledged, and how many were sent again.
    """
    command = [sys.executable, "-c", SERVER, str(root)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    acknowledged: set[int] = set()
    batch, again = 0, 0
    for _ in range(kills):
        server = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert server.stdin is not None
        assert server.stdout is not None
        end = None
        try:
            while True:
                server.stdin.write(f"{batch}\n")
                server.stdin.flush()
                if not server.stdout.readline():
                    break
                acknowledged.add(batch)
                batch += 20
                end = end or time.monotonic() + chance.uniform(0.01, 0.2)
                if time.monotonic() > end:
                    # While the next batch is under way.
                    server.stdin.write(f"{batch}\n")
                    server.stdin.flush()
                    time.sleep(chance.uniform(0, 0.004))
                    server.kill()
                    break
        except BrokenPipeError:
            pass
        server.communicate()
        again += 1
    server = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    said, _ = server.communicate(f"{batch}\n")
    assert said == f"{batch}\n"
    return acknowledged | {batch}, again


def test_killed_under_load_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """What was acknowledged is in the table once, whatever was sent again after a kill."""
    home = Home(tmp_path)
    first = datetime.now(UTC).date() - 4 * DAY
    home.save(Settings(start=first))
    batches, again = serve_and_kill(home.inbox, KILLS, random.Random(0))  # noqa: S311  repeatable
    assert again == KILLS
    Collecting(click, home, Settings(start=first)).collect(first, first + 2 * DAY)
    ids = contents(tmp_path)["collect/click"]["observation_id"].cast(pl.Int64)
    wanted = {first + i for first in batches for i in range(20)}
    assert ids.n_unique() == ids.len()
    assert set(ids) == wanted
