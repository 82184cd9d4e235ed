"""Inclusion: with what probability each gets one of so many places, and who is drawn.

All here is about rows that compete in groups: the candidates of a day, the items of a slate. In
each group the probabilities add up to the number of places, or of rows where there are fewer. Rows
of score -inf, of which nothing is known, have no place but by exploring: theirs stay empty.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.stages.predicted import Floats

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
_LARGEST = 600.0
"""Weights above exp of this are capped: far above the last place they are certain all the same."""
_NEVER = 1_000.0
"""So many temperatures below all others is a weight of zero."""
ROUNDING = 1e-12
_ADDED_UP = 1e-6
"""So near to a whole number, a sum of probabilities is that number."""


@dataclass(frozen=True)
class Groups:
    """Who competes with whom.

    Parameters
    ----------
    codes : ndarray of int64, (n_rows,)
        Each row's group, from 0.
    n_groups : int
    """

    codes: Ints
    n_groups: int

    @property
    def sizes(self) -> Ints:
        """Count each group's rows, (n_groups,)."""
        return np.bincount(self.codes, minlength=self.n_groups).astype(np.int64)

    def sums(self, values: npt.NDArray[np.generic]) -> Floats:
        """Add up each group's values, (n_groups,)."""
        sums = np.bincount(self.codes, weights=values, minlength=self.n_groups)
        return sums.astype(np.float64)

    def order(self, key: Floats) -> Ints:
        """Order rows by group, then by a key, least first; equals in no order."""
        if self.n_groups <= 1:
            return np.argsort(key)  # several times faster
        return np.lexsort((key, self.codes))

    def some(self, rows: Ints) -> "Groups":
        """Keep rows by their places; the groups stay."""
        return Groups(self.codes[rows], self.n_groups)


def greedy(score: Floats, groups: Groups, places: int) -> Floats:
    """Include the best; those who tie for the last places share them.

    Parameters
    ----------
    score : ndarray of float64, (n_rows,)
        Higher is better, -inf for none; no NaN.

    Examples
    --------
    >>> one = Groups(np.zeros(5, dtype=np.int64), 1)
    >>> greedy(np.array([1.0, 3.0, 2.0, 2.0, 0.0]), one, 2).tolist()
    [0.0, 1.0, 0.5, 0.5, 0.0]
    >>> greedy(np.array([1.0, 3.0, -np.inf, -np.inf, 2.0]), one, 4).tolist()
    [1.0, 1.0, 0.0, 0.0, 1.0]
    """
    if places == 0 or not len(score):
        return np.zeros(len(score))
    level = _last_place(score, groups, places)[groups.codes]
    above, level_with = score > level, (score == level) & ~np.isneginf(score)
    left = places - groups.sums(above)
    share = np.minimum(left / np.maximum(groups.sums(level_with), 1), 1.0)
    found: Floats = above + level_with * share[groups.codes]
    return found


def epsilon(score: Floats, groups: Groups, places: int, explored: float) -> Floats:
    """Include the best for sure in all places but the explored, which go to anybody else.

    Parameters
    ----------
    explored : float
        How many places, on average: each group explores the next whole number below or above.

    Examples
    --------
    >>> one = Groups(np.zeros(4, dtype=np.int64), 1)
    >>> epsilon(np.array([4.0, 3.0, 2.0, 1.0]), one, 2, 1.0).round(3).tolist()
    [1.0, 0.333, 0.333, 0.333]
    """
    whole = int(explored)
    part = explored - whole
    found = _explored(score, groups, places, whole)
    if part:
        found += part * (_explored(score, groups, places, whole + 1) - found)
    return found


def _explored(score: Floats, groups: Groups, places: int, explored: int) -> Floats:
    sure = places - explored
    best = greedy(score, groups, sure)
    if not explored:
        return best
    others = np.maximum(groups.sizes - groups.sums(best), 1)
    share = np.minimum(explored / others, 1.0)
    return best + (1.0 - best) * share[groups.codes]


def softmax(score: Floats, groups: Groups, places: int, temperature: float) -> Floats:
    """Include in proportion to ``exp(score / temperature)``, nobody more than for sure.

    Those whom the proportion would give more than one place are certain, and the places that are
    left are divided among the others in the same way. Rows of score -inf have no odds.

    Examples
    --------
    >>> one = Groups(np.zeros(3, dtype=np.int64), 1)
    >>> softmax(np.log([8.0, 1.0, 1.0]), one, 2, 1.0).tolist()
    [1.0, 0.5, 0.5]
    """
    if not len(score):
        return np.zeros(0)
    finite = score[np.isfinite(score)]
    least = finite.min() if len(finite) else 0.0
    known = ~np.isneginf(score)
    score = np.where(known, score, least - _NEVER * temperature)
    order = groups.order(-score)
    codes, starts = groups.codes[order], np.cumsum(groups.sizes) - groups.sizes
    with np.errstate(invalid="ignore"):  # inf less inf is a tie
        above = (score - _last_place(score, groups, places)[groups.codes]) / temperature
    weight = np.exp(np.minimum(np.nan_to_num(above, nan=0.0, posinf=_LARGEST), _LARGEST))[order]
    rest = _sums_to_come(weight, codes)
    place = np.arange(len(codes)) - starts[codes]
    certain = (places - place) * weight >= rest
    certain &= place < places
    certain |= (groups.sizes <= places)[codes]
    n_certain = Groups(codes, groups.n_groups).sums(certain).astype(np.int64)
    first = np.minimum(starts + n_certain, len(rest) - 1)
    others = np.maximum(rest[first], np.finfo(np.float64).tiny)
    share = np.minimum((places - n_certain[codes]) * weight / others[codes], 1.0)
    found = np.empty(len(score))
    found[order] = np.where(certain, 1.0, share)
    return found * known


def best_of(score: Floats, tie: Floats, units: Groups, most: int) -> Ints:
    """Find the best so many of each unit; of equals those whose chance, ``tie``, is least.

    Returns
    -------
    ndarray of int64, (n_found,)
        Their places, in order.
    """
    order = np.lexsort((tie, -score, units.codes))
    starts = np.cumsum(units.sizes) - units.sizes
    place = np.arange(len(order)) - starts[units.codes[order]]
    return np.sort(order[place < most])


def shared(chance: Floats, score: Floats, units: Groups, most: int) -> Floats:
    """Spread over equals what those of them have whom chance made stand, in `best_of`.

    Parameters
    ----------
    chance : ndarray of float64, (n_rows,)
        0 for those who do not stand.
    """
    level = score == _last_place(score, units, most)[units.codes]
    each = units.sums(chance * level) / np.maximum(units.sums(level), 1)
    return np.where(level, each[units.codes], chance)


def systematic(chance: Floats, groups: Groups, order: Floats, start: Floats) -> Bools:
    """Draw with exactly these probabilities, and as many as they add up to.

    Rows are laid end to end in a random order, each as long as its probability, and whoever lies
    under one of the marks that stand one apart from a random start is drawn.

    Parameters
    ----------
    chance : ndarray of float64, (n_rows,)
        Where a group's add up to no whole number, as many are drawn as the one below or above.
    order : ndarray of float64, (n_rows,)
        The random order.
    start : ndarray of float64, (n_groups,)
        Uniform in [0, 1).
    """
    drawn = chance >= 1.0 - ROUNDING
    rows = np.flatnonzero((chance > 0.0) & ~drawn)
    if not len(rows):
        return drawn
    rows = rows[groups.some(rows).order(order[rows])]
    codes = groups.codes[rows]
    ends = np.cumsum(chance[rows])
    last = np.flatnonzero(np.append(np.diff(codes) != 0, [True]))
    sizes = np.diff(last, prepend=-1)
    offset = np.append(0.0, ends[last[:-1]])
    total = ends[last] - offset
    whole = np.rint(total)
    # What was lost in adding up would be a place too many or too few.
    total = np.where(np.abs(total - whole) <= _ADDED_UP, whole, total)
    ends = np.minimum(ends - np.repeat(offset, sizes), np.repeat(total, sizes))
    ends[last] = total
    begins = np.append(0.0, ends[:-1])
    begins[last[:-1] + 1] = 0.0
    marks = start[codes]
    drawn[rows] = np.ceil(ends - marks) > np.ceil(begins - marks)
    return drawn


def _last_place(score: Floats, groups: Groups, places: int) -> Floats:
    """Give the score of whoever takes the last place, or comes last, in each group."""
    sizes = groups.sizes
    taken = np.minimum(sizes, places)
    if groups.n_groups == 1 and len(score):
        at = len(score) - int(taken[0])
        return np.partition(score, at)[at : at + 1]
    ordered = score[groups.order(-score)]
    last = np.cumsum(sizes) - sizes + taken - 1
    found: Floats = ordered[np.clip(last, 0, max(len(ordered) - 1, 0))]
    return found


def _sums_to_come(weight: Floats, codes: Ints) -> Floats:
    """Add up each row's weight and those after it in its group."""
    frame = pl.DataFrame({"weight": weight, "code": codes})
    return frame.select(pl.col("weight").cum_sum(reverse=True).over("code")).to_series().to_numpy()
