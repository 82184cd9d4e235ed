"""Group commit: many requests, few commits, and each its own receipts."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from flywheel_assets import InboxBusyError, InboxFullError
from flywheel_assets.api.writer import Writer
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Inbox, Receipt, Received, Rejected
from flywheel_tests.serving import POOL, record, serving


def received(number: int, content: bytes = b"{}") -> Received:
    """Make a record."""
    return Received("click", str(number), number, content)


def test_requests_share_commits_and_get_their_own_receipts(tmp_path: Path) -> None:
    """A thousand at once take a few commits; what was sent before is a duplicate or conflict."""

    async def work() -> tuple[list[list[Receipt]], int]:
        writer = Writer(lambda: Inbox(tmp_path))
        first = await asyncio.gather(*(writer.put([received(n)]) for n in range(1_000)))
        commits = writer.commits
        assert all(len(r) == 1 and r[0].status == "accepted" for r in first)
        mixed = await asyncio.gather(
            writer.put([received(1), received(5_000)]),
            writer.put([received(2, b"other")]),
            writer.put([received(5_000)]),
        )
        assert writer.waiting == 0
        writer.close()
        return list(mixed), commits

    mixed, commits = asyncio.run(work())
    assert commits < 10
    assert [[r.status for r in receipts] for receipts in mixed] == [
        ["duplicate", "accepted"],
        ["conflict"],
        ["duplicate"],
    ]


def test_more_than_may_wait_is_refused_and_not_queued(tmp_path: Path) -> None:
    """Whoever is refused may send again when there is room; nothing of theirs was received."""

    async def work() -> None:
        writer = Writer(lambda: Inbox(tmp_path), max_waiting=100)
        told = await asyncio.gather(
            *(writer.put([received(n) for n in range(60 * k, 60 * k + 60)]) for k in range(3)),
            return_exceptions=True,
        )
        assert [isinstance(t, InboxBusyError) for t in told] == [False, True, True]
        with pytest.raises(InboxBusyError):
            await writer.reject([Rejected(None, "x", b"")] * 101)
        again = await writer.put([received(n) for n in range(60, 120)])
        assert {r.status for r in again} == {"accepted"}
        writer.close()

    asyncio.run(work())


def test_a_full_disk_is_told_to_all_who_waited_and_to_nobody_after(tmp_path: Path) -> None:
    """SQLite runs out of pages; nothing is acknowledged; with room again all is received."""

    async def work() -> None:
        inbox = Inbox(tmp_path)
        writer = Writer(lambda: inbox)
        database = inbox._file.connection
        (pages,) = database.execute("pragma page_count").fetchone()
        database.execute(f"pragma max_page_count = {pages + 2}")
        large = [received(n, b"x" * 3_000) for n in range(20)]
        told = await asyncio.gather(
            *(writer.put(large[k : k + 10]) for k in (0, 10)), return_exceptions=True
        )
        assert [type(t) for t in told] == [InboxFullError, InboxFullError]
        database.execute("pragma max_page_count = 100000")
        assert {r.status for r in await writer.put(large)} == {"accepted"}
        writer.close()

    asyncio.run(work())


def test_whoever_goes_away_takes_nothing_with_them(tmp_path: Path) -> None:
    """A request that is cancelled while it waits leaves the others theirs."""

    async def work() -> None:
        writer = Writer(lambda: Inbox(tmp_path))
        gone = asyncio.create_task(writer.put([received(1)]))
        stays = asyncio.create_task(writer.put([received(2)]))
        await asyncio.sleep(0)
        gone.cancel()
        assert [r.status for r in await stays] == ["accepted"]
        assert writer.waiting == 0
        writer.close()

    asyncio.run(work())


def test_a_lock_that_is_held_is_a_503_with_when_to_come_back(tmp_path: Path) -> None:
    """Another process holds the inbox: nothing is acknowledged, and after it all is well."""
    home = Home(tmp_path / "home")
    with serving(home, tmp_path / "log") as url:

        def send() -> "tuple[int, str | None]":
            answer = POOL.request("POST", f"{url}/observations", json=record(1))
            return answer.status, answer.headers.get("Retry-After")

        other = sqlite3.connect(home.root / "inbox" / "inbox.sqlite", isolation_level=None)
        other.execute("begin immediate")
        assert send() == (503, "1")
        other.execute("rollback")
        other.close()
        assert send() == (201, None)
