"""Metrics of what models expect, against what came of the decisions."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.stages.predicted import Floats, Predicted, action_numbers
from flywheel_assets.stages.training_set import LABEL, REWARD

Values: TypeAlias = npt.NDArray[Any]
_BOTH = 2


def measure(metric: str, rows: pl.DataFrame, predicted: Predicted, flywheel: Flywheel) -> float:
    """Compute a declared metric of a model on matured decisions.

    Parameters
    ----------
    rows : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``.
    predicted : Predicted
        For the same rows.

    Returns
    -------
    float
        NaN where it is not defined on these rows: with one outcome only, or for ``qini`` without
        rows for which either action was possible.
    """
    if metric == "qini":
        told = compared(rows, predicted, flywheel)
        return qini(told.reward, told.acted, told.score, told.propensity)
    score = of_taken(predicted, rows, flywheel)
    if metric == "rmse":
        target = REWARD if flywheel.model.target == "reward" else LABEL
        return rmse(rows[target].to_numpy(), score)
    known = {"roc_auc": roc_auc, "average_precision": average_precision, "log_loss": log_loss}
    return known[metric](rows[LABEL].to_numpy(), score)


def of_taken(predicted: Predicted, rows: pl.DataFrame, flywheel: Flywheel) -> Floats:
    """Give what was expected of the actions that were taken, (n_rows,).

    Of an action that the policy no longer has: the mean over those that it has.
    """
    expected = predicted.expected
    if expected.shape[1] == 1:
        return expected[:, 0]
    taken = action_numbers(rows, flywheel.policy.actions)
    found: Floats = expected[np.arange(len(taken)), taken]
    return np.where(taken < 0, expected.mean(axis=1), found)


def roc_auc(label: Values, score: Floats) -> float:
    """Compute the area under the ROC curve; NaN with one outcome only.

    Parameters
    ----------
    label : ndarray of 0 and 1, (n_rows,)
    score : ndarray of float64, (n_rows,)
    """
    from sklearn.metrics import roc_auc_score

    if len(np.unique(label)) < _BOTH:
        return float("nan")
    return float(roc_auc_score(label, score))


def average_precision(label: Values, score: Floats) -> float:
    """Compute the average precision; NaN without a positive outcome."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(label, score)) if label.any() else float("nan")


def log_loss(label: Values, score: Floats) -> float:
    """Compute the mean negative log-likelihood of probabilities, in nats; less is better."""
    from sklearn.metrics import log_loss as loss

    return float(loss(label, np.clip(score, 0.0, 1.0), labels=[0, 1])) if len(label) else np.nan


def rmse(target: Values, score: Floats) -> float:
    """Compute the root mean squared error, in units of the target; less is better."""
    return float(np.sqrt(np.mean((target - score) ** 2))) if len(target) else np.nan


@dataclass(frozen=True)
class Compared:
    """Rows that tell what acting changed.

    Parameters
    ----------
    reward, score, propensity : ndarray of float64, (n_rows,)
        What the decision was worth, what acting was expected to change, and the probability of the
        action that was taken.
    acted : ndarray of bool, (n_rows,)
    """

    reward: Floats
    acted: npt.NDArray[np.bool_]
    score: Floats
    propensity: Floats


def compared(rows: pl.DataFrame, predicted: Predicted, flywheel: Flywheel) -> Compared:
    """Find the rows that tell what acting as the model advises changed.

    Acting is the action of which the model expects the most, the last one aside; not acting is the
    last. Rows of other actions tell nothing, and neither do those whose action was certain: nobody
    like them was treated otherwise.
    """
    expected, actions = predicted.expected, flywheel.policy.actions
    best = expected[:, :-1].argmax(axis=1)
    taken = action_numbers(rows, actions)
    propensity = rows["propensity"].to_numpy()
    acted, held = taken == best, taken == len(actions) - 1
    told = (acted | held) & (propensity < 1)
    score = expected[np.arange(len(best)), best] - expected[:, -1]
    return Compared(rows[REWARD].to_numpy()[told], acted[told], score[told], propensity[told])


def uplift_curve(
    reward: Values, acted: Values, score: Floats, propensity: Floats
) -> tuple[Floats, Floats]:
    """Say what acting on the best share of the rows gains, for every share.

    The gain of a share s is s times the difference between the mean reward of those of its rows
    that were acted on and that of the others, each row weighing 1 over the propensity of its
    action: the cumulative gain of Gutierrez and Gérardy (2017), per row. With one propensity for
    all rows of an action the weights cancel. Where one side has no rows yet the gain is 0.

    Returns
    -------
    share, gain : ndarray of float64, (n_distinct_scores + 1,)
        From 0 to 1, and in units of the reward per row; rows with the same score come together.

    References
    ----------
    Gutierrez and Gérardy, "Causal inference and uplift modelling: a review of the literature",
    PMLR 67 (2017).
    """
    order = np.argsort(-score, kind="stable")
    acted, weight, ranked = acted[order].astype(bool), 1 / propensity[order], score[order]
    # Compared, not subtracted: infinities tie, too.
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(order) - 1)
    means = []
    for side in (acted, ~acted):
        total = np.cumsum(np.where(side, weight * reward[order], 0.0))[last]
        rows = np.cumsum(np.where(side, weight, 0.0))[last]
        means.append(np.divide(total, rows, out=np.full(len(last), np.nan), where=rows > 0))
    share = (last + 1) / len(order)
    gain = np.nan_to_num(share * (means[0] - means[1]))
    return np.append(0.0, share), np.append(0.0, gain)


def qini(reward: Values, acted: Values, score: Floats, propensity: Floats) -> float:
    """Compute the Qini coefficient: the area between the uplift curve and the diagonal.

    The diagonal is what acting on rows drawn at random gains: a straight line to the end of the
    curve (Radcliffe 2007). 0 for a ranking that knows nothing, below 0 for one that is wrong.

    Parameters
    ----------
    reward : ndarray, (n_rows,)
    acted : ndarray of bool, (n_rows,)
    score : ndarray of float64, (n_rows,)
        By which rows are ranked, the most uplift first.
    propensity : ndarray of float64, (n_rows,)
        The probability of the action that was taken, over 0 and below 1.

    Returns
    -------
    float
        In units of the reward per row. NaN unless some rows were acted on and some not.

    References
    ----------
    Radcliffe, "Using control groups to target on predicted lift", Direct Marketing Analytics
    Journal (2007).

    Examples
    --------
    >>> half = np.full(4, 0.5)
    >>> acted = np.array([True, False, True, False])
    >>> qini(np.array([1, 0, 0, 0]), acted, np.array([2.0, 2.0, 1.0, 1.0]), half)
    0.125
    """
    if not 0 < acted.sum() < len(acted):
        return float("nan")
    share, gain = uplift_curve(reward, acted, score, propensity)
    return float(np.trapezoid(gain, share) - gain[-1] / 2)


def uplift_at_k(
    reward: Values, acted: Values, score: Floats, propensity: Floats, k: float = 0.3
) -> float:
    """Compute what acting changed among the best share ``k`` of the rows, per row of them.

    Rows weigh 1 over their propensity. NaN unless some of those rows were acted on and some not.

    Parameters
    ----------
    reward, acted, score, propensity : ndarray, (n_rows,)
        As for `qini`. Rows that tie with the last of the share count, too.
    k : float
        Over 0, at most 1.

    Examples
    --------
    >>> half = np.full(4, 0.5)
    >>> acted = np.array([True, False, True, False])
    >>> uplift_at_k(np.array([1, 0, 0, 0]), acted, np.array([4.0, 3.0, 2.0, 1.0]), half, 0.5)
    1.0
    """
    if not len(score):
        return float("nan")
    share, gain = uplift_curve(reward, acted, score, propensity)
    at = np.searchsorted(share, k - 1e-12)
    best = score >= np.sort(score)[::-1][round(share[at] * len(score)) - 1]
    if not 0 < acted[best].sum() < best.sum():
        return float("nan")
    return float(gain[at] / share[at])


def calibration_bins(score: Floats, bins: int = 10) -> npt.NDArray[np.int64]:
    """Give each row the number of its bin, (n_rows,): of about as many rows, equals together.

    Examples
    --------
    >>> calibration_bins(np.array([0.1, 0.2, 0.2, 0.2, 0.9]), 3).tolist()
    [0, 0, 0, 0, 1]
    """
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    return np.searchsorted(edges, score, side="left").astype(np.int64)


def expected_calibration_error(label: Values, score: Floats, bins: int = 10) -> float:
    """Compute by how much probabilities are off, on the mean over rows; 0 to 1.

    Rows are sorted by score into bins of as many rows each, those with the same score into the
    same bin; between the mean score and the outcome rate of each bin lies its error (Naeini et al.
    2015, with the bins of Nixon et al. 2019: of equal width, nearly all rows of a rare outcome
    would share one). NaN without rows.

    Examples
    --------
    >>> expected_calibration_error(np.array([1, 0, 0, 0]), np.full(4, 0.5))
    0.25
    """
    if not len(score):
        return float("nan")
    number = calibration_bins(score, bins)
    rows = np.bincount(number)
    off = np.bincount(number, weights=score) - np.bincount(number, weights=label)
    return float(np.abs(off).sum() / rows.sum())
