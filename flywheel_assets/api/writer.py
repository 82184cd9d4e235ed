"""Group commit: whatever arrives while the disk is busy goes to it together, in one commit."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

from flywheel_assets.api.limits import MAX_RECORDS, MAX_WAITING
from flywheel_assets.errors import InboxBusyError
from flywheel_assets.stores.inbox import Inbox, Receipt, Received, Rejected

_T = TypeVar("_T")
_Waiting: TypeAlias = tuple[Sequence[Received], "asyncio.Future[list[Receipt]]"]


class Writer:
    """Puts records into an inbox for many requests at once.

    Parameters
    ----------
    open_inbox : callable
        Called once, in the one thread that uses the inbox.
    max_waiting : int
        Records that may wait; more are refused, not queued.
    """

    def __init__(self, open_inbox: Callable[[], Inbox], max_waiting: int = MAX_WAITING) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        self._inbox = self._thread.submit(open_inbox).result()
        self._max_waiting = max_waiting
        self._queue: list[_Waiting] = []
        self._running = False
        self.waiting, self.commits = 0, 0

    async def put(self, records: Sequence[Received]) -> list[Receipt]:
        """Wait until the records are on disk.

        Raises
        ------
        InboxBusyError
            When too many wait already, and whatever `Inbox.put` raises: nothing was received.
        """
        self._make_room(len(records))
        answer: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._queue.append((records, answer))
        if not self._running:
            self._running = True
            self._next()
        try:
            return await answer
        finally:
            self.waiting -= len(records)

    async def reject(self, records: Sequence[Rejected]) -> None:
        """Keep records that were refused; waits until they are on disk."""
        self._make_room(len(records))
        try:
            await self._in_thread(self._inbox.reject, records)
        finally:
            self.waiting -= len(records)

    def close(self) -> None:
        """Wait for the commit under way."""
        self._thread.shutdown(wait=True)

    def _make_room(self, amount: int) -> None:
        if self.waiting + amount > self._max_waiting:
            raise InboxBusyError(
                expected=f"at most {self._max_waiting} records waiting for the disk",
                found=f"{self.waiting}, and {amount} more",
                remedy="send them again later",
            )
        self.waiting += amount

    def _next(self) -> None:
        """Start a commit of what waits, up to the size of one full request."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0][0]) <= MAX_RECORDS):
            records, answer = self._queue.pop(0)
            batch.append((records, answer))
            size += len(records)
        joined = [r for records, _ in batch for r in records]
        self.commits += 1
        done = self._in_thread(self._inbox.put, joined)
        done.add_done_callback(lambda d: self._answer(batch, d))

    def _answer(self, batch: Sequence[_Waiting], done: "asyncio.Future[list[Receipt]]") -> None:
        # A failure belongs to everybody whose records were in the commit.
        error = done.exception()
        receipts = [] if error is not None else done.result()
        start = 0
        for records, answer in batch:
            end = start + len(records)
            if not answer.done():  # whoever waited may have gone
                if error is not None:
                    answer.set_exception(error)
                else:
                    answer.set_result(receipts[start:end])
            start = end
        self._running = bool(self._queue)
        if self._running:
            self._next()

    def _in_thread(
        self, work: Callable[[Sequence[_T]], list[Receipt] | None], records: Sequence[_T]
    ) -> "asyncio.Future[list[Receipt]]":
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, lambda: work(records) or [])
