"""Several families in one walk: what each of them does, one after another.

Measured with 10 million rows: a third less than the time of three walks, which read the same rows
and look for the same tiles.
"""

from functools import lru_cache, reduce
from typing import Any

from numba import njit

from flywheel_assets.point_in_time.kernels.families import FAMILIES, Family


@lru_cache
def together(*members: Any) -> Family:
    """Make one family of several classes of `FAMILIES`; its states are theirs, end to end."""
    return reduce(_both, [FAMILIES[member] for member in members])


def _both(a: Family, b: Family) -> Family:
    # Compiled code sees functions only under names of their own.
    width, start_a, add_a, merge_a, load_a, store_a, finish_a = a
    _, start_b, add_b, merge_b, load_b, store_b, finish_b = b

    @njit
    def start(value: Any, zero: Any) -> Any:
        return start_a(value, zero) + start_b(value, zero)

    @njit
    def add(state: Any, value: Any) -> Any:
        return add_a(state[:width], value) + add_b(state[width:], value)

    @njit
    def merge(state: Any, tile: Any, n: Any) -> Any:
        return merge_a(state[:width], tile[:width], n) + merge_b(state[width:], tile[width:], n)

    @njit
    def load(tiles: Any, i: Any, at: Any) -> Any:
        return load_a(tiles, i, at) + load_b(tiles, i, at + width)

    @njit
    def store(tiles: Any, i: Any, at: Any, state: Any) -> None:
        store_a(tiles, i, at, state[:width])
        store_b(tiles, i, at + width, state[width:])

    @njit
    def finish(state: Any, n: Any) -> Any:
        return finish_a(state[:width], n) + finish_b(state[width:], n)

    return Family(width + b.width, start, add, merge, load, store, finish)
