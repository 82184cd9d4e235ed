"""Smaller weights: less variance for some bias, in the proportion that the data allows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Shrink = Callable[[Floats, float], Floats]
N_CANDIDATES = 30
DELTA = 0.05
"""With which probability the bias may exceed its bound."""


def switched(weight: Floats, threshold: float) -> Floats:
    """Drop the weights above a threshold: ``w 1(w <= threshold)``, (n_rows,).

    Examples
    --------
    >>> switched(np.array([0.0, 1.0, 3.0]), 2.0)
    array([0., 1., 0.])
    """
    return np.where(weight <= threshold, weight, 0.0)


def shrunk(weight: Floats, shrinkage: float) -> Floats:
    """Shrink optimistically: ``lambda w / (w^2 + lambda)``, (n_rows,).

    Examples
    --------
    >>> weight = np.array([0.0, 1.0, 3.0])
    >>> shrunk(weight, 3.0), shrunk(weight, 0.0), shrunk(weight, np.inf)
    (array([0.  , 0.75, 0.75]), array([0., 0., 0.]), array([0., 1., 3.]))
    """
    if shrinkage == 0.0:
        return np.zeros_like(weight)
    return weight / (1.0 + weight * (weight / shrinkage))


def choose(shrink: Shrink, weight: Floats, residual: Floats, baseline: Floats) -> float:
    """Choose how much to shrink by the smallest bound of the mean squared error.

    The bound is the sample variance of the estimate plus the square of a bound of its bias that
    holds with probability 1 - `DELTA`::

        |mean((w - w_shrunk) e)| + E sqrt(2 mean(w^2) log(2 / DELTA) / n)
                                 + E 2 max(w) log(2 / DELTA) / (3 n)

    with e the residuals reward - predicted, and E the largest of them in size (the paper has
    rewards from 0 to 1, so E is at most 1 there). Tried are sizes of weights, or their squares,
    evenly in the logarithm from a tenth of the smallest that is not 0 to ten times the largest,
    and infinity.

    Parameters
    ----------
    shrink : callable
        `switched` or `shrunk`.
    weight, residual, baseline : ndarray of float64, (n_rows,)
        The baseline is the predicted value under the policy.

    Sources
    -------
    Y. Su, M. Dimakopoulou, A. Krishnamurthy, M. Dudik, Doubly robust off-policy evaluation with
    shrinkage, ICML 2020, section 5.

    Examples
    --------
    A model that is right about 98 rows is left to speak for the two that weigh too much; a model
    that is wrong about all rows is not.

    >>> weight, right = np.array([1.0] * 98 + [1e3] * 2), np.array([0.0] * 98 + [0.5, -0.5])
    >>> bool(choose(switched, weight, right, np.zeros(100)) < 1e3)
    True
    >>> choose(switched, weight, np.full(100, 0.5), np.zeros(100)) >= 1e3
    True
    """
    n_rows, log = len(weight), np.log(2.0 / DELTA)
    size = np.abs(residual).max()
    deviation = np.sqrt(2.0 * (weight**2).mean() * log / n_rows)
    deviation += 2.0 * weight.max() * log / (3.0 * n_rows)

    def bound(candidate: float) -> float:
        smaller = shrink(weight, candidate)
        variance = (baseline + smaller * residual).var() / n_rows
        bias = np.abs(((weight - smaller) * residual).mean()) + size * deviation
        return float(variance + bias**2)

    return float(min(_candidates(weight, 2.0 if shrink is shrunk else 1.0), key=bound))


def _candidates(weight: Floats, power: float) -> Floats:
    positive = weight[weight > 0]
    if not len(positive):
        return np.array([np.inf])
    sizes = np.geomspace(positive.min() / 10.0, positive.max() * 10.0, N_CANDIDATES)
    return np.append(sizes**power, np.inf)
