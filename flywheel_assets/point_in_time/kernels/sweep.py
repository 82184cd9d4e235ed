"""Newest rows by one sweep over time: rows come into sight, and queries look at what is there."""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def newest(
    order: Any,
    visible_from: Any,
    numbers: Any,
    least: int,
    event_time: Any,
    known: Any,
    rank: Any,
    n_entities: int,
    asked: Any,
    upper: Any,
    lower: Any,
    target: Any,
    out: Any,
    tied: Any,
) -> None:
    """Write the newest visible row of each query's entity.

    What is in sight stays so: an entity's newest row is a running maximum.

    Parameters
    ----------
    order : ndarray of int64, (n_rows,)
        Rows in order of `visible_from`; equal ones in their own.
    numbers : ndarray of int, (n_rows,)
        The rows' entities, from `least` on; others for rows that are left out.
    rank : ndarray of uint32, (n_rows,) or (0,)
        The greater is the newer of two rows that happened and became known at the same times;
        where it is equal or not given, the later row is.
    asked, upper, lower, target : ndarray, (n_queries,)
        The queries in order of `upper`: the entity, from `least` on, below which moment rows are
        visible, from which on they are used (for ever where it is empty), and where the query
        stands in `out`.
    out : ndarray of int32, (n_queries,)
        Written; -1 where there is no such row.
    tied : ndarray of bool, (n_rows,)
        Set for rows between which rank decides, or would.
    """
    # Side by side, so that one look at memory brings both: the row, and when it happened.
    best = np.full((n_entities, 2), -1, np.int64)
    at = 0
    for q in range(upper.size):
        while at < order.size and visible_from[order[at]] < upper[q]:
            row = order[at]
            at += 1
            g = numbers[row] - least
            if g < 0 or g >= n_entities:
                continue
            last, time = best[g, 0], event_time[row]
            if last >= 0:
                if time < best[g, 1]:
                    continue
                if time == best[g, 1]:
                    if known[row] < known[last]:
                        continue
                    if known[row] == known[last]:
                        tied[row] = tied[last] = True
                        if rank.size and rank[row] < rank[last]:
                            continue
            best[g, 0], best[g, 1] = row, time
        g = asked[q] - least
        found, time = best[g, 0], best[g, 1]
        out[target[q]] = -1 if lower.size and time < lower[q] else found
