"""Learn: the outcome of a decision, and the model that predicts it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import polars as pl

from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import (
    check_choice,
    check_expression,
    check_name,
    check_owners,
    check_whole_days,
)
from flywheel_assets.errors import DeclarationError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Cadence: TypeAlias = Literal[
    "daily", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
]
METRICS = ("roc_auc", "average_precision")


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What counts as success after a decision.

    The outcome of a decision at t is positive when a row of ``fact`` for the same entity, for which
    ``where`` holds, happened in ``[t, t + horizon)`` and was known by ``t + horizon + settle``.
    Until then it is censored, which is not the same as negative. A row that names the decision it
    answers counts to that decision alone.

    Parameters
    ----------
    horizon : timedelta
        Whole days.
    settle : timedelta
        How long after the horizon late news is waited for. Whole days.
    reward : polars expression, optional
        Summed over those rows: what a success is worth. 1.0 for each success, if left out.
    """

    fact: Fact
    horizon: timedelta
    owners: Sequence[str]
    description: str
    where: pl.Expr | None = None
    reward: pl.Expr | None = None
    settle: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        check_owners(self.owners, "the outcome")
        check_whole_days(self.horizon, "the horizon of the outcome")
        if self.settle:
            check_whole_days(self.settle, "the settling time of the outcome")
        for expression in (self.where, self.reward):
            if expression is not None:
                check_expression(expression, self.fact.schema, "the outcome")

    @property
    def matures_after(self) -> timedelta:
        """From a decision to the moment at which its outcome is settled."""
        return self.horizon + self.settle


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate:
    """What a challenger must show on matured days that no model was trained on.

    Parameters
    ----------
    minimum : float
        The least metric for any champion, the first one included.
    minimum_gain : float
        By how much the metric must exceed the champion's on the same rows.
    holdout : timedelta
        The newest matured days kept for the comparison. Whole days.
    """

    minimum: float = 0.5
    minimum_gain: float = 0.0
    holdout: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        check_whole_days(self.holdout, "the holdout of the gate")


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A scikit-learn estimator, and when it is trained on what.

    Parameters
    ----------
    estimator : callable
        Builds the estimator; imports scikit-learn inside, so that loading declarations does not.
    features : tuple of str
        Columns of the flywheel's feature view.
    metric : {"roc_auc", "average_precision"}
    retrain : str
        ``"daily"`` or the weekday whose partition trains.
    training_window : timedelta
        How many matured days, the gate's holdout included. Whole days.
    trusted_types : tuple of str
        Types outside scikit-learn's own that the saved model may contain.
    """

    name: str
    estimator: Callable[[], Any]
    features: tuple[str, ...]
    training_window: timedelta
    owners: Sequence[str]
    description: str
    metric: Literal["roc_auc", "average_precision"] = "roc_auc"
    retrain: Cadence = "monday"
    gate: Gate = Gate()
    trusted_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"model {self.name!r}"
        check_name(self.name, "a model")
        check_owners(self.owners, what)
        check_choice(self.metric, METRICS, f"{what} to use a known metric")
        check_choice(self.retrain, ("daily", *WEEKDAYS), f"{what} to retrain daily or on a weekday")
        check_whole_days(self.training_window, f"the training window of {what}")
        if not callable(self.estimator):
            raise DeclarationError(
                expected=f"{what} with a function that builds its estimator",
                found=repr(self.estimator),
                remedy="wrap it: def estimator(): return LogisticRegression()",
            )
        if self.gate.holdout >= self.training_window:
            raise DeclarationError(
                expected=f"{what} with matured days left to train on",
                found=f"a holdout of {self.gate.holdout} of {self.training_window}",
                remedy="lengthen training_window",
            )
