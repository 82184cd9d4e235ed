"""Folding families over every window: rows in tiles of 8, those in tiles of 64, and so on.

All windows of a query end at the same row, so one walk to the left serves them all: the largest
tiles that fit, single rows at the edges. A tile holds those of its rows that are visible at the
moment. The queries of an entity come in order of time; rows that are late, and rows that are
withdrawn, come and go in between.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

from flywheel_assets.point_in_time.kernels import families, together

_SIDE = 3
"""A tile has two to this power of the next smaller ones."""
MOST = 6
"""As many results are written in one walk: two of each family."""
_STAMP = zlib.crc32(b"".join(Path(m.__file__ or "").read_bytes() for m in (families, together)))
"""Compiled code on disk is told apart by this, which numba does only by the file it stands in."""


# What stands for a family's functions in compiled code, chosen by the type of `members`: a tuple
# of one member of each class of `FAMILIES` that is folded.


def _start(members: Any, value: Any, zero: Any) -> Any:
    raise NotImplementedError


def _add(members: Any, state: Any, value: Any) -> Any:
    raise NotImplementedError


def _merge(members: Any, state: Any, tile: Any, n: Any) -> Any:
    raise NotImplementedError


def _load(members: Any, tiles: Any, i: Any) -> Any:
    raise NotImplementedError


def _store(members: Any, tiles: Any, i: Any, state: Any) -> Any:
    raise NotImplementedError


def _finish(members: Any, state: Any, n: Any) -> Any:
    raise NotImplementedError


def _family(members: Any) -> families.Family:
    return together.together(*(member.instance_class for member in members))


@overload(_start, strict=False)
def _choose_start(members: Any, value: Any, zero: Any) -> Any:
    start = _family(members).start
    return lambda members, value, zero: start(value, zero)


@overload(_add, strict=False)
def _choose_add(members: Any, state: Any, value: Any) -> Any:
    add = _family(members).add
    return lambda members, state, value: add(state, value)


@overload(_merge, strict=False)
def _choose_merge(members: Any, state: Any, tile: Any, n: Any) -> Any:
    merge = _family(members).merge
    return lambda members, state, tile, n: merge(state, tile, n)


@overload(_load, strict=False)
def _choose_load(members: Any, tiles: Any, i: Any) -> Any:
    load = _family(members).load
    return lambda members, tiles, i: load(tiles, i, 0)


@overload(_store, strict=False)
def _choose_store(members: Any, tiles: Any, i: Any, state: Any) -> Any:
    store = _family(members).store
    return lambda members, tiles, i, state: store(tiles, i, 0, state)


@overload(_finish, strict=False)
def _choose_finish(members: Any, state: Any, n: Any) -> Any:
    finish = _family(members).finish
    rest = (0.0,) * (MOST - 2 * len(members))
    return lambda members, state, n: finish(state, n) + rest


@njit
def _fill(members: Any, tiles: Any, n: Any, j: Any, values: Any, present: Any, zero: Any) -> None:
    """Make one of the smallest tiles anew from the rows that are present."""
    first, n[j] = j << _SIDE, 0
    state = _start(members, values[first], zero)
    for r in range(first, first + (1 << _SIDE)):
        if present[r]:
            if n[j] == 0:
                state = _start(members, values[r], zero)
            state = _add(members, state, values[r])
            n[j] += 1
    _store(members, tiles, j, state)


@njit
def _gather(members: Any, tiles: Any, n: Any, to: Any, first: Any) -> None:
    """Make one of the larger tiles anew from the smaller ones, which begin at `first`."""
    n[to] = 0
    state = _load(members, tiles, first)
    for k in range(first, first + (1 << _SIDE)):
        if n[k]:
            tile = _load(members, tiles, k)
            state = _merge(members, state, tile, n[k]) if n[to] else tile
            n[to] += n[k]
    _store(members, tiles, to, state)


@njit
def _build(
    members: Any, tiles: Any, n: Any, begins: Any, values: Any, present: Any, zero: Any
) -> Any:
    """Make the whole tiles of an entity; write where each size begins, and say how many there are.

    The last rows, too few for a tile, are in none.
    """
    begins[0], begins[1] = 0, values.size >> _SIDE
    for j in range(begins[1]):
        _fill(members, tiles, n, j, values, present, zero)
    n_sizes: Any = 0
    while values.size >> (_SIDE * (n_sizes + 1)):
        n_sizes += 1
        begin = begins[n_sizes]
        begins[n_sizes + 1] = begin + (values.size >> (_SIDE * (n_sizes + 1)))
        for j in range(begins[n_sizes + 1] - begin):
            _gather(members, tiles, n, begin + j, begins[n_sizes - 1] + (j << _SIDE))
    return n_sizes


@njit
def _change(
    members: Any,
    tiles: Any,
    n: Any,
    begins: Any,
    n_sizes: Any,
    r: Any,
    values: Any,
    present: Any,
    zero: Any,
) -> None:
    """Let a row that has come, or gone, do so in the tiles that hold it."""
    for k in range(n_sizes):
        place = r >> (_SIDE * (k + 1))
        j = begins[k] + place
        if j == begins[k + 1]:
            break
        if present[r]:
            state = _load(members, tiles, j) if n[j] else _start(members, values[r], zero)
            _store(members, tiles, j, _add(members, state, values[r]))
            n[j] += 1
        elif k == 0:
            _fill(members, tiles, n, j, values, present, zero)
        else:
            _gather(members, tiles, n, j, begins[k - 1] + (place << _SIDE))


@njit
def _largest(n_sizes: Any, at: Any, to: Any) -> Any:
    """Say how large a tile ends before row `at` and does not begin before row `to`; 0 for none."""
    for k in range(n_sizes):
        rows = 1 << (_SIDE * (k + 1))
        if at & (rows - 1) or at - rows < to:
            return k
    return n_sizes


def _compiled(stamp: int) -> Any:
    @njit(cache=True, nogil=True)
    def fold(
        first_entity: Any,
        last_entity: Any,
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
        members: Any,
        width: Any,
        given: Any,
        zero: Any,
        counts: Any,
        one: Any,
        two: Any,
        three: Any,
        four: Any,
        five: Any,
        six: Any,
    ) -> int:
        n_windows = low.shape[1]
        biggest = 1
        for g in range(first_entity, last_entity):
            biggest = max(biggest, starts[g + 1] - starts[g])
        present = np.empty(biggest, np.bool_)
        # Tiles of one size after those of another; where each size begins.
        begins = np.empty(64 // _SIDE, np.int64)
        n = np.empty(biggest >> (_SIDE - 1), np.int32)
        tiles = np.empty((n.size, width), given.dtype)
        for g in range(first_entity, last_entity):
            first, size = starts[g], starts[g + 1] - starts[g]
            if query_starts[g] == query_starts[g + 1] or size == 0:
                continue
            values = given[first : first + size]
            change, last_change = change_starts[g], change_starts[g + 1]
            steady = regular.size == 0
            for r in range(size):
                present[r] = steady or regular[first + r]
            n_sizes = _build(members, tiles, n, begins, values, present, zero)
            for q in range(query_starts[g], query_starts[g + 1]):
                while change < last_change and change_time[change] < upper[q]:
                    row = change_row[change]
                    change += 1
                    r = (row if row >= 0 else ~row) - first
                    present[r] = row >= 0
                    _change(members, tiles, n, begins, n_sizes, r, values, present, zero)
                at, held = high[q] - first, 0
                state = _start(members, values[0], zero)
                for w in range(n_windows):
                    to = low[q, w] - first
                    while at > to:
                        k = _largest(n_sizes, at, to)
                        if k:
                            at -= 1 << (_SIDE * k)
                            j = begins[k - 1] + (at >> (_SIDE * k))
                            m = n[j]
                            tile = _load(members, tiles, j)
                            if m:
                                state = _merge(members, state, tile, m) if held else tile
                        else:
                            at -= 1
                            m = present[at]
                            if m:
                                if held == 0:
                                    state = _start(members, values[at], zero)
                                state = _add(members, state, values[at])
                        held += m
                    if counts.size:
                        counts[target[q], w] = held
                    if held:
                        # Six names, since a tuple of arrays takes twice as long.
                        found = _finish(members, state, held)
                        if one.size:
                            one[target[q], w] = found[0]
                        if two.size:
                            two[target[q], w] = found[1]
                        if three.size:
                            three[target[q], w] = found[2]
                        if four.size:
                            four[target[q], w] = found[3]
                        if five.size:
                            five[target[q], w] = found[4]
                        if six.size:
                            six[target[q], w] = found[5]
        return stamp

    return fold


fold = _compiled(_STAMP)
