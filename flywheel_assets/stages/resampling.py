"""How sure a gain in a metric is: the paired bootstrap, on the rows that both models scored.

Resampled are entities, not rows: one that is decided about daily has a row for each day of the
holdout, with nearly the same features and mostly the same outcome. Taken as independent, seven such
rows would make an interval that is 2.6 times too narrow.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import LOWER_IS_BETTER
from flywheel_assets.stages.metrics import compared, of_taken, qini
from flywheel_assets.stages.predicted import Floats, Predicted
from flywheel_assets.stages.training_set import LABEL, REWARD

REPLICATES = 400
FEWEST = 20
"""Entities whose samples say how much they vary: those of fewer are too much alike.

Of two models that know nothing the lower end of a 90% interval should promote .05; in a simulation
it did .51 with one entity, .24 with 2, .12 with 5, .08 with 10, .07 with 20.
"""
_CELLS = 250_000
"""How many weights are in memory at once: as many as a cache holds."""
Weighted = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Interval:
    """Between which values a gain lies; NaN where nothing can be said."""

    lower: float
    upper: float


def clusters(rows: pl.DataFrame, flywheel: Flywheel) -> npt.NDArray[np.int64]:
    """Give each row the number of its entity; of pairs, that of the first of them, (n_rows,)."""
    keys = rows.select(flywheel.whose)
    key = keys.to_series() if keys.width == 1 else keys.to_struct()  # of several, a third as fast
    return key.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()


def gain_interval(  # noqa: PLR0913  two models, rows, and how to compare them
    rows: pl.DataFrame,
    challenger: Predicted,
    champion: Predicted,
    flywheel: Flywheel,
    *,
    confidence: float,
    seed: int,
    replicates: int = REPLICATES,
) -> Interval:
    """Give the interval of the challenger's gain in the declared metric.

    Parameters
    ----------
    rows : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``.
    confidence : float
        Of the interval, two-sided.
    seed : int
        The same seed, the same interval.

    Returns
    -------
    Interval
        Positive where the challenger is better, whether more or less of the metric is. NaN where
        there are fewer than `FEWEST` entities, or the metric is not defined on half of the samples.
    """
    metric, cluster = flywheel.model.metric, clusters(rows, flywheel)
    if len(np.unique(cluster)) < FEWEST:
        return Interval(np.nan, np.nan)
    one, other = (_weighted(metric, rows, p, flywheel) for p in (challenger, champion))
    samples = _resampled(cluster, replicates, seed)
    gains = [one(weights) - other(weights) for weights in samples]
    gain = np.concatenate(gains) * (-1 if metric in LOWER_IS_BETTER else 1)
    known = gain[np.isfinite(gain)]
    if len(known) < replicates / 2:
        return Interval(np.nan, np.nan)
    lower, upper = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(lower), float(upper))


def _resampled(cluster: npt.NDArray[np.int64], replicates: int, seed: int) -> Iterator[Floats]:
    """Draw clusters with replacement: how often each row comes, (n_at_once, n_rows)."""
    numbers, which = np.unique(cluster, return_inverse=True)
    chance = np.random.default_rng(seed)
    at_once = max(1, min(replicates, _CELLS // max(len(cluster), 1)))
    for start in range(0, replicates, at_once):
        size = (min(at_once, replicates - start), len(numbers))
        drawn = chance.integers(len(numbers), size=size)
        offsets = np.arange(size[0])[:, None] * len(numbers)
        counts = np.bincount((drawn + offsets).ravel(), minlength=size[0] * size[1])
        yield counts.reshape(size)[:, which].astype(np.float64)


def _weighted(
    metric: str, rows: pl.DataFrame, predicted: Predicted, flywheel: Flywheel
) -> Weighted:
    """Give the metric as a function of row weights, (n_samples, n_rows) -> (n_samples,)."""
    if metric == "qini":
        return _qini(rows, predicted, flywheel)
    score = of_taken(predicted, rows, flywheel)
    target = REWARD if flywheel.model.target == "reward" else LABEL
    wanted = rows[target].to_numpy().astype(np.float64)
    if metric == "rmse":
        return lambda w: np.sqrt(_mean(w, (wanted - score) ** 2))
    if metric == "log_loss":
        said = np.clip(score, np.finfo(float).eps, 1 - np.finfo(float).eps)
        return lambda w: _mean(w, -(wanted * np.log(said) + (1 - wanted) * np.log1p(-said)))
    curve = _auc if metric == "roc_auc" else _precision
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    label = wanted[order]
    return lambda w: curve(w[:, order], label, starts)


def _mean(weights: Floats, values: Floats) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=1), dtype=np.float64)


def _auc(weights: Floats, label: Floats, starts: npt.NDArray[Any]) -> Floats:
    positive, negative = _tied(weights, label, starts)
    below = negative.sum(axis=1, keepdims=True) - negative.cumsum(axis=1) + negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.asarray((positive * below).sum(axis=1) / pairs, dtype=np.float64)


def _precision(weights: Floats, label: Floats, starts: npt.NDArray[Any]) -> Floats:
    positive, negative = _tied(weights, label, starts)
    found, seen = positive.cumsum(axis=1), (positive + negative).cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, found / seen, 0.0)
        return np.asarray((positive * precision).sum(axis=1) / found[:, -1], dtype=np.float64)


def _tied(weights: Floats, label: Floats, starts: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Add up the weights of either outcome over rows of one score, best first."""
    positive = np.add.reduceat(weights * label, starts, axis=1)
    negative = np.add.reduceat(weights * (1 - label), starts, axis=1)
    return positive, negative


def _qini(rows: pl.DataFrame, predicted: Predicted, flywheel: Flywheel) -> Weighted:
    told = compared(rows, predicted, flywheel)
    places = rows.with_columns(pl.int_range(pl.len()).cast(pl.Float64).alias(REWARD))
    kept = compared(places, predicted, flywheel).reward.astype(np.int64)

    def one(weights: Floats) -> float:
        index = np.repeat(np.arange(len(kept)), weights[kept].astype(np.int64))
        return qini(
            told.reward[index], told.acted[index], told.score[index], told.propensity[index]
        )

    return lambda weights: np.array([one(row) for row in weights])
