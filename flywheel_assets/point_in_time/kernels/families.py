"""What is folded over the rows of a window: sums, squares about a centre, extremes.

Each family is a few functions over tuples. Sums carry what rounding loses (Neumaier, 1974), squares
are summed in twice the working precision: results do not depend on how rows are grouped, and a
spike, a NaN or an infinity touches only the windows that contain it.
"""

from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic


class Family(NamedTuple):
    """How to start at a value, add a value, merge a tile of n values, and finish.

    A state is a tuple of ``width`` numbers. ``load`` and ``store`` read and write one as a tile,
    whose numbers begin at column `at`; ``finish`` gives two results.
    """

    width: int
    start: Any
    add: Any
    merge: Any
    load: Any
    store: Any
    finish: Any


class Counts(Enum):
    """No more than the number of values, which every fold keeps."""

    FAMILY = 0


class Sums(Enum):
    """The sum of integers or floats, and their mean."""

    FAMILY = 0


class Squares(Enum):
    """The variance of floats: of a sample, and of all there are."""

    FAMILY = 0


class Extremes(Enum):
    """The least and the greatest."""

    FAMILY = 0


def _multiply_and_add(context: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


_fma: Any = intrinsic(_multiply_and_add)
"""Of a, b, c: a times b and c, with one rounding."""


@njit
def _sum(a: Any, b: Any) -> Any:
    """Add, and say what rounding lost (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@njit
def _product(a: Any, b: Any) -> Any:
    """Multiply, and say what rounding lost."""
    p = a * b
    return p, _fma(a, b, -p)


# counts -------------------------------------------------------------------------------------------


@njit
def _count_start(value: Any, zero: Any) -> Any:
    return (zero,)


@njit
def _count_add(state: Any, value: Any) -> Any:
    return state


@njit
def _count_merge(state: Any, tile: Any, n: int) -> Any:
    return state


@njit
def _count_load(tiles: Any, i: int, at: int) -> Any:
    return (tiles[i, at],)


@njit
def _count_store(tiles: Any, i: int, at: int, state: Any) -> None:
    tiles[i, at] = state[0]


@njit
def _count_finish(state: Any, n: int) -> Any:
    return state[0], state[0]


# sums ---------------------------------------------------------------------------------------------


@njit
def _sum_start(value: Any, zero: Any) -> Any:
    return zero, zero


@njit
def _sum_add(state: Any, value: Any) -> Any:
    total, lost = _sum(state[0], value)
    return total, state[1] + lost


@njit
def _sum_merge(state: Any, tile: Any, n: int) -> Any:
    total, lost = _sum(state[0], tile[0])
    return total, state[1] + (lost + tile[1])


@njit
def _pair_load(tiles: Any, i: int, at: int) -> Any:
    return tiles[i, at], tiles[i, at + 1]


@njit
def _pair_store(tiles: Any, i: int, at: int, state: Any) -> None:
    tiles[i, at], tiles[i, at + 1] = state[0], state[1]


@njit
def _sum_finish(state: Any, n: int) -> Any:
    # Beyond infinity nothing was lost that could be given back.
    total = state[0] + state[1] if np.isfinite(state[0]) else state[0]
    return total, total / n


# squares ------------------------------------------------------------------------------------------
# State: the centre c, the sum of (x - c) and of (x - c) squared, each with what rounding lost. The
# centre is one of the values, so the sum of squares is at most about n times what is left of it.


@njit
def _square_start(value: Any, zero: Any) -> Any:
    return value, zero, zero, zero, zero


@njit
def _square_add(state: Any, value: Any) -> Any:
    centre, s1, r1, s2, r2 = state
    d, e = _sum(value, -centre)
    s1, lost1 = _sum(s1, d)
    p, q = _product(d, d)
    s2, lost2 = _sum(s2, p)
    return centre, s1, r1 + (lost1 + e), s2, r2 + (lost2 + (q + 2.0 * d * e))


@njit
def _square_merge(state: Any, tile: Any, n: int) -> Any:
    """Move a tile to the state's centre and add it: with d between the centres, x - c is y + d."""
    centre, s1, r1, s2, r2 = state
    other, t1, u1, t2, u2 = tile
    d, e = _sum(other, -centre)
    # n d, 2 d t1, n d squared
    nd, nd_low = _product(float(n), d)
    nd_low += n * e
    cross, cross_low = _product(d, t1)
    cross_low += d * u1 + e * t1
    dd, dd_low = _product(d, d)
    dd_low += 2.0 * d * e
    ndd, ndd_low = _product(float(n), dd)
    ndd_low += n * dd_low
    s1, a = _sum(s1, t1)
    s1, b = _sum(s1, nd)
    s2, f = _sum(s2, t2)
    s2, g = _sum(s2, 2.0 * cross)
    s2, h = _sum(s2, ndd)
    return (
        centre,
        s1,
        r1 + (a + b + u1 + nd_low),
        s2,
        r2 + (f + g + h + u2 + 2.0 * cross_low + ndd_low),
    )


@njit
def _square_load(tiles: Any, i: int, at: int) -> Any:
    return tiles[i, at], tiles[i, at + 1], tiles[i, at + 2], tiles[i, at + 3], tiles[i, at + 4]


@njit
def _square_store(tiles: Any, i: int, at: int, state: Any) -> None:
    for k in range(5):
        tiles[i, at + k] = state[k]


@njit
def _square_finish(state: Any, n: int) -> Any:
    """Divide s2 - s1 squared / n, the squares about the mean; NaN where anything is not finite."""
    _, s1, r1, s2, r2 = state
    p, q = _product(s1, s1)
    q += 2.0 * s1 * r1
    high = p / n
    low = (_fma(-high, float(n), p) + q) / n
    left, lost = _sum(s2, -high)
    result = left + (lost + (r2 - low))
    if not np.isfinite(result):
        return np.nan, np.nan
    return max(result, 0.0) / max(n - 1, 1), max(result, 0.0) / n


# extremes -----------------------------------------------------------------------------------------


@njit
def _extreme_start(value: Any, zero: Any) -> Any:
    return value, value


@njit
def _extreme_add(state: Any, value: Any) -> Any:
    least, most = state
    # What is not equal to itself is NaN: it stays only where there is nothing else.
    if value < least or least != least:  # noqa: PLR0124
        least = value
    if value > most or most != most:  # noqa: PLR0124
        most = value
    return least, most


@njit
def _extreme_merge(state: Any, tile: Any, n: int) -> Any:
    return _extreme_add(_extreme_add(state, tile[0]), tile[1])


@njit
def _extreme_finish(state: Any, n: int) -> Any:
    return state


FAMILIES = {
    Counts: Family(
        1, _count_start, _count_add, _count_merge, _count_load, _count_store, _count_finish
    ),
    Sums: Family(2, _sum_start, _sum_add, _sum_merge, _pair_load, _pair_store, _sum_finish),
    Squares: Family(
        5, _square_start, _square_add, _square_merge, _square_load, _square_store, _square_finish
    ),
    Extremes: Family(
        2, _extreme_start, _extreme_add, _extreme_merge, _pair_load, _pair_store, _extreme_finish
    ),
}
