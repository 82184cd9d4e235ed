"""Folding a family over every window: rows in tiles of 16, tiles in tiles of 256.

All windows of a query end at the same row, so one walk to the left serves them all: whole tiles
where they fit, single rows at the edges. A tile holds those of its rows that are visible at the
moment. The queries of an entity come in order of time; rows that are late, and rows that are
withdrawn, come and go in between.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

from flywheel_assets.point_in_time.kernels import families

_SMALL, _LARGE = 16, 256
_FEW = 64
"""An entity with fewer rows than this goes without tiles."""
_STAMP = zlib.crc32(Path(families.__file__).read_bytes())
"""Compiled code on disk is told apart by this, which numba does only by the file it stands in."""


# What stands for a family's functions in compiled code, chosen by the type of `family`.


def _start(family: Any, value: Any, zero: Any) -> Any:
    raise NotImplementedError


def _add(family: Any, state: Any, value: Any) -> Any:
    raise NotImplementedError


def _merge(family: Any, state: Any, tile: Any, n: Any) -> Any:
    raise NotImplementedError


def _load(family: Any, tiles: Any, i: Any) -> Any:
    raise NotImplementedError


def _store(family: Any, tiles: Any, i: Any, state: Any) -> Any:
    raise NotImplementedError


def _finish(family: Any, state: Any, n: Any) -> Any:
    raise NotImplementedError


@overload(_start, strict=False)
def _choose_start(family: Any, value: Any, zero: Any) -> Any:
    start = families.FAMILIES[family.instance_class].start
    return lambda family, value, zero: start(value, zero)


@overload(_add, strict=False)
def _choose_add(family: Any, state: Any, value: Any) -> Any:
    add = families.FAMILIES[family.instance_class].add
    return lambda family, state, value: add(state, value)


@overload(_merge, strict=False)
def _choose_merge(family: Any, state: Any, tile: Any, n: Any) -> Any:
    merge = families.FAMILIES[family.instance_class].merge
    return lambda family, state, tile, n: merge(state, tile, n)


@overload(_load, strict=False)
def _choose_load(family: Any, tiles: Any, i: Any) -> Any:
    load = families.FAMILIES[family.instance_class].load
    return lambda family, tiles, i: load(tiles, i)


@overload(_store, strict=False)
def _choose_store(family: Any, tiles: Any, i: Any, state: Any) -> Any:
    store = families.FAMILIES[family.instance_class].store
    return lambda family, tiles, i, state: store(tiles, i, state)


@overload(_finish, strict=False)
def _choose_finish(family: Any, state: Any, n: Any) -> Any:
    finish = families.FAMILIES[family.instance_class].finish
    return lambda family, state, n: finish(state, n)


@njit
def _fill(
    family: Any, tiles: Any, n: Any, j: Any, values: Any, present: Any, size: Any, zero: Any
) -> None:
    """Make one small tile anew from the rows that are present."""
    n[j] = 0
    state = _start(family, values[0], zero)
    for r in range(j * _SMALL, min((j + 1) * _SMALL, size)):
        if present[r]:
            if n[j] == 0:
                state = _start(family, values[r], zero)
            state = _add(family, state, values[r])
            n[j] += 1
    _store(family, tiles, j, state)


@njit
def _gather(
    family: Any, large: Any, n_large: Any, j: Any, tiles: Any, n: Any, n_tiles: Any
) -> None:
    """Make one large tile anew from its small ones."""
    n_large[j] = 0
    first = j * (_LARGE // _SMALL)
    state = _load(family, tiles, first)
    for k in range(first, min(first + _LARGE // _SMALL, n_tiles)):
        if n[k]:
            tile = _load(family, tiles, k)
            state = _merge(family, state, tile, n[k]) if n_large[j] else tile
            n_large[j] += n[k]
    _store(family, large, j, state)


@njit
def _come(family: Any, tiles: Any, n: Any, j: Any, value: Any, zero: Any) -> None:
    """Add one row to a tile."""
    state = _load(family, tiles, j) if n[j] else _start(family, value, zero)
    _store(family, tiles, j, _add(family, state, value))
    n[j] += 1


def _compiled(stamp: int) -> Any:
    @njit(cache=True, nogil=True)
    def fold(
        first_entity: Any,
        last_entity: Any,
        starts: Any,
        query_starts: Any,
        upper: Any,
        low: Any,
        high: Any,
        regular: Any,
        change_starts: Any,
        change_time: Any,
        change_row: Any,
        target: Any,
        family: Any,
        width: Any,
        given: Any,
        zero: Any,
        counts: Any,
        one: Any,
        two: Any,
    ) -> int:
        n_windows = low.shape[0]
        biggest = 1
        for g in range(first_entity, last_entity):
            biggest = max(biggest, starts[g + 1] - starts[g])
        present = np.empty(biggest, np.bool_)
        n_small = np.empty(biggest // _SMALL + 1, np.int32)
        n_large = np.empty(biggest // _LARGE + 1, np.int32)
        small = np.empty((n_small.size, width), given.dtype)
        large = np.empty((n_large.size, width), given.dtype)
        for g in range(first_entity, last_entity):
            first, size = starts[g], starts[g + 1] - starts[g]
            if query_starts[g] == query_starts[g + 1] or size == 0:
                continue
            values = given[first : first + size]
            change, last_change = change_starts[g], change_starts[g + 1]
            steady = regular.size == 0
            for r in range(size):
                present[r] = steady or regular[first + r]
            tiled = size >= _FEW
            n_tiles = (size + _SMALL - 1) // _SMALL
            if tiled:
                for j in range(n_tiles):
                    _fill(family, small, n_small, j, values, present, size, zero)
                for j in range((size + _LARGE - 1) // _LARGE):
                    _gather(family, large, n_large, j, small, n_small, n_tiles)
            for q in range(query_starts[g], query_starts[g + 1]):
                while change < last_change and change_time[change] < upper[q]:
                    row = change_row[change]
                    change += 1
                    comes = row >= 0
                    r = (row if comes else ~row) - first
                    present[r] = comes
                    if tiled and comes:
                        _come(family, small, n_small, r // _SMALL, values[r], zero)
                        _come(family, large, n_large, r // _LARGE, values[r], zero)
                    elif tiled:
                        _fill(family, small, n_small, r // _SMALL, values, present, size, zero)
                        _gather(family, large, n_large, r // _LARGE, small, n_small, n_tiles)
                at = high[q] - first
                n = 0
                state = _start(family, values[0], zero)
                for w in range(n_windows):
                    to = low[w, q] - first
                    while at > to:
                        m = 0
                        if not tiled or at % _SMALL or at - _SMALL < to:
                            at -= 1
                            if present[at]:
                                if n == 0:
                                    state = _start(family, values[at], zero)
                                state = _add(family, state, values[at])
                                n += 1
                        elif at % _LARGE or at - _LARGE < to:
                            at -= _SMALL
                            m = n_small[at // _SMALL]
                            tile = _load(family, small, at // _SMALL)
                        else:
                            at -= _LARGE
                            m = n_large[at // _LARGE]
                            tile = _load(family, large, at // _LARGE)
                        if m:
                            state = _merge(family, state, tile, m) if n else tile
                            n += m
                    if counts.size:
                        counts[w, target[q]] = n
                    if n and one.size + two.size:
                        a, b = _finish(family, state, n)
                        if one.size:
                            one[w, target[q]] = a
                        if two.size:
                            two[w, target[q]] = b
        return stamp

    return fold


fold = _compiled(_STAMP)
