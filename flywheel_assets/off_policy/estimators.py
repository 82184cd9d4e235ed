"""The estimators: each turns logged decisions into an estimate of a policy's value.

With n rows, reward r, weight w = target / propensity, q the predicted reward of the logged action
and v the predicted value under the evaluated policy:

==========  ========================================  ==========================================
replay      mean of r where the policy did the same   a log by equal chance, a policy without any
dm          mean(v)                                   as good as its model; knows no weights
ips         mean(w r)                                 unbiased; may vary widely
snips       sum(w r) / sum(w)                         within the rewards; moves along with them
dr          mean(v + w (r - q))                       unbiased; better as its model is
switch_dr   mean(v + w 1(w <= threshold) (r - q))     the model alone for rare actions
dr_os       mean(v + lambda w / (w^2 + lambda)        between dm (lambda 0) and dr (infinity)
            (r - q))
==========  ========================================  ==========================================

Every one takes `LoggedDecisions`, a ``level`` and the `Bars` of the overlap, and gives an
`Estimate`. The interval is that of the mean of the rows' contributions, see
`flywheel_assets.off_policy.interval`; a ratio is linearised. Of an estimator that takes some bias
(dm, switch_dr, dr_os) it reaches as far as that of dr. Predictions are taken as given: the
model must not have seen the rows (cross-fit it).
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from flywheel_assets.errors import OffPolicyError
from flywheel_assets.off_policy.estimate import Estimate
from flywheel_assets.off_policy.logged import LoggedDecisions
from flywheel_assets.off_policy.overlap import DEFAULT_BARS, Bars, overlap
from flywheel_assets.off_policy.shrinkage import Shrink, choose, shrunk, switched

Floats = npt.NDArray[np.float64]


def replay(logged: LoggedDecisions, *, level: float = 0.95, bars: Bars = DEFAULT_BARS) -> Estimate:
    """Average the rewards of the rows in which the policy does what was logged.

    As if the policy had run on them; right only where the log chose by equal chance and the policy
    has none of its own, so that rows agree by the log's chance alone.

    Raises
    ------
    OffPolicyError
        A target other than 0 or 1, or propensities that differ among the rows that agree.

    Sources
    -------
    L. Li, W. Chu, J. Langford, X. Wang, Unbiased offline evaluation of contextual-bandit-based news
    article recommendation algorithms, WSDM 2011.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1, 1, 1] * 50, propensity=[0.5] * 200,
    ...                        target=[1, 0] * 100)
    >>> print(replay(rows))
    0.5 (95% interval 0.4012 to 0.5988; effective sample size 100 of 200 rows, largest weight 2)
    """
    matched = logged.target == 1.0
    if not (matched | (logged.target == 0.0)).all():
        raise OffPolicyError(
            expected="a policy without chance, target 0 or 1, for replay",
            found="probabilities between",
            remedy="use snips, or draw the policy's actions first",
        )
    propensity = logged.propensity[matched]
    if len(propensity) and not np.allclose(propensity, propensity[0], rtol=1e-6, atol=0.0):
        raise OffPolicyError(
            expected="a log by equal chance, one propensity, for replay",
            found=f"propensities from {propensity.min():.4g} to {propensity.max():.4g}",
            remedy="use snips, which weighs by them",
        )
    return Estimate(
        "replay",
        _ratio(matched.astype(np.float64), logged.reward),
        logged,
        overlap(logged, bars),
        level,
    )


def dm(logged: LoggedDecisions, *, level: float = 0.95, bars: Bars = DEFAULT_BARS) -> Estimate:
    """Average what the model predicts of the policy (direct method): ``mean(v)``.

    The value is as wrong as the model is, so the interval reaches as far as that of `dr`, which
    holds the model against what was logged; the standard error is that of the average alone.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[0.5] * 100, target=[0.5] * 100,
    ...                        predicted=[0.4, 0.6] * 50, predicted_value=[0.5, 0.6] * 50)
    >>> print(f"{dm(rows):.2f}")
    0.55
    """
    full = dr(logged, level=level, bars=bars)
    terms = logged.predictions("dm")[1]
    return replace(full, estimator="dm", terms=terms, unbiased=full.terms)


def ips(logged: LoggedDecisions, *, level: float = 0.95, bars: Bars = DEFAULT_BARS) -> Estimate:
    """Weigh rewards by how much likelier the policy makes them: ``mean(w r)``.

    Sources
    -------
    D. Horvitz, D. Thompson, A generalization of sampling without replacement from a finite
    universe, JASA 1952.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[0.5] * 100, target=[0.4, 0.6] * 50)
    >>> print(f"{ips(rows):.2f}")
    0.60
    """
    return Estimate("ips", logged.weight * logged.reward, logged, overlap(logged, bars), level)


def snips(logged: LoggedDecisions, *, level: float = 0.95, bars: Bars = DEFAULT_BARS) -> Estimate:
    """Divide the weighted rewards by the sum of weights: ``sum(w r) / sum(w)``.

    Sources
    -------
    A. Swaminathan, T. Joachims, The self-normalized estimator for counterfactual learning, NIPS
    2015.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[0.8, 0.4] * 50,
    ...                        target=[0.4, 0.6] * 50)
    >>> print(f"{snips(rows):.4f}")
    0.7500
    """
    return Estimate(
        "snips", _ratio(logged.weight, logged.reward), logged, overlap(logged, bars), level
    )


def dr(logged: LoggedDecisions, *, level: float = 0.95, bars: Bars = DEFAULT_BARS) -> Estimate:
    """Correct the model by the weighted residuals (doubly robust): ``mean(v + w (r - q))``.

    Sources
    -------
    M. Dudik, J. Langford, L. Li, Doubly robust policy evaluation and learning, ICML 2011.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[0.5] * 100, target=[0.4, 0.6] * 50,
    ...                        predicted=[0.0, 0.9] * 50, predicted_value=[0.54] * 100)
    >>> print(f"{dr(rows):.2f}")
    0.60
    """
    predicted, predicted_value = logged.predictions("dr")
    terms = predicted_value + logged.weight * (logged.reward - predicted)
    return Estimate("dr", terms, logged, overlap(logged, bars), level)


def switch_dr(
    logged: LoggedDecisions,
    *,
    threshold: float | None = None,
    level: float = 0.95,
    bars: Bars = DEFAULT_BARS,
) -> Estimate:
    """Leave rows of a weight above a threshold to the model alone.

    The value has less variance than that of `dr`, for some bias; the interval reaches as far as
    that of `dr`, because what was chosen to look good says too little about its own error.

    Parameters
    ----------
    threshold : float, optional
        Of the weight; by default chosen, see `flywheel_assets.off_policy.shrinkage.choose`.

    Sources
    -------
    Y.-X. Wang, A. Agarwal, M. Dudik, Optimal and adaptive off-policy evaluation in contextual
    bandits, ICML 2017.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[0.5] * 100, target=[0.4, 0.6] * 50,
    ...                        predicted=[0.0, 0.9] * 50, predicted_value=[0.54] * 100)
    >>> print(f"{switch_dr(rows, threshold=1.0):.2f}, {switch_dr(rows, threshold=2.0):.2f}")
    0.54, 0.60
    """
    return _shrinking(dr(logged, level=level, bars=bars), "switch_dr", switched, threshold)


def dr_os(
    logged: LoggedDecisions,
    *,
    shrinkage: float | None = None,
    level: float = 0.95,
    bars: Bars = DEFAULT_BARS,
) -> Estimate:
    """Shrink the weights optimistically (DRos): ``mean(v + lambda w / (w^2 + lambda) (r - q))``.

    The value has less variance than that of `dr`, for some bias; the interval reaches as far as
    that of `dr`, because what was chosen to look good says too little about its own error.

    Parameters
    ----------
    shrinkage : float, optional
        Lambda, in squares of weights: 0 is the direct method, infinity doubly robust. By default
        chosen, see `flywheel_assets.off_policy.shrinkage.choose`.

    Sources
    -------
    Y. Su, M. Dimakopoulou, A. Krishnamurthy, M. Dudik, Doubly robust off-policy evaluation with
    shrinkage, ICML 2020.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[0.5] * 100, target=[0.5] * 100,
    ...                        predicted=[0.0, 0.9] * 50, predicted_value=[0.45] * 100)
    >>> print(f"{dr_os(rows, shrinkage=1.0):.3f}")
    0.475
    """
    return _shrinking(dr(logged, level=level, bars=bars), "dr_os", shrunk, shrinkage)


def _ratio(weight: Floats, reward: Floats) -> Floats:
    total = weight.sum()
    if total == 0:
        return np.full_like(reward, np.nan)  # nothing matched: never read, the overlap says so
    value = (weight * reward).sum() / total
    terms: Floats = value + weight * (reward - value) * (len(weight) / total)
    return terms


def _shrinking(full: Estimate, estimator: str, shrink: Shrink, parameter: float | None) -> Estimate:
    logged = full.logged
    predicted, predicted_value = logged.predictions(estimator)
    weight, residual = logged.weight, logged.reward - predicted
    if parameter is None:
        parameter = choose(shrink, weight, residual, predicted_value)
    elif not parameter >= 0:  # NaN included
        raise OffPolicyError(
            expected=f"a parameter of {estimator} from 0 to infinity",
            found=repr(parameter),
            remedy="leave it out to have it chosen",
        )
    terms = predicted_value + shrink(weight, parameter) * residual
    return replace(full, estimator=estimator, terms=terms, unbiased=full.terms, parameter=parameter)
