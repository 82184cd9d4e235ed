"""A column's profile, and how far other values of it are from that: PSI and KS.

A profile is a distribution function: every value where there are few, else a thousand quantiles. So
a column is held against it in time and memory that do not grow with what it was made of.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from flywheel_assets.stages.predicted import Floats

POINTS, BINS = 1_000, 10
_FLOOR = 1e-4
"""The least share of a bin, as is custom: one that is empty would make the index infinite."""


@dataclass(frozen=True, eq=False)
class Profile:
    """One column of the rows that a model is held against.

    Parameters
    ----------
    value : ndarray of float64 or of str, (n_points,)
        Increasing; categories, where the column is text.
    below, at_most : ndarray of float64, (n_points,)
        The shares, of rows that are not null, below each value and up to it.
    n_rows, n_null : int
    """

    value: np.ndarray
    below: Floats
    at_most: Floats
    n_rows: int
    n_null: int

    @property
    def categorical(self) -> bool:
        """Whether the column is text."""
        return self.value.dtype.kind not in "fiu"


def profile_of(values: pl.Series, points: int = POINTS) -> Profile:
    """Sum up a column; NaN counts as null.

    Examples
    --------
    >>> made = profile_of(pl.Series([1.0, 1.0, 3.0, None]))
    >>> made.value, made.at_most.round(2), made.n_null
    (array([1., 3.]), array([0.67, 1.  ]), 1)
    """
    known = _known(values)
    missing = len(values) - len(known)
    if known.dtype == pl.String:
        found, counts = np.unique(known.to_numpy().astype(str), return_counts=True)
        if len(found) > points:
            kept = np.sort(np.argsort(-counts, kind="stable")[:points])
            found, counts = found[kept], counts[kept]
        after = np.cumsum(counts) / max(len(known), 1)
        return Profile(found, after - counts / max(len(known), 1), after, len(values), missing)
    ordered = np.sort(known.to_numpy().astype(np.float64))
    found = np.unique(ordered)
    if len(found) > points:
        found = np.unique(np.quantile(ordered, np.linspace(0, 1, points), method="nearest"))
    n = max(len(ordered), 1)
    below, after = (np.searchsorted(ordered, found, side) / n for side in ("left", "right"))
    return Profile(found, below, after, len(values), missing)


@dataclass(frozen=True, eq=False)
class Binned:
    """The shares of a column in the same bins: of the training rows, and of others.

    Parameters
    ----------
    label : tuple of str, (n_bins,)
        What a bin holds, in order; missing values have the last.
    trained, now : ndarray of float64, (n_bins,)
        Each sums to 1.
    n_trained, n_now : int
    """

    label: tuple[str, ...]
    trained: Floats
    now: Floats
    n_trained: int
    n_now: int


def binned(reference: Profile, values: pl.Series, bins: int = BINS) -> Binned:
    """Count a column in the bins of its profile.

    Bins are parted as near the profile's quantiles as its values let, and rows of one value are
    never parted: a value that most rows have still has others on another side of an edge. A column
    that had but one value has one bin; what else comes, `ks` sees. Of text, each of the commonest
    values has a bin, and all others share one.

    Examples
    --------
    >>> made = binned(profile_of(pl.Series([0.0, 0.0, 1.0, None])), pl.Series([0.0, 7.0]))
    >>> made.label, made.trained, made.now
    (('to 0', 'over 0', 'missing'), array([0.5 , 0.25, 0.25]), array([0.5, 0.5, 0. ]))
    """
    known = _known(values)
    n, m = reference.n_rows, len(values)
    share = (n - reference.n_null) / max(n, 1)
    if not len(reference.value):
        label, p, q = ["any"], np.ones(1), np.ones(1)
    elif reference.categorical:
        label, p, q = _of_categories(reference, known, bins)
    else:
        edges = _edges(reference, bins)
        position = np.searchsorted(reference.value, edges, "right") - 1
        p = np.diff(np.concatenate([[0.0], reference.at_most[position], [1.0]]))
        ordered = np.sort(known.to_numpy().astype(np.float64))
        cumulated = np.searchsorted(ordered, edges, "right") / max(len(ordered), 1)
        q = np.diff(np.concatenate([[0.0], cumulated, [1.0]]))
        label = [f"to {edge:.4g}" for edge in edges]
        label.append(f"over {edges[-1]:.4g}" if len(edges) else "any")
    there = len(known) / max(m, 1)
    trained, now = np.append(p * share, 1 - share), np.append(q * there, 1 - there)
    return Binned((*label, "missing"), trained, now, n, m)


def like(reference: Profile, values: pl.Series) -> bool:
    """Say whether a column can be held against a profile: both text or neither, or it was empty."""
    return not len(reference.value) or reference.categorical == (_known(values).dtype == pl.String)


def psi(shares: Binned) -> tuple[float, float]:
    """Compute the population stability index of a column against its profile.

    Returns
    -------
    index, by_chance : float
        The sum over bins of ``(p - q) log(p / q)``, and what it exceeds one time in a thousand
        where nothing has changed: of that many rows, the index times ``n m / (n + m)`` is about
        chi-squared with ``bins - 1`` degrees of freedom.
    """
    from scipy.stats import chi2

    p, q, n, m = shares.trained, shares.now, shares.n_trained, shares.n_now
    if not n or not m:
        return np.nan, np.nan
    used = int(((p > 0) | (q > 0)).sum())
    index = float(((_floored(p) - _floored(q)) * np.log(_floored(p) / _floored(q))).sum())
    return index, float(chi2.isf(1e-3, max(used - 1, 1)) * (1 / n + 1 / m))


def ks(reference: Profile, values: pl.Series) -> tuple[float, float]:
    """Compute the Kolmogorov-Smirnov distance of a column to its profile, nulls aside.

    Exact where the profile has every value, else to 1 over its number of points.

    Returns
    -------
    distance, by_chance : float
        0 to 1, and what it exceeds one time in a thousand where nothing has changed. NaN for text.
    """
    known = _known(values)
    n, m = reference.n_rows - reference.n_null, len(known)
    if reference.categorical or known.dtype == pl.String or not n or not m:
        return np.nan, np.nan
    ordered = np.sort(known.to_numpy().astype(np.float64))
    after = np.searchsorted(ordered, reference.value, "right") / m
    below = np.searchsorted(ordered, reference.value, "left") / m
    distance = max(np.abs(after - reference.at_most).max(), np.abs(below - reference.below).max())
    return float(distance), float(np.sqrt(-np.log(1e-3 / 2) / 2 * (1 / n + 1 / m)))


def _known(values: pl.Series) -> pl.Series:
    if values.dtype in (pl.String, pl.Categorical) or isinstance(values.dtype, pl.Enum):
        return values.cast(pl.String).drop_nulls()
    if values.dtype.is_temporal():
        values = values.to_physical()
    return values.cast(pl.Float64).drop_nulls().drop_nans()


def _edges(reference: Profile, bins: int) -> Floats:
    """Part the values of the profile as near its quantiles as they let; each edge ends a bin."""
    cuts = reference.at_most[:-1]
    if not len(cuts):
        return np.array([])
    wanted = np.arange(1, bins) / bins
    # Of two that are as near, the one nearer the median: mirrored values have mirrored bins.
    apart = np.abs(cuts - wanted[:, None]) + 1e-6 * np.abs(cuts - 0.5)
    return np.unique(reference.value[apart.round(12).argmin(axis=1)]).astype(np.float64)


def _of_categories(
    reference: Profile, known: pl.Series, bins: int
) -> tuple[list[str], Floats, Floats]:
    share = reference.at_most - reference.below
    top = np.argsort(-share, kind="stable")[: bins - 1]
    counts = dict(known.value_counts().iter_rows())
    n = max(len(known), 1)
    names = [str(reference.value[i]) for i in top]
    q = np.array([counts.get(name, 0) / n for name in names])
    p = share[top]
    return [*names, "others"], np.append(p, 1 - p.sum()), np.append(q, 1 - q.sum())


def _floored(share: Floats) -> Floats:
    return np.asarray(np.maximum(share, _FLOOR), dtype=np.float64)
