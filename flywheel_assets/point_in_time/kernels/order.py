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
def turn(first: int, last: int, table: Any, columns: Any) -> None:
    """Write some rows of a table, (n_rows, n_columns), into its columns, (n_columns, n_rows)."""
    for i in range(first, last):
        for k in range(columns.shape[0]):
            columns[k, i] = table[i, k]


@njit(cache=True, nogil=True)
def sort(first: int, last: int, starts: Any, time: Any, known: Any, order: Any) -> None:
    """Sort rows within each entity by time, then `known`; equal rows keep their order.

    Parameters
    ----------
    time, known : ndarray of int64, (n_rows,)
        Sorted in place; they may be the same array.
    order : ndarray of int32, (n_rows,)
        Written: which row came to stand in each place.
    """
    for g in range(first, last):
        begin, end = starts[g], starts[g + 1]
        for i in range(begin, end):
            order[i] = i
        if not _insert(time, known, order, begin, end):
            _merge(time[begin:end], known[begin:end], order[begin:end])


@njit(cache=True, nogil=True)
def reorder(first: int, last: int, starts: Any, taken: Any, values: Any) -> None:
    """Take each entity's values from where they stand: ``values[i] = values[taken[i]]``."""
    for g in range(first, last):
        begin, end = starts[g], starts[g + 1]
        while begin < end and taken[begin] == begin:
            begin += 1
        before = values[begin:end].copy()
        for i in range(begin, end):
            values[i] = before[taken[i] - begin]


@njit(cache=True)
def _later(time: Any, known: Any, a: int, b: int) -> Any:
    return time[a] > time[b] or (time[a] == time[b] and known[a] > known[b])


@njit(cache=True)
def _insert(time: Any, known: Any, order: Any, first: int, last: int) -> bool:
    """Sort by moving rows back; give up where that takes too many moves."""
    left = _PATIENCE * (last - first)
    for i in range(first + 1, last):
        j, t, k, row = i, time[i], known[i], order[i]
        while j > first and (time[j - 1] > t or (time[j - 1] == t and known[j - 1] > k)):
            time[j], known[j], order[j] = time[j - 1], known[j - 1], order[j - 1]
            j -= 1
        time[j], known[j], order[j] = t, k, row
        left -= i - j
        if left < 0:
            return False
    return True


@njit(cache=True)
def _merge(time: Any, known: Any, order: Any) -> None:
    """Sort one entity by merging runs, bottom up."""
    n, width = order.size, 1
    t, k, row = time.copy(), known.copy(), order.copy()
    at, spare = np.arange(n), np.empty(n, np.int64)
    while width < n:
        for begin in range(0, n, 2 * width):
            middle, end = min(begin + width, n), min(begin + 2 * width, n)
            i, j = begin, middle
            for to in range(begin, end):
                if i < middle and (j >= end or not _later(t, k, at[i], at[j])):
                    spare[to] = at[i]
                    i += 1
                else:
                    spare[to] = at[j]
                    j += 1
        at, spare = spare, at
        width *= 2
    for i in range(n):
        time[i], known[i], order[i] = t[at[i]], k[at[i]], row[at[i]]
