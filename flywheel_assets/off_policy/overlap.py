"""Overlap: whether a log speaks about a policy at all."""

from dataclasses import dataclass, replace

import numpy as np

from flywheel_assets.off_policy.interval import limit, moments
from flywheel_assets.off_policy.logged import LoggedDecisions

CHANCE = 0.999
"""One-sided: the mean weight is off 1 only if chance gives that less than once in a thousand."""


@dataclass(frozen=True)
class Bars:
    """What a log must show of a policy before a value is printed.

    The first two are set by a simulation of logs with few outcomes and weights from even to wild,
    ``flywheel_benchmarks/off_policy_coverage.py``. The 95% interval of `snips` covered .91 and more
    of the time with an effective sample size from 200, .88 from 100, .82 from 50, .42 below 10;
    with the largest share of one row below 2% .94, below 5% .89, below 10% .82, above half .25.
    What it misses lies above it: ``lower_bound`` held throughout.

    Parameters
    ----------
    effective_sample_size : float
        Or half the rows of a log that has less than twice as many, so that a small log of equal
        weights is not refused.
    weight_share : float
        Of one row in the sum of weights.
    unsupported_share : float
        Of the policy's actions, those that the log never takes. Nothing is known of their reward:
        where it is like that of the others, the value is off by as much, and a twentieth is about
        the half-width of an interval from a few thousand rows.
    """

    effective_sample_size: float = 100.0
    weight_share: float = 0.05
    unsupported_share: float = 0.05


DEFAULT_BARS = Bars()


@dataclass(frozen=True)
class Overlap:
    """How much of a log speaks about a policy.

    Parameters
    ----------
    n_rows, n_matched : int
        All rows; those whose action the policy may take.
    effective_sample_size : float
        ``sum(w)^2 / sum(w^2)``: so many rows of equal weight would say as much.
    mean_weight, largest_weight : float
        The mean is 1 up to chance, if propensities are right and nothing is without support.
    unsupported_share : float
        Of the policy's actions, those that the log never takes. Exact where the log gave every
        action's propensity; otherwise what the mean weight lacks beyond chance, so no less than it.
    problems : tuple of str
        Which bars are missed, and by how much; empty where the log supports an estimate.
    """

    n_rows: int
    n_matched: int
    effective_sample_size: float
    mean_weight: float
    largest_weight: float
    unsupported_share: float
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in words, the bars that are missed in the first place."""
        return "; ".join(self.problems) or (
            f"effective sample size {self.effective_sample_size:,.0f} of {self.n_rows:,} rows, "
            f"largest weight {_size(self.largest_weight)}"
        )


def overlap(logged: LoggedDecisions, bars: Bars = DEFAULT_BARS) -> Overlap:
    """Measure the overlap of a log and a policy, and hold it against the bars.

    It is measured on the full weights for every estimator. Where the log is silent a model may
    answer, as in the direct method, switch-DR and shrinkage, but nothing says whether it is right.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[0.5] * 100, target=[0.5] * 100)
    >>> print(overlap(rows))
    effective sample size 100 of 100 rows, largest weight 1
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=[1e-4] + [0.5] * 99,
    ...                        target=[0.5] * 100)
    >>> print(overlap(rows))
    effective sample size 1 of 100 rows, where 50 are needed; one row carries 98% of the weight, \
where 5% is allowed (largest weight 5,000)
    """
    weight = logged.weight
    largest, total = float(weight.max()), float(weight.sum())
    effective = 0.0
    if total > 0:
        relative = weight / largest  # squares of the very large and the very small stay finite
        effective = float(relative.sum() ** 2 / (relative**2).sum())
    measured = moments(weight, logged.cluster)
    lacking = logged.unsupported
    if lacking is None:
        lacking = max(0.0, 1.0 - limit(measured, CHANCE))
    found = Overlap(
        n_rows=len(weight),
        n_matched=int((weight > 0).sum()),
        effective_sample_size=effective,
        mean_weight=measured.mean,
        largest_weight=largest,
        unsupported_share=lacking,
    )
    excess = limit(measured, 1.0 - CHANCE) - 1.0
    return replace(found, problems=_problems(logged, found, bars, excess))


def _problems(
    logged: LoggedDecisions, found: Overlap, bars: Bars, excess: float
) -> tuple[str, ...]:
    if not found.n_matched:
        return (f"none of {found.n_rows:,} rows shows an action that the policy would take",)
    problems = []
    needed = min(bars.effective_sample_size, found.n_rows / 2.0)
    if found.effective_sample_size < needed:
        problems.append(
            f"effective sample size {found.effective_sample_size:,.0f} of {found.n_rows:,} rows, "
            f"where {needed:g} are needed"
        )
    share = found.largest_weight / (found.mean_weight * found.n_rows)
    if share > bars.weight_share:
        problems.append(
            f"one row carries {share:.0%} of the weight, where {bars.weight_share:.0%} is allowed "
            f"(largest weight {_size(found.largest_weight)})"
        )
    if found.unsupported_share > bars.unsupported_share:
        problems.append(
            f"the log never takes {found.unsupported_share:.0%} of the policy's actions, where "
            f"{bars.unsupported_share:.0%} is allowed"
        )
    if excess > bars.unsupported_share:
        problems.append(
            f"the mean weight is {found.mean_weight:.4g}, where right propensities give 1"
        )
    rewards = logged.reward[logged.target > 0]
    if np.ptp(rewards) == 0:
        problems.append(
            f"each of the {found.n_matched:,} matched rewards is {rewards[0]:g}: nothing says how "
            "far the value may be from it"
        )
    return tuple(problems)


def _size(weight: float) -> str:
    return f"{weight:,.0f}" if weight >= 1_000 else f"{weight:.4g}"  # noqa: PLR2004  or it is 1e+03
