"""Rows by entity and time: a counting sort, then a fix-up of what arrived out of order."""

from typing import Any

import numpy as np
from numba import njit

_PATIENCE = 16
"""How many places a row of an entity may move on average before a merge sort takes over."""


@njit(cache=True, nogil=True)
def count(first: int, last: int, numbers: Any, least: int, counts: Any) -> None:
    """Count the rows of each entity; rows of none are left out."""
    for i in range(first, last):
        code = numbers[i] - least
        if 0 <= code < counts.size:
            counts[code] += 1


@njit(cache=True, nogil=True)
def place(first: int, last: int, numbers: Any, least: int, nexts: Any, slot: Any) -> None:
    """Give each row the next slot of its entity, and -1 to rows of none."""
    for i in range(first, last):
        code = numbers[i] - least
        if 0 <= code < nexts.size:
            slot[i] = nexts[code]
            nexts[code] += 1
        else:
            slot[i] = -1


@njit(cache=True, nogil=True)
def scatter(first: int, last: int, values: Any, slot: Any, out: Any) -> None:
    """Put values into their slots."""
    for i in range(first, last):
        if slot[i] >= 0:
            out[slot[i]] = values[i]


@njit(cache=True, nogil=True)
def fix(first: int, last: int, starts: Any, time: Any, known: Any, order: Any) -> None:
    """Sort ``order`` within each entity by time, then `known`; equal rows keep their order."""
    for g in range(first, last):
        begin, end = starts[g], starts[g + 1]
        for i in range(begin, end):
            order[i] = i
        if not _insert(time, known, order, begin, end):
            _merge(time, known, order, begin, end)


@njit(cache=True, nogil=True)
def gather(first: int, last: int, values: Any, taken: Any, out: Any) -> None:
    """Take values from where they stand: ``out[i] = values[taken[i]]``."""
    for i in range(first, last):
        out[i] = values[taken[i]]


@njit(cache=True)
def _later(time: Any, known: Any, a: int, b: int) -> Any:
    return time[a] > time[b] or (time[a] == time[b] and known[a] > known[b])


@njit(cache=True)
def _insert(time: Any, known: Any, order: Any, first: int, last: int) -> bool:
    """Sort by moving rows back; give up where that takes too many moves."""
    left = _PATIENCE * (last - first)
    for i in range(first + 1, last):
        row, j = order[i], i
        while j > first and _later(time, known, order[j - 1], row):
            order[j] = order[j - 1]
            j -= 1
        order[j] = row
        left -= i - j
        if left < 0:
            return False
    return True


@njit(cache=True)
def _merge(time: Any, known: Any, order: Any, first: int, last: int) -> None:
    """Sort by merging runs, bottom up."""
    n, width = last - first, 1
    spare = np.empty(n, order.dtype)
    while width < n:
        for begin in range(0, n, 2 * width):
            middle, end = min(begin + width, n), min(begin + 2 * width, n)
            i, j = begin, middle
            for k in range(begin, end):
                take = i < middle and (
                    j >= end or not _later(time, known, order[first + i], order[first + j])
                )
                if take:
                    spare[k] = order[first + i]
                    i += 1
                else:
                    spare[k] = order[first + j]
                    j += 1
        for k in range(n):
            order[first + k] = spare[k]
        width *= 2
