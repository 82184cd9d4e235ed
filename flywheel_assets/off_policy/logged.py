"""Logged decisions, beside what the evaluated policy would have done about them."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from flywheel_assets.errors import OffPolicyError

Floats = npt.NDArray[np.float64]
TOLERANCE = 1e-6
"""How far probabilities that sum to 1 may be from it, for rounding."""


@dataclass(frozen=True, eq=False)
class LoggedDecisions:
    """Rows of a log under one evaluated policy; checked when it is made.

    A row is a decision on its own: an act or a hold, an arm of several, or one item of a slate with
    the probability that it is in it. What is held is a row like any other: a weight is 1 on average
    over *all* the decisions that the log had to make (of slates of one length it is so over the
    items shown).

    Parameters
    ----------
    reward : array_like, (n_rows,)
        What came of the logged action; finite.
    propensity : array_like, (n_rows,)
        Probability of the logged action under the policy that logged it; in (0, 1].
    target : array_like, (n_rows,)
        Probability of the logged action under the evaluated policy; in [0, 1].
    predicted : array_like, (n_rows,), optional
        Expected reward of the logged action, by a model that has not seen the row.
    predicted_value : array_like, (n_rows,), optional
        Expected reward under the evaluated policy by the same model: the sum over actions a of
        pi(a|x) q(x, a). Both predictions or neither.
    cluster : array_like, (n_rows,), optional
        What rows belong to that depend on each other (the entity, the day, the slate), in any type
        that NumPy sorts; intervals then take the clusters, not the rows, as independent.
    unsupported : float, optional
        The exact share of the evaluated policy's actions that the log never takes, if known.

    Raises
    ------
    OffPolicyError
        Arrays of different lengths, fewer than two rows or clusters, values that are missing,
        infinite or no probabilities, a propensity of 0.

    Examples
    --------
    >>> rows = LoggedDecisions(reward=[1, 0, 0], propensity=[0.5, 0.5, 0.25], target=[1, 0, 0.5])
    >>> rows.weight
    array([2., 0., 2.])
    >>> LoggedDecisions(reward=[1, 0], propensity=[0.5, 0.0], target=[1, 1])
    Traceback (most recent call last):
    flywheel_assets.errors.OffPolicyError: expected propensity above 0 and at most 1; found 0.0 in \
row 1; log the exact probability of the action that was taken
    """

    reward: Floats
    propensity: Floats
    target: Floats
    predicted: Floats | None = None
    predicted_value: Floats | None = None
    cluster: npt.NDArray[Any] | None = None
    unsupported: float | None = None

    def __post_init__(self) -> None:
        for name in ("reward", "propensity", "target", "predicted", "predicted_value"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _finite(name, values))
        self._check_shapes()
        _within(
            "propensity above 0 and at most 1",
            self.propensity,
            (self.propensity > 0) & (self.propensity <= 1),
            "log the exact probability of the action that was taken",
        )
        _within(
            "target from 0 to 1",
            self.target,
            (self.target >= 0) & (self.target <= 1),
            "give the evaluated policy's probability of the logged action",
        )
        if self.cluster is not None:
            object.__setattr__(self, "cluster", _numbered(self.cluster))
        if self.unsupported is not None and not 0 <= self.unsupported <= 1:
            raise OffPolicyError(
                expected="unsupported from 0 to 1",
                found=repr(self.unsupported),
                remedy="leave it out where it is not known",
            )

    @classmethod
    def of_actions(  # noqa: PLR0913  an array each
        cls,
        *,
        reward: npt.ArrayLike,
        propensity: npt.ArrayLike,
        action: npt.ArrayLike,
        target: npt.ArrayLike,
        predicted: npt.ArrayLike | None = None,
        cluster: npt.ArrayLike | None = None,
    ) -> Self:
        """Take every action's probability and prediction, where each row chose one of several.

        Parameters
        ----------
        reward : array_like, (n_rows,)
        propensity : array_like, (n_rows,) or (n_rows, n_actions)
            Of the logged action; of every action, it also says what the log never does.
        action : array_like of int, (n_rows,)
            The logged action, from 0.
        target : array_like, (n_rows, n_actions)
            Every action's probability under the evaluated policy; a row sums to 1.
        predicted : array_like, (n_rows, n_actions), optional
            Every action's expected reward, by a model that has not seen the row.
        cluster : array_like, (n_rows,), optional

        Examples
        --------
        >>> rows = LoggedDecisions.of_actions(
        ...     reward=[1, 0], action=[0, 1], propensity=[[0.5, 0.5, 0], [0.5, 0.5, 0]],
        ...     target=[[0.5, 0.25, 0.25], [0, 1, 0]], predicted=[[0.8, 0.4, 0], [0.8, 0.4, 0]])
        >>> rows.target, rows.predicted, rows.predicted_value
        (array([0.5, 1. ]), array([0.8, 0.4]), array([0.5, 0.4]))
        >>> rows.unsupported
        0.125
        """
        chances = _finite("target", target)
        index = _actions(action, chances)
        _sums_to_one("target", chances)
        logged = _finite("propensity", propensity)
        unsupported = None
        if logged.ndim > 1:
            _same_shape("propensity", logged, chances)
            _sums_to_one("propensity", logged)
            unsupported = float(np.where(logged > 0, 0.0, chances).sum(axis=1).mean())
            logged = logged[np.arange(len(index)), index]
        rewards = None if predicted is None else _finite("predicted", predicted)
        if rewards is not None:
            _same_shape("predicted", rewards, chances)
        row = np.arange(len(index))
        return cls(
            reward=np.asarray(reward),
            propensity=logged,
            target=chances[row, index],
            predicted=None if rewards is None else rewards[row, index],
            predicted_value=None if rewards is None else (chances * rewards).sum(axis=1),
            cluster=None if cluster is None else np.asarray(cluster),
            unsupported=unsupported,
        )

    @property
    def weight(self) -> Floats:
        """Give the importance weights, target over propensity, (n_rows,)."""
        return self.target / self.propensity

    def predictions(self, estimator: str) -> tuple[Floats, Floats]:
        """Give ``predicted`` and ``predicted_value`` to an estimator that needs a model."""
        if self.predicted is None or self.predicted_value is None:
            raise OffPolicyError(
                expected=f"predicted and predicted_value for {estimator}",
                found="no predictions",
                remedy="give a model's, cross-fitted, or use snips, which needs none",
            )
        return self.predicted, self.predicted_value

    def _check_shapes(self) -> None:
        if (self.predicted is None) != (self.predicted_value is None):
            raise OffPolicyError(
                expected="both predicted and predicted_value, or neither",
                found="one of them",
                remedy="they are the same model's: of the logged action, and of the policy",
            )
        for name in ("reward", "propensity", "target", "predicted", "predicted_value", "cluster"):
            values = getattr(self, name)
            shape = None if values is None else np.shape(values)
            if shape is not None and (len(shape) != 1 or shape != np.shape(self.reward)):
                raise OffPolicyError(
                    expected=f"{name} of shape (n_rows,) as reward",
                    found=f"{shape} beside a reward of {np.shape(self.reward)}",
                    remedy="give one value a row; LoggedDecisions.of_actions takes every action's",
                )
        _enough("rows", len(self.reward))


def _finite(name: str, values: npt.ArrayLike) -> Floats:
    try:
        floats = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise OffPolicyError(
            expected=f"{name} as numbers", found=str(error), remedy="give an array of floats"
        ) from error
    _within(f"finite {name}", floats, np.isfinite(floats), "leave no value missing")
    return floats


def _within(expected: str, values: Floats, good: npt.NDArray[np.bool_], remedy: str) -> None:
    if not good.all():
        first = tuple(int(i[0]) for i in np.nonzero(~good))
        row = first[0] if first else 0
        raise OffPolicyError(
            expected=expected, found=f"{float(values[first])!r} in row {row}", remedy=remedy
        )


def _numbered(cluster: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    try:
        found, numbers = np.unique(cluster, return_inverse=True)
    except TypeError as error:
        raise OffPolicyError(
            expected="cluster of one type that sorts",
            found=str(error),
            remedy="leave no value missing",
        ) from error
    _enough("clusters", len(found))
    return numbers.astype(np.intp)


def _enough(what: str, count: int) -> None:
    if count < 2:  # noqa: PLR2004  one says nothing of how they vary
        raise OffPolicyError(
            expected=f"at least two {what}", found=str(count), remedy="wait until more is known"
        )


def _actions(action: npt.ArrayLike, chances: Floats) -> npt.NDArray[np.intp]:
    index = np.asarray(action)
    shape = f"target {chances.shape}, action {index.shape} of {index.dtype}"
    if chances.ndim != 2 or index.shape != chances.shape[:1] or index.dtype.kind not in "iu":  # noqa: PLR2004  rows, actions
        raise OffPolicyError(
            expected="target (n_rows, n_actions) and action (n_rows,) of integers",
            found=shape,
            remedy="number the actions from 0",
        )
    if len(index) and not (index.min() >= 0 and index.max() < chances.shape[1]):
        raise OffPolicyError(
            expected=f"actions from 0 to {chances.shape[1] - 1}, as target has columns",
            found=f"{index.min()} to {index.max()}",
            remedy="number the actions from 0",
        )
    return index.astype(np.intp)


def _same_shape(name: str, values: Floats, chances: Floats) -> None:
    if values.shape != chances.shape:
        raise OffPolicyError(
            expected=f"{name} of the shape of target, {chances.shape}",
            found=str(values.shape),
            remedy="give every action of every row",
        )


def _sums_to_one(name: str, chances: Floats) -> None:
    sums = chances.sum(axis=1)
    _within(
        f"{name} to sum to 1 over the actions",
        sums,
        np.abs(sums - 1.0) <= TOLERANCE,
        "of a slate, give each item a row of its own and its probability to be in it",
    )
    _within(f"{name} from 0 to 1", chances, (chances >= 0) & (chances <= 1), "give probabilities")
