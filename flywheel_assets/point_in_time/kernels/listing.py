"""Listing the visible rows of every window, for what needs them all at once."""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def listing(
    first_entity: int,
    last_entity: int,
    starts: Any,
    query_starts: Any,
    upper: Any,
    target: Any,
    low: Any,
    high: Any,
    regular: Any,
    change_starts: Any,
    change_time: Any,
    change_row: Any,
    window: int,
    newest: bool,
    ends: Any,
    first_target: int,
    last_target: int,
    out: Any,
) -> None:
    """Write the rows of one window of the queries that stand in a range of the spine.

    Parameters
    ----------
    newest : bool
        Where there is less place than rows: whether the newest are listed, or the oldest. They are
        in order of time either way.
    ends : ndarray of int64, (n_queries,)
        Where the place of each query of the spine ends in `out`.
    first_target, last_target : int
        ``out`` begins with the rows of the first.
    """
    biggest = 1
    for g in range(first_entity, last_entity):
        biggest = max(biggest, starts[g + 1] - starts[g])
    present = np.empty(biggest, np.bool_)
    offset = ends[first_target - 1] if first_target else 0
    for g in range(first_entity, last_entity):
        first, size = starts[g], starts[g + 1] - starts[g]
        change, last_change = change_starts[g], change_starts[g + 1]
        for r in range(size):
            present[r] = regular.size == 0 or regular[first + r]
        for q in range(query_starts[g], query_starts[g + 1]):
            while change < last_change and change_time[change] < upper[q]:
                row = change_row[change]
                change += 1
                if row >= 0:
                    present[row - first] = True
                else:
                    present[~row - first] = False
            to = target[q]
            if to < first_target or to >= last_target:
                continue
            begin = (ends[to - 1] if to else 0) - offset
            end = ends[to] - offset
            if newest:
                i = high[q] - 1
                while end > begin:
                    if present[i - first]:
                        end -= 1
                        out[end] = i
                    i -= 1
            else:
                i = low[q, window]
                while begin < end:
                    if present[i - first]:
                        out[begin] = i
                        begin += 1
                    i += 1
