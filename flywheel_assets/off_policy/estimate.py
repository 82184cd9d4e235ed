"""An estimate: a value with its interval, or the reason why there is none."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flywheel_assets.errors import OffPolicyError
from flywheel_assets.off_policy.interval import Moments, limit, moments
from flywheel_assets.off_policy.logged import LoggedDecisions
from flywheel_assets.off_policy.overlap import Overlap

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """The value of a policy, or of one less that of another, by an estimator.

    Where the log does not support it, every figure raises `OffPolicyError`, and ``str`` and
    ``format`` say why instead of giving a number.

    Parameters
    ----------
    estimator : str
    terms : ndarray of float64, (n_rows,)
        Each row's contribution, linear: their mean is the value, their spread its uncertainty.
    logged : LoggedDecisions
    overlap : Overlap
        How much of the log speaks about the policy, and what is wrong with it.
    level : float
        Of the two-sided interval, and of the one-sided ``lower_bound``; from .5 to below 1.
    parameter : float, optional
        The threshold of switch-DR or the shrinkage of DRos, given or chosen.
    unbiased : ndarray of float64, (n_rows,), optional
        Those of `dr`, where ``terms`` took bias in exchange for variance. Limits then are the wider
        of both.

    Examples
    --------
    >>> from flywheel_assets.off_policy import LoggedDecisions, ips
    >>> found = ips(LoggedDecisions(reward=[0, 1] * 50, propensity=[0.5] * 100, target=[0.5] * 100))
    >>> print(found)
    0.5 (95% interval 0.4003 to 0.5997; effective sample size 100 of 100 rows, largest weight 1)
    >>> f"{found:.1%}", round(found.lower_bound, 4)
    ('50.0%', 0.4166)
    >>> found = ips(LoggedDecisions(reward=[0, 1] * 50, propensity=[1e-4] + [0.5] * 99,
    ...                             target=[0.5] * 100))
    >>> f"{found:.1%}"
    'no estimate: effective sample size 1 of 100 rows, where 50 are needed; one row carries 98% of \
the weight, where 5% is allowed (largest weight 5,000)'
    """

    estimator: str
    terms: Floats = field(repr=False)
    logged: LoggedDecisions = field(repr=False)
    overlap: Overlap
    level: float = 0.95
    parameter: float | None = None
    unbiased: Floats | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1.0:  # noqa: PLR2004  below, limits cross
            raise OffPolicyError(
                expected="a level from .5 to below 1",
                found=repr(self.level),
                remedy="write 95% as .95",
            )

    @property
    def supported(self) -> bool:
        """Say whether the log supports an estimate."""
        return not self.overlap.silence

    @property
    def value(self) -> float:
        """Give the estimated mean reward of a row."""
        return self._moments[0].mean

    @property
    def standard_error(self) -> float:
        """Give the standard error, which knows nothing of bias."""
        return self._moments[0].standard_error

    @property
    def lower(self) -> float:
        """Give the lower end of the two-sided interval."""
        return min(limit(each, (1.0 - self.level) / 2.0) for each in self._moments)

    @property
    def upper(self) -> float:
        """Give the upper end of the two-sided interval."""
        return max(limit(each, (1.0 + self.level) / 2.0) for each in self._moments)

    @property
    def lower_bound(self) -> float:
        """Give what the value is above, one-sided: what a gate holds against its bar."""
        return min(limit(each, 1.0 - self.level) for each in self._moments)

    def as_row(self) -> dict[str, float | int | str | bool | None]:
        """Give everything as a table's row; without support the figures are None.

        Examples
        --------
        >>> from flywheel_assets.off_policy import LoggedDecisions, ips
        >>> found = ips(LoggedDecisions(reward=[0, 1], propensity=[1, 1], target=[0, 0]))
        >>> row = found.as_row()
        >>> row["supported"], row["value"], row["diagnosis"]
        (False, None, 'none of 2 rows shows an action that the policy would take')
        """
        names = ("value", "lower", "upper", "lower_bound", "standard_error")
        said = {"problems", "constant"}  # in the diagnosis
        about = {name: value for name, value in vars(self.overlap).items() if name not in said}
        return {
            "estimator": self.estimator,
            "supported": self.supported,
            **{name: getattr(self, name) if self.supported else None for name in names},
            "level": self.level,
            "parameter": self.parameter,
            **about,
            "diagnosis": str(self.overlap),
        }

    def __str__(self) -> str:
        if not self.supported:
            return f"no estimate: {self.overlap}"
        return (
            f"{self.value:.4g} ({self.level * 100:g}% interval {self.lower:.4g} to "
            f"{self.upper:.4g}; {self.overlap})"
        )

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec and self.supported else str(self)

    @cached_property
    def _moments(self) -> tuple[Moments, ...]:
        if not self.supported:
            raise OffPolicyError(
                expected=f"a log that supports the {self.estimator} estimate",
                found=str(self.overlap),
                remedy="explore more of what the policy does, or wait for more rows",
            )
        kinds = (self.terms,) if self.unbiased is None else (self.terms, self.unbiased)
        return tuple(moments(terms, self.logged.cluster) for terms in kinds)


def difference(challenger: Estimate, champion: Estimate) -> Estimate:
    """Compare two policies on the same rows: the challenger's value less the champion's.

    The rows are paired: what the policies have in common cancels, so the interval is that of their
    difference, not of either value. Where one of them is without support, so is the difference.

    Parameters
    ----------
    challenger, champion : Estimate
        Of the same logged rewards, propensities and clusters, at the same level.

    Returns
    -------
    Estimate
        Positive where the challenger is better; its ``overlap`` is the worse of the two.

    Raises
    ------
    OffPolicyError
        Other rows, or another level.

    Examples
    --------
    >>> from flywheel_assets.off_policy import LoggedDecisions, ips
    >>> log = {"reward": [0, 1] * 50, "propensity": [0.5] * 100}
    >>> better = ips(LoggedDecisions(**log, target=[0.2, 0.8] * 50))
    >>> worse = ips(LoggedDecisions(**log, target=[0.5, 0.5] * 50))
    >>> print(f"{difference(better, worse):+.2f}")
    +0.30
    """
    _same_rows(challenger, champion)
    one, other = challenger.overlap, champion.overlap
    sides = (("challenger", one), ("champion", other))
    return Estimate(
        estimator=f"{challenger.estimator} - {champion.estimator}",
        terms=challenger.terms - champion.terms,
        logged=challenger.logged,
        overlap=Overlap(
            n_rows=one.n_rows,
            n_matched=min(one.n_matched, other.n_matched),
            effective_sample_size=min(one.effective_sample_size, other.effective_sample_size),
            mean_weight=max(one.mean_weight, other.mean_weight, key=lambda mean: abs(mean - 1.0)),
            largest_weight=max(one.largest_weight, other.largest_weight),
            largest_share=max(one.largest_share, other.largest_share),
            unsupported_share=max(one.unsupported_share, other.unsupported_share),
            n_clusters=one.n_clusters,
            problems=tuple(f"{name}: {text}" for name, side in sides for text in side.silence),
        ),
        level=challenger.level,
        unbiased=_unbiased(challenger) - _unbiased(champion),
    )


def _unbiased(estimate: Estimate) -> Floats:
    return estimate.terms if estimate.unbiased is None else estimate.unbiased


def _same_rows(challenger: Estimate, champion: Estimate) -> None:
    one, other = challenger.logged, champion.logged
    for name in ("reward", "propensity", "cluster"):
        if not np.array_equal(getattr(one, name), getattr(other, name)):
            raise OffPolicyError(
                expected="two policies on the same logged rows",
                found=f"another {name}",
                remedy="evaluate both on the same log, in the same order",
            )
    if challenger.level != champion.level:
        raise OffPolicyError(
            expected=f"one level, {challenger.level}",
            found=str(champion.level),
            remedy="estimate both at the same level",
        )
