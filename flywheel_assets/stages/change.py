"""Change: the day from which on a model of all days is wrong in another way than before."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.stages.predicted import Floats

if TYPE_CHECKING:
    from flywheel_assets.stages.learners import Sample

LEAST_DAYS = 3  # on each side: one day alone is no new state of affairs
STANDARD_ERRORS = 5.0
"""How far apart the days before and after must be. More than chance would ask for: every day of the
window is tried, and outcomes of decisions a few days apart overlap."""


def since_change(sample: "Sample", learner: Any, days: pl.Series, passage: int) -> "Sample":
    """Leave out the days before the last change that a fit to all of them missed.

    Parameters
    ----------
    learner : estimator
        Not fitted.
    days : Series of date, (n_rows,)
    passage : int
        Days from the one that parts best to the first whose outcomes are wholly of the new side:
        half a horizon, since what parts best is the middle of those that are of both.
    """
    from flywheel_assets.stages.learners import expected, fits, levels

    said = expected(sample.fit(learner), sample.table)
    taken = sample.action if said.shape[1] > 1 else np.zeros_like(sample.action)
    missed = sample.target - said[np.arange(len(said)), taken]
    first = last_change(days.to_numpy(), missed, passage)
    if first is None:
        return sample
    since = sample.of(days.to_numpy() >= first)
    return since if fits(levels(learner), since.target) else sample


def last_change(
    days: npt.NDArray[np.datetime64], missed: Floats, passage: int = 0
) -> np.datetime64 | None:
    """Find the day from which on all is new, if the days part by more than chance.

    Parameters
    ----------
    days : array of datetime64, (n_rows,)
    missed : ndarray of float64, (n_rows,)
        By how much each row's target is above what was expected of it.
    passage : int
        See `since_change`.

    Examples
    --------
    >>> days = np.repeat(np.arange("2026-01-01", "2026-01-11", dtype="datetime64[D]"), 100)
    >>> chance = np.random.default_rng(0).normal(size=1_000)
    >>> last_change(days, chance) is None
    True
    >>> str(last_change(days, chance - (days >= np.datetime64("2026-01-06"))))
    '2026-01-06'
    """
    every, number = np.unique(days, return_inverse=True)
    count, total = np.bincount(number).cumsum(), np.bincount(number, missed).cumsum()
    firsts = np.arange(LEAST_DAYS, len(every) - LEAST_DAYS + 1)
    if not firsts.size:
        return None
    before, n_before = total[firsts - 1], count[firsts - 1]
    after, n_after = total[-1] - before, count[-1] - n_before
    chance = missed.std() * np.sqrt(1 / n_before + 1 / n_after)
    surplus = np.abs(after / n_after - before / n_before) - STANDARD_ERRORS * chance
    best = int(np.argmax(surplus))
    first = int(firsts[best]) + passage
    if surplus[best] <= 0 or first + LEAST_DAYS > len(every):
        return None
    found: np.datetime64 = every[first]
    return found
