"""The first and the last row of every window."""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def ends(
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
    values: Any,
    oldest: Any,
    newest: Any,
) -> None:
    """Write the first and the last visible value of each window.

    Parameters
    ----------
    oldest, newest : ndarray, (n_queries, n_windows)
        Written where a window has visible rows; empty where not asked for.
    """
    biggest = 1
    for g in range(first_entity, last_entity):
        biggest = max(biggest, starts[g + 1] - starts[g])
    present = np.empty(biggest, np.bool_)
    for g in range(first_entity, last_entity):
        first = starts[g]
        change, last_change = change_starts[g], change_starts[g + 1]
        for r in range(starts[g + 1] - first):
            present[r] = regular.size == 0 or regular[first + r]
        for q in range(query_starts[g], query_starts[g + 1]):
            while change < last_change and change_time[change] < upper[q]:
                row = change_row[change]
                change += 1
                if row >= 0:
                    present[row - first] = True
                else:
                    present[~row - first] = False
            i = high[q] - 1
            for w in range(low.shape[1]):
                if newest.size:
                    while i >= low[q, w] and not present[i - first]:
                        i -= 1
                    if i >= low[q, w]:
                        newest[target[q], w] = values[i]
                if oldest.size:
                    j = low[q, w]
                    while j < high[q] and not present[j - first]:
                        j += 1
                    if j < high[q]:
                        oldest[target[q], w] = values[j]
