"""What one request may ask for, and how much may be under way at once."""

import time
from collections.abc import Callable

MAX_HEAD = 64 * 1024
"""Bytes in the request line and headers."""
MAX_BODY = 4 * 1024 * 1024
"""Bytes in the body of a request."""
MAX_RECORD = 64 * 1024
"""Bytes of one record."""
MAX_RECORDS = 10_000
"""Records in one request; entities in one batch of decisions."""
MAX_ID = 200
"""Characters of an id."""
MAX_ERRORS = 20
"""Faults named for one record."""
MAX_BODIES = 64 * 1024 * 1024
"""Bytes of request bodies held at once, over all connections."""
MAX_WAITING = 50_000
"""Records that wait for the disk at once."""
RETRY_AFTER_SECONDS = 1


class Budget:
    """A bound on what is held at once; whoever takes gives back.

    Examples
    --------
    >>> budget = Budget(10)
    >>> budget.take(8), budget.take(8)
    (True, False)
    >>> budget.give(8); budget.take(8)
    True
    """

    def __init__(self, size: int) -> None:
        self._size, self.held = size, 0

    def take(self, amount: int) -> bool:
        """Take an amount, or say that there is no room for it."""
        if self.held + amount > self._size:
            return False
        self.held += amount
        return True

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.held -= amount


class Rates:
    """So many a second for each producer, with a burst of one full request.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.

    Examples
    --------
    >>> now = 0.0
    >>> rates = Rates(clock=lambda: now)
    >>> rates.wait("till", MAX_RECORDS, rate=100), rates.wait("till", 50, rate=100)
    (0.0, 0.5)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def wait(self, producer: str, amount: int, rate: float) -> float:
        """Spend an amount and return 0, or spend nothing and say how many seconds to wait."""
        now = self._clock()
        # The bucket as one number: the moment at which it will be full again.
        full_at = max(self._full_at.get(producer, now), now) + amount / rate
        wait = full_at - now - MAX_RECORDS / rate
        if wait > 0:
            return wait
        self._full_at[producer] = full_at
        return 0.0
