"""Which rows of its entity each window covers, and when those that are not in order come and go."""

from typing import Any

import numpy as np
from numba import njit

_FOREVER = np.int64(2**63 - 1)
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
    low : ndarray of int32, (n_queries, n_windows)
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
                low[q, w] = min(at, high[q])


@njit(cache=True)
def _first_above(upper: Any, first: int, last: int, time: int) -> int:
    """Give the first query, of `first` to `last`, whose upper bound is above a time."""
    while first < last:
        middle = (first + last) >> 1
        if upper[middle] > time:
            last = middle
        else:
            first = middle + 1
    return first


@njit(cache=True)
def _turns(upper: Any, first: int, last: int, comes: int, goes: int) -> Any:
    """Say whether some query sees a row that comes and goes at such times, and whether it leaves.

    What happens to a row between two queries, or after the last, makes no difference to any.
    """
    seen = _first_above(upper, first, last, comes)
    if seen == last or upper[seen] > goes:
        return False, False
    return True, upper[last - 1] > goes


@njit(cache=True, nogil=True)
def frontiers(
    first: int,
    last: int,
    starts: Any,
    query_starts: Any,
    upper: Any,
    visible_from: Any,
    ending: Any,
    until: Any,
    frontier: Any,
    regular: Any,
    counts: Any,
) -> None:
    """Part rows into regular ones, which to the queries come in their order and stay, and others.

    Parameters
    ----------
    upper : ndarray of int64, (n_queries,)
        Sorted within each entity.
    ending, until : ndarray of int64, (n_ending,)
        Rows that do not stay visible, in order, and the last moments at which they are.
    frontier : ndarray of int64, (n_rows,)
        Written: the least `visible_from` from this row on, within the entity; sorted.
    regular : ndarray of bool, (n_rows,)
        Written: as good as visible from the frontier on, for good, since no query tells the
        difference.
    counts : ndarray of int64, (n_entities + 1,)
        Written one further on: how often a row that is not regular comes or goes.
    """
    ended: Any = np.searchsorted(ending, starts[first])
    for g in range(first, last):
        begin, end = query_starts[g], query_starts[g + 1]
        least, above = _FOREVER, end
        while ended < ending.size and ending[ended] < starts[g + 1]:
            ended += 1
        k = ended - 1
        for i in range(starts[g + 1] - 1, starts[g] - 1, -1):
            goes: Any = _FOREVER
            if k >= 0 and ending[k] == i:
                goes = until[k]
                k -= 1
            if visible_from[i] < least:
                least = visible_from[i]
                while above > begin and upper[above - 1] > least:
                    above -= 1
            frontier[i] = least
            # The first query that is past the frontier tells whether the row keeps it waiting.
            late = above < end and upper[above] <= visible_from[i]
            regular[i] = not late and (begin == end or upper[end - 1] <= goes)
            if not regular[i]:
                seen, leaves = _turns(upper, begin, end, visible_from[i], goes)
                counts[g + 1] += seen + leaves


@njit(cache=True, nogil=True)
def changes(
    first: int,
    last: int,
    starts: Any,
    query_starts: Any,
    upper: Any,
    visible_from: Any,
    ending: Any,
    until: Any,
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
    ended: Any = np.searchsorted(ending, starts[first])
    for g in range(first, last):
        k = change_starts[g]
        for i in range(starts[g], starts[g + 1]):
            goes: Any = _FOREVER
            if ended < ending.size and ending[ended] == i:
                goes = until[ended]
                ended += 1
            if not regular[i]:
                seen, leaves = _turns(
                    upper, query_starts[g], query_starts[g + 1], visible_from[i], goes
                )
                if seen:
                    time[k], row[k] = visible_from[i], i
                    k += 1
                if leaves:
                    time[k], row[k] = goes, ~i
                    k += 1
