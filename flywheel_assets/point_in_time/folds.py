"""Sums, means, deviations and extremes: what is folded over the rows of a window."""

from collections import defaultdict
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.errors import ColumnsError
from flywheel_assets.point_in_time.layout import Ints
from flywheel_assets.point_in_time.memory import zeros
from flywheel_assets.point_in_time.results import Asked, Computation, nested, same

SUMS = ("sum", "mean")
SQUARES = ("variance", "variance_pop")
EXTREMES = ("min", "max")
"""What the two results of each family are."""

_DEVIATIONS = {"stddev": "variance", "stddev_pop": "variance_pop"}
OF_NUMBERS = frozenset((*SUMS, *SQUARES, *_DEVIATIONS))
FOLDED = OF_NUMBERS | frozenset(EXTREMES)

Found = dict[tuple[str, int], NDArray[Any]]
"""By function and window, (n_queries,), in the spine's order."""
_Families = list[tuple[Any, tuple[str, ...]]]
"""Families, and what the two results of each are."""


def folds(work: Computation, column: str, asked: Asked) -> dict[str, pl.Series]:
    """Compute functions of one column, those over the same windows in one walk.

    Raises
    ------
    ColumnsError
        For integers whose sum does not fit into 64 bits.
    """
    from flywheel_assets.point_in_time.kernels.families import Extremes, Squares, Sums

    given, found = work.columns[column], Found()
    wanted = {_basis(a.function) for a, _ in asked}
    if not wanted.isdisjoint(SUMS):
        _check_overflow(column, given.numbers, work.ready.rows.starts)
    walks = defaultdict[tuple[np.dtype[Any], tuple[int, ...]], _Families](list)
    for family, names in ((Sums, SUMS), (Squares, SQUARES), (Extremes, EXTREMES)):
        windows = tuple(nested([(a, w) for a, w in asked if _basis(a.function) in names]))
        if windows:
            dtype = np.dtype(np.float64) if family is Squares else given.numbers.dtype
            walks[dtype, windows].append((family, names))
    for (dtype, windows), families in walks.items():
        found |= _folded(work, given.numbers.astype(dtype, copy=False), windows, families, wanted)
    _add_deviations(found, asked)
    series = {}
    for a, w in asked:
        least = 0 if a.function == "sum" else 2 if a.function in {"variance", "stddev"} else 1
        decode = given.decode if a.function in EXTREMES else same
        series[a.name] = work.series(a.name, found[a.function, w], w, decode, least)
    return series


def _basis(function: str) -> str:
    return _DEVIATIONS.get(function, function)


def _folded(
    work: Computation,
    numbers: NDArray[Any],
    windows: Sequence[int],
    families: _Families,
    wanted: Container[str],
) -> Found:
    """Fold families over the same windows."""
    shape = (work.ready.high.size, len(windows))

    def table(name: str) -> NDArray[Any]:
        dtype = np.float64 if name == "mean" else numbers.dtype
        return zeros(shape if name in wanted else (0, 0), dtype)

    tables = {family: {name: table(name) for name in names} for family, names in families}
    work.fold({family: list(two.values()) for family, two in tables.items()}, numbers, windows)
    asked = {n: t for two in tables.values() for n, t in two.items() if n in wanted}
    keys = [(name, w) for name in asked for w in windows]
    return dict(zip(keys, work.columns_of(*asked.values()), strict=True))


def _add_deviations(found: Found, asked: Asked) -> None:
    """Take roots, in place where nobody asks for what is under them."""
    for a, w in asked:
        if (a.function, w) not in found:
            under = found[_basis(a.function), w]
            kept = any(b.function == _basis(a.function) and v == w for b, v in asked)
            found[a.function, w] = np.sqrt(under, out=None if kept else under)


def _check_overflow(column: str, numbers: NDArray[Any], starts: Ints) -> None:
    if numbers.dtype != np.int64 or not numbers.size:
        return
    most = max(abs(int(numbers.min())), abs(int(numbers.max())))
    if most * numbers.size < 2**63:
        return
    # Only now, entity by entity; the margin is what floats may be off by.
    running = np.concatenate([[0.0], np.cumsum(np.abs(numbers.astype(np.float64)))])
    if np.diff(running[starts]).max() >= 2.0**63 * (1 - 1e-6):
        raise ColumnsError(
            expected=f"integers in {column!r} whose sum fits into 64 bits",
            found=f"values up to {most}",
            remedy=f"sum pl.col({column!r}).cast(pl.Float64) instead",
        )
