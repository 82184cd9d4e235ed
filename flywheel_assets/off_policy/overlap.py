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
    What it misses lies above it: ``lower_bound`` held throughout. Clusters whose rows all come to
    the same need the same bars: with 5% of the weight in the largest it covered .89, with 11% .80.

    Parameters
    ----------
    effective_sample_size : float
        Or half the rows (or clusters) of a log that has less than twice as many, so that a small
        log of equal weights is not refused.
    weight_share : float
        Of one row (or cluster) in the sum of weights.
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
        ``sum(w)^2 / sum(w^2)``: so many rows of equal weight would say as much. Where rows are
        clustered, ``w`` is the sum of weights of a cluster, and clusters are counted: the rows of
        one may all say the same.
    mean_weight, largest_weight : float
        Of rows. The mean is 1 up to chance, if propensities are right and nothing is without
        support.
    largest_share : float
        Of one row (or cluster) in the sum of weights.
    unsupported_share : float
        Of the policy's actions, those that the log never takes. Exact where the log gave every
        action's propensity; otherwise what the mean weight lacks beyond chance, so no less than it.
    n_clusters : int, optional
        None where rows are independent.
    problems : tuple of str
        Which bars are missed, and by how much; empty where the log supports an estimate.
    constant : str, optional
        Where every matched reward is the same, what that leaves open: the value is that reward, but
        nothing says how far off, so there is no estimate either.
    """

    n_rows: int
    n_matched: int
    effective_sample_size: float
    mean_weight: float
    largest_weight: float
    largest_share: float
    unsupported_share: float
    n_clusters: int | None = None
    problems: tuple[str, ...] = ()
    constant: str | None = None

    @property
    def silence(self) -> tuple[str, ...]:
        """Give all that stands against an estimate; empty where the log supports one."""
        return self.problems if self.constant is None else (*self.problems, self.constant)

    def __str__(self) -> str:
        """Say it in words, the bars that are missed in the first place."""
        return "; ".join(self.silence) or (
            f"{self.sample_size}, largest weight {_size(self.largest_weight)}"
        )

    @property
    def n_independent(self) -> int:
        """How many clusters there are, or rows where they are independent."""
        return self.n_rows if self.n_clusters is None else self.n_clusters

    @property
    def sample_size(self) -> str:
        """Say the effective sample size in words, and what it counts."""
        counted = "rows" if self.n_clusters is None else "clusters"
        return (
            f"effective sample size {self.effective_sample_size:,.0f} of "
            f"{self.n_independent:,} {counted}"
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

    Rows of one cluster are no more than one row that weighs as much as they do together.

    >>> half = [0.5] * 100
    >>> rows = LoggedDecisions(reward=[0, 1] * 50, propensity=half, target=half,
    ...                        cluster=[0] * 50 + list(range(1, 51)))
    >>> print(overlap(rows))
    effective sample size 4 of 51 clusters, where 25.5 are needed; one cluster carries 50% of the \
weight, where 5% is allowed (largest weight 1)
    """
    weight = logged.weight
    largest = float(weight.max())
    effective = share = 0.0
    if largest > 0:
        relative = weight / largest  # squares of the very large and the very small stay finite
        if logged.cluster is not None:
            relative = np.bincount(logged.cluster, weights=relative).astype(np.float64)
        effective = float(relative.sum() ** 2 / (relative**2).sum())
        share = float(relative.max() / relative.sum())
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
        largest_share=share,
        unsupported_share=lacking,
        n_clusters=None if logged.cluster is None else measured.degrees + 1,
    )
    excess = limit(measured, 1.0 - CHANCE) - 1.0
    return replace(
        found, problems=_problems(found, bars, excess), constant=_constant(logged, found)
    )


def _problems(found: Overlap, bars: Bars, excess: float) -> tuple[str, ...]:
    if not found.n_matched:
        return (f"none of {found.n_rows:,} rows shows an action that the policy would take",)
    problems = []
    needed = min(bars.effective_sample_size, found.n_independent / 2.0)
    if found.effective_sample_size < needed:
        problems.append(f"{found.sample_size}, where {needed:g} are needed")
    if found.largest_share > bars.weight_share:
        one = "row" if found.n_clusters is None else "cluster"
        problems.append(
            f"one {one} carries {found.largest_share:.0%} of the weight, where "
            f"{bars.weight_share:.0%} is allowed (largest weight {_size(found.largest_weight)})"
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
    return tuple(problems)


def _constant(logged: LoggedDecisions, found: Overlap) -> str | None:
    rewards = logged.reward[logged.target > 0]
    if not len(rewards) or np.ptp(rewards) > 0:
        return None
    return (
        f"each of the {found.n_matched:,} matched rewards is {rewards[0]:g}: nothing says how far "
        "the value may be from it"
    )


def _size(weight: float) -> str:
    return f"{weight:,.0f}" if weight >= 1_000 else f"{weight:.4g}"  # noqa: PLR2004  or it is 1e+03
