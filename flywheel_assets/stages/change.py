"""Change: the day from which on a model of all days is wrong in another way than before."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import DECISION_ID, PARTITION
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.model import TARGETS, scorer, train
from flywheel_assets.stages.predicted import Floats, action_numbers
from flywheel_assets.stages.training_set import LABEL

LEAST_DAYS = 3  # on each side: one day alone is no new state of affairs
STANDARD_ERRORS = 5.0
"""How far apart the days before and after must be. More than chance would ask for: every day of the
window is tried, and outcomes of decisions a few days apart overlap."""


def since_change(rows: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame:
    """Leave out the days before the last sudden change, where the model is declared to learn so.

    A change is what a model of all rows misses on the days after it otherwise than on those before.

    Parameters
    ----------
    rows : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``.

    Raises
    ------
    TrainingError
        Where no model can be trained on the rows.
    """
    if not flywheel.model.from_last_change:
        return rows
    once = replace(flywheel, model=replace(flywheel.model, replicates=0))
    rows = rows.sort(PARTITION, DECISION_ID)
    said = scorer(train(rows, once), once)(rows).expected
    taken = action_numbers(rows, flywheel.policy.actions)
    known = np.flatnonzero((taken >= 0) | (said.shape[1] == 1))
    days = rows[PARTITION].to_numpy()[known]
    target = rows[TARGETS[flywheel.model.target]].to_numpy()[known]
    missed = target - said[known, taken[known] % said.shape[1]]
    # What parts best is the middle of those decisions whose outcomes are of both sides.
    passage = -(-flywheel.outcome.horizon // (2 * DAY))
    first = last_change(days, missed, passage)
    since = rows if first is None else rows.filter(pl.col(PARTITION) >= first.item())
    return since if since[LABEL].n_unique() > 1 else rows


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
        Days from the one that parts best to the first that is wholly of the new side.

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
