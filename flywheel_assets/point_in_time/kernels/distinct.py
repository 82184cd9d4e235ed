"""Counting the distinct values of every window by letting values in and out, one row at a time."""

from typing import Any

import numpy as np
from numba import njit

_INFINITE = np.int64(0x7FF0_0000_0000_0000)
_UNSIGNED = np.int64(0x7FFF_FFFF_FFFF_FFFF)


@njit(cache=True)
def _bits(bits: Any, floats: bool) -> Any:
    """Give equal values equal bits: one zero, one NaN."""
    if floats and (bits & _UNSIGNED) == 0:
        return 0
    if floats and (bits & _UNSIGNED) > _INFINITE:
        return _UNSIGNED
    return bits


@njit(cache=True)
def _number(values: Any, floats: bool, known: Any, taken: Any, codes: Any) -> None:
    """Give an entity's distinct values numbers from 0, in order of appearance.

    Parameters
    ----------
    values : ndarray of int64, (n_rows,)
        As they are in memory.
    known, taken : ndarray of int64 and int32, (capacity,)
        A hash table's values and their numbers; as long as the capacity of so many rows.
    codes : ndarray of int32, (n_rows,)
        Written.
    """
    # Unsigned, since compiled code looks twice at an index that may be negative.
    one, size = np.uint64(1), _capacity(values.size)
    mask, shift = np.uint64(size - 1), np.uint64(64)
    while size > 1:
        size >>= 1
        shift -= one
    taken[: mask + one] = -1
    found = 0
    for i in range(values.size):
        value = _bits(values[i], floats)
        # Fibonacci hashing: the upper bits of the product are the mixed ones.
        h = (np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)) >> shift
        while taken[h] >= 0 and known[h] != value:
            h = (h + one) & mask
        if taken[h] < 0:
            known[h], taken[h] = value, found
            found += 1
        codes[i] = taken[h]


@njit(cache=True)
def _capacity(n_rows: int) -> Any:
    """Give the size of a hash table for so many rows, a power of two."""
    size: Any = 2
    while size < 4 * n_rows:
        size *= 2
    return size


@njit(cache=True, nogil=True)
def distinct(
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
    floats: bool,
    out: Any,
) -> None:
    """Write the number of distinct values of each window, (n_queries, n_windows).

    Lower and upper edges only move on, since queries come in order of time.

    Parameters
    ----------
    values : ndarray of int64, (n_rows,)
        As they are in memory.
    floats : bool
        Whether they are floating-point numbers.
    """
    n_windows = low.shape[1]
    biggest = 1
    for g in range(first_entity, last_entity):
        biggest = max(biggest, starts[g + 1] - starts[g])
    known, taken = np.empty(_capacity(biggest), np.int64), np.empty(_capacity(biggest), np.int32)
    codes = np.empty(biggest, np.int32)
    present = np.empty(biggest, np.bool_)
    times = np.empty((n_windows, biggest), np.int32)
    left = np.empty(n_windows, np.int64)
    found = np.empty(n_windows, np.int64)
    for g in range(first_entity, last_entity):
        first, size = starts[g], starts[g + 1] - starts[g]
        if query_starts[g] == query_starts[g + 1] or size == 0:
            continue
        _number(values[first : first + size], floats, known, taken, codes)
        change, last_change = change_starts[g], change_starts[g + 1]
        for r in range(size):
            present[r] = regular.size == 0 or regular[first + r]
        for w in range(n_windows):
            left[w], found[w] = first, 0
            for r in range(size):
                times[w, r] = 0
        right = first
        for q in range(query_starts[g], query_starts[g + 1]):
            while change < last_change and change_time[change] < upper[q]:
                row = change_row[change]
                change += 1
                comes = row >= 0
                if not comes:
                    row = ~row
                present[row - first] = comes
                if row < right:
                    for w in range(n_windows):
                        if row >= left[w]:
                            if comes:
                                found[w] += times[w, codes[row - first]] == 0
                                times[w, codes[row - first]] += 1
                            else:
                                times[w, codes[row - first]] -= 1
                                found[w] -= times[w, codes[row - first]] == 0
            for w in range(n_windows):
                # Rows that would come in only to go out again are passed over.
                to = low[q, w]
                for i in range(left[w], min(to, right)):
                    if present[i - first]:
                        times[w, codes[i - first]] -= 1
                        found[w] -= times[w, codes[i - first]] == 0
                for i in range(max(to, right), high[q]):
                    if present[i - first]:
                        found[w] += times[w, codes[i - first]] == 0
                        times[w, codes[i - first]] += 1
                left[w] = max(left[w], to)
                out[target[q], w] = found[w]
            right = max(right, high[q])
