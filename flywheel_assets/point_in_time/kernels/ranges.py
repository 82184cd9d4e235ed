"""Which rows of its entity each window covers, and when those that are not in order come and go."""

from typing import Any

import numpy as np
from numba import njit

FOREVER = np.int64(2**63 - 1)
_SPARSE = 16
"""From this many rows for each query on, edges are searched for instead of walked to."""


@njit(cache=True)
def _edge(times: Any, first: int, last: int, bound: int, search: bool) -> int:
    """Give the first row from `first` on whose time is not below `bound`."""
    if search:
        while first < last:
            middle = (first + last) >> 1
            if times[middle] < bound:
                first = middle + 1
            else:
                last = middle
        return first
    while first < last and times[first] < bound:
        first += 1
    return first


@njit(cache=True, nogil=True)
def highs(
    first: int, last: int, starts: Any, query_starts: Any, frontier: Any, upper: Any, high: Any
) -> None:
    """Find where each query's rows end: the first whose frontier is not below its upper bound.

    Parameters
    ----------
    frontier : ndarray of int64, (n_rows,)
        Sorted within each entity.
    upper : ndarray of int64, (n_queries,)
        Sorted within each entity.
    high : ndarray of int32, (n_queries,)
        Written.
    """
    for g in range(first, last):
        at, end = starts[g], starts[g + 1]
        search = end - at > _SPARSE * (query_starts[g + 1] - query_starts[g])
        for q in range(query_starts[g], query_starts[g + 1]):
            at = _edge(frontier, at, end, upper[q], search)
            high[q] = at


@njit(cache=True, nogil=True)
def lows(
    first: int,
    last: int,
    starts: Any,
    query_starts: Any,
    event_time: Any,
    upper: Any,
    backs: Any,
    steps: Any,
    high: Any,
    low: Any,
) -> None:
    """Find where each window's rows begin: the first that happened at its lower bound or later.

    Parameters
    ----------
    event_time : ndarray of int64, (n_rows,)
        Sorted within each entity.
    upper : ndarray of int64, (n_queries,)
        Sorted within each entity.
    backs, steps : ndarray of int64, (n_windows,)
        A window begins so long before `upper`, at a multiple of its step.
    low : ndarray of int32, (n_windows, n_queries)
        Written; not above `high`.
    """
    for g in range(first, last):
        begin, end = starts[g], starts[g + 1]
        search = end - begin > _SPARSE * (query_starts[g + 1] - query_starts[g])
        for w in range(backs.size):
            at = begin
            for q in range(query_starts[g], query_starts[g + 1]):
                lower = upper[q] - backs[w]
                if steps[w] > 1:
                    lower -= lower % steps[w]
                at = _edge(event_time, at, end, lower, search)
                low[w, q] = min(at, high[q])


@njit(cache=True, nogil=True)
def frontiers(
    first: int,
    last: int,
    starts: Any,
    visible_from: Any,
    visible_to: Any,
    frontier: Any,
    regular: Any,
    counts: Any,
) -> None:
    """Part rows into regular ones, which become visible in their order and stay, and the others.

    Parameters
    ----------
    frontier : ndarray of int64, (n_rows,)
        Written: the least `visible_from` from this row on, within the entity; sorted.
    regular : ndarray of bool, (n_rows,)
        Written: visible from the frontier on, for good.
    counts : ndarray of int64, (n_entities + 1,)
        Written one further on: how often a row that is not regular comes or goes.
    """
    for g in range(first, last):
        least = FOREVER
        for i in range(starts[g + 1] - 1, starts[g] - 1, -1):
            least = min(least, visible_from[i])
            frontier[i] = least
            regular[i] = visible_from[i] == least and visible_to[i] == FOREVER
            if not regular[i] and visible_from[i] < visible_to[i]:
                counts[g + 1] += 1 if visible_to[i] == FOREVER else 2


@njit(cache=True, nogil=True)
def changes(
    first: int,
    last: int,
    starts: Any,
    visible_from: Any,
    visible_to: Any,
    regular: Any,
    change_starts: Any,
    time: Any,
    row: Any,
) -> None:
    """List when the rows that are not regular come and go, row by row for each entity.

    Parameters
    ----------
    time : ndarray of int64, (n_changes,)
        Written.
    row : ndarray of int32, (n_changes,)
        Written: a row that comes, or ``~row`` where it goes.
    """
    for g in range(first, last):
        k = change_starts[g]
        for i in range(starts[g], starts[g + 1]):
            if not regular[i] and visible_from[i] < visible_to[i]:
                time[k], row[k] = visible_from[i], i
                k += 1
                if visible_to[i] != FOREVER:
                    time[k], row[k] = visible_to[i], ~i
                    k += 1
