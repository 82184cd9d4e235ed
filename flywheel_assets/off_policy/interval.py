"""Confidence limits of the mean of skewed terms.

Weighted rewards are skewed: most rows give nothing, a few give much. The normal interval of their
mean is then too short above and too long below. Hall's cubic transformation of the t statistic
takes the skewness out, needs no resampling and no seed, and is the normal interval where nothing is
skewed. ``flywheel_benchmarks/off_policy_coverage.py`` measures what it covers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """What the limits of a mean depend on.

    Parameters
    ----------
    mean, standard_error : float
    skewness : float
        Of the mean: of the terms, over the root of their number; 0 where they do not vary.
    degrees : int
        Degrees of freedom of the standard error: one less than the independent terms.
    """

    mean: float
    standard_error: float
    skewness: float
    degrees: int


def moments(terms: Floats, cluster: npt.NDArray[np.intp] | None = None) -> Moments:
    """Measure terms whose mean is wanted.

    Parameters
    ----------
    terms : ndarray of float64, (n_rows,)
    cluster : ndarray of intp, (n_rows,), optional
        Numbers from 0 of the groups within which rows depend on each other. The groups are then
        the independent terms: each gives its deviations from the mean, summed.

    Examples
    --------
    >>> moments(np.array([0.0, 0.0, 0.0, 4.0]))
    Moments(mean=1.0, standard_error=1.0, skewness=0.577..., degrees=3)
    """
    mean = float(terms.mean())
    deviation: Floats = terms - mean
    if cluster is not None:
        deviation = np.bincount(cluster, weights=deviation).astype(np.float64)
    scale = float(np.abs(deviation).max())
    count = len(deviation)
    if scale == 0.0:
        return Moments(mean, 0.0, 0.0, count - 1)
    deviation /= scale  # cubes of the very large and the very small stay finite
    second, third = float((deviation**2).mean()), float((deviation**3).mean())
    error = scale * np.sqrt(second * count / (count - 1) * count) / len(terms)
    return Moments(mean, float(error), float(third / second**1.5 / np.sqrt(count)), count - 1)


def limit(of: Moments, probability: float) -> float:
    """Give the one-sided confidence limit that a mean is below with a probability.

    ``mean - T(z) standard_error`` with ``z`` the upper quantile of Student's t and::

        T(z) = (cbrt(1 + 3 a (z - a / 2)) - 1) / a,  a = skewness / 3

    Sources
    -------
    P. Hall, On the removal of skewness by transformation, Journal of the Royal Statistical Society
    B 54 (1992).

    Examples
    --------
    >>> even = Moments(mean=1.0, standard_error=0.1, skewness=0.0, degrees=10_000)
    >>> round(limit(even, 0.025), 3), round(limit(even, 0.975), 3)
    (0.804, 1.196)
    >>> skewed = Moments(mean=1.0, standard_error=0.1, skewness=0.4, degrees=10_000)
    >>> round(limit(skewed, 0.025), 3), round(limit(skewed, 0.975), 3)
    (0.845, 1.319)
    """
    from scipy.special import stdtrit

    z = float(stdtrit(of.degrees, 1.0 - probability))
    a = of.skewness / 3.0
    if abs(a) > 1e-6:  # noqa: PLR2004  below, the difference is lost in rounding
        z = float((np.cbrt(1.0 + 3.0 * a * (z - a / 2.0)) - 1.0) / a)
    return of.mean - z * of.standard_error
