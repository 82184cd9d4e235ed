"""The inbox: a real SQLite file, real full disks, real processes."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel_assets.errors import InboxBusyError, InboxError, InboxFullError
from flywheel_assets.stores.inbox import DAY_US, Inbox, Received, Rejected

HOUR = 3_600_000_000


def record(number: int, content: str = "{}") -> Received:
    """Make a click whose id is a number."""
    return Received("click", str(number), number, content.encode())


class Clock:
    """A clock that says what it is told to."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands at the noon of day 10."""
    return Clock(10 * DAY_US + 12 * HOUR)


@pytest.fixture
def inbox(tmp_path: Path, clock: Clock) -> Iterator[Inbox]:
    """Open an inbox."""
    opened = Inbox(tmp_path / "inbox", clock=clock)
    yield opened
    opened.close()


def test_receipts_tell_duplicates_from_conflicts(inbox: Inbox, clock: Clock) -> None:
    """Equal content is a duplicate with the first receipt's time, other content a conflict."""
    first = clock.now
    assert inbox.put([record(1), record(2), record(1)]) == [
        ("accepted", first),
        ("accepted", first),
        ("duplicate", first),
    ]
    clock.now += 5
    assert inbox.put([record(1), record(2, "[]"), record(3)]) == [
        ("duplicate", first),
        ("conflict", first),
        ("accepted", first + 5),
    ]
    waiting = inbox.waiting("click", 10)
    assert [(e.status, e.observation_id, e.copies) for e in waiting] == [
        ("accepted", "1", 1),
        ("accepted", "2", 1),
        ("duplicate", None, 2),
        ("accepted", "3", 1),
    ]


def test_the_same_id_of_another_kind_is_another_record(inbox: Inbox) -> None:
    """Ids are of their kind."""
    other = Received("order", "1", 1, b"[]")
    assert [r.status for r in inbox.put([record(1), other])] == ["accepted", "accepted"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 250), st.booleans())), max_size=5))
def test_receipts_against_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, bool]]]
) -> None:
    """Whatever is sent, in whatever batches: what a dictionary of first receipts says."""
    inbox = Inbox(tmp_path_factory.mktemp("inbox"), clock=lambda: 1)
    first: dict[int, tuple[bool, int]] = {}
    for at, batch in enumerate((b for b in batches if b), 1):
        found = inbox.put([record(n, f"{content}") for n, content in batch])
        for (n, content), receipt in zip(batch, found, strict=True):
            if n not in first:
                first[n] = (content, at)
                assert receipt == ("accepted", at)
            else:
                same = first[n][0] == content
                assert receipt == ("duplicate" if same else "conflict", first[n][1])
    assert len(inbox.waiting("click", 0)) - len(first) in {0, 1}
    inbox.close()


def test_receipt_time_never_goes_back(tmp_path: Path, inbox: Inbox, clock: Clock) -> None:
    """A clock that steps back is passed over, by another process's inbox and after a start too."""
    start = clock.now
    times = [inbox.put([record(0)])[0].known_at]
    other = Inbox(tmp_path / "inbox", clock=lambda: start - DAY_US)
    times.append(other.put([record(1)])[0].known_at)
    clock.now -= 3 * HOUR
    times.append(inbox.put([record(2)])[0].known_at)
    other.close()
    other = Inbox(tmp_path / "inbox", clock=lambda: 0)
    times.append(other.put([record(3)])[0].known_at)
    other.close()
    clock.now += 9 * HOUR
    times.append(inbox.put([record(4)])[0].known_at)
    assert times == [start, start + 1, start + 2, start + 3, start + 6 * HOUR]


def test_a_closed_day_gets_no_more_records(inbox: Inbox, clock: Clock) -> None:
    """Even when the clock steps back over midnight; and a day that has not closed cannot be."""
    with pytest.raises(InboxError, match="a day that has closed"):
        inbox.close_before(11 * DAY_US)
    clock.now = 11 * DAY_US + 1
    inbox.close_before(11 * DAY_US)
    clock.now = 10 * DAY_US
    assert inbox.put([record(1)])[0].known_at == 11 * DAY_US
    assert inbox.waiting("click", 10) == []


def test_what_was_collected_is_still_known_for_the_horizon(inbox: Inbox, clock: Clock) -> None:
    """Collected records leave, their ids stay until forgotten; the uncollected is never lost."""
    inbox.put([record(1), record(2)])
    inbox.reject([Rejected("click", "why", b"\xff"), Rejected(None, "what", b"x" * 100_000)])
    inbox.put([record(1)])
    assert inbox.days("click", 0, 20) == [10]
    inbox.collected("click", 10)
    assert inbox.days("click", 0, 20) == []
    assert inbox.waiting("click", 10) == []
    clock.now += DAY_US
    again = inbox.put([record(1), record(2, "[]"), record(3)])
    assert [r.status for r in again] == ["duplicate", "conflict", "accepted"]
    inbox.forget("click", 11 * DAY_US, at_once=1)
    assert [r.status for r in inbox.put([record(1), record(3)])] == ["accepted", "duplicate"]
    inbox.forget("click", 99 * DAY_US)
    assert [e.observation_id for e in inbox.waiting("click", 11)] == ["3", None, "1"]
    assert [len(raw) for _, _, raw in inbox.rejects(None)] == [65_536]


def test_a_full_disk_acknowledges_nothing(inbox: Inbox) -> None:
    """What does not fit is refused as a whole; what was there stays, and the next that fits."""
    inbox.put([record(0)])
    pages = inbox._file.connection.execute("pragma page_count").fetchone()[0]
    inbox._file.connection.execute(f"pragma max_page_count = {pages + 20}")
    with pytest.raises(InboxFullError, match="free some"):
        inbox.put([record(n, "x" * 1_000) for n in range(1, 500)])
    assert [e.observation_id for e in inbox.waiting("click", 10)] == ["0"]
    assert inbox.put([record(1)])[0].status == "accepted"
    assert inbox.problems() == []


FILL = """
import resource, sys
from pathlib import Path
from flywheel_assets.errors import InboxFullError
from flywheel_assets.stores.inbox import Inbox, Received
inbox = Inbox(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    for n in range(10_000):
        inbox.put([Received("click", f"{n}-{i}", 0, b"x" * 1_000) for i in range(10)])
        print(n, flush=True)
except InboxFullError:
    print("full", flush=True)
"""


def test_a_file_that_cannot_grow_holds_what_was_acknowledged(tmp_path: Path) -> None:
    """The operating system refuses to write in the middle of a commit: all or nothing of it."""
    command = [sys.executable, "-c", FILL, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said[-1] == "full"
    assert len(said) > 2
    inbox = Inbox(tmp_path)
    today = (datetime.now(UTC).date() - date(1970, 1, 1)).days
    held = Counter(
        e.observation_id.split("-")[0]
        for day in (today - 1, today)
        for e in inbox.waiting("click", day)
        if e.observation_id
    )
    assert set(said[:-1]) <= set(held)
    assert set(held.values()) == {10}
    assert inbox.problems() == []
    inbox.close()


def test_a_locked_inbox_is_busy(tmp_path: Path, clock: Clock) -> None:
    """Another process that holds the lock for long is an error that says to try again."""
    inbox = Inbox(tmp_path, clock=clock, wait_seconds=0.05)
    other = sqlite3.connect(inbox.path, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(InboxBusyError, match="again later"):
        inbox.put([record(1)])
    other.execute("rollback")
    assert inbox.put([record(1)])[0].status == "accepted"
    other.close()
    inbox.close()


def test_a_torn_page_is_found(tmp_path: Path, inbox: Inbox) -> None:
    """Half a page of other bytes does not pass for a sound inbox."""
    inbox.put([record(n, "x" * 500) for n in range(2_000)])
    inbox._file.connection.execute("pragma wal_checkpoint(truncate)")
    assert inbox.problems() == []
    inbox.close()
    content = bytearray(inbox.path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 2048] = os.urandom(2048)
    inbox.path.write_bytes(bytes(content))
    torn = Inbox(tmp_path / "inbox")
    assert torn.problems()
    torn.close()


CLIENT = """
import sys, time
from pathlib import Path
from flywheel_assets.stores.inbox import Inbox, Received
first, count = int(sys.argv[2]), int(sys.argv[3])
inbox = Inbox(Path(sys.argv[1]))
for n in range(first, first + count, 5):
    found = inbox.put([Received("click", str(i), i, b"%d" % i) for i in range(n, n + 5)])
    print(n, *(r.known_at for r in found), flush=True)
"""


def client(folder: Path, first: int, count: int) -> "subprocess.Popen[str]":
    """Start a process that sends numbered records, five at a time, and says what was received."""
    command = [sys.executable, "-c", CLIENT, str(folder), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_on_one_home(tmp_path: Path) -> None:
    """Both are received whole, duplicates between them counted once, times in one order."""
    processes = [client(tmp_path, 0, 500), client(tmp_path, 250, 500)]
    said = [p.communicate()[0].splitlines() for p in processes]
    assert [p.returncode for p in processes] == [0, 0]
    inbox = Inbox(tmp_path)
    rows = inbox._file.connection.execute(
        "select known_at, observation_id from received order by seq"
    )
    times, ids = zip(*rows.fetchall(), strict=True)
    assert list(times) == sorted(times)
    assert sorted(map(int, ids)) == list(range(750))
    assert len(set(times)) == 150
    assert inbox._file.connection.execute("select sum(count) from repeated").fetchone() == (250,)
    for lines in said:
        known = [int(line.split()[1]) for line in lines]
        assert len(known) == 100
    inbox.close()
