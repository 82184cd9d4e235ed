"""Learn: the outcome of a decision, and the model that predicts it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import polars as pl

from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import (
    check_choice,
    check_count,
    check_expression,
    check_name,
    check_number,
    check_owners,
    check_share,
    check_tuple,
    check_whole_days,
)
from flywheel_assets.errors import DeclarationError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Cadence: TypeAlias = Literal[
    "daily", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
]
Metric: TypeAlias = Literal["roc_auc", "average_precision", "log_loss", "rmse", "qini"]
METRICS = ("roc_auc", "average_precision", "log_loss", "rmse", "qini")
BEST = {"roc_auc": 1, "average_precision": 1, "log_loss": 0, "rmse": 0, "qini": math.inf}
LOWER_IS_BETTER = frozenset({"log_loss", "rmse"})
Learner: TypeAlias = Literal["plain", "s", "t", "x"]
LEARNERS = ("plain", "s", "t", "x")


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What counts as success after a decision.

    The outcome of a decision at t is positive when a row of ``fact`` for the same entity, for which
    ``where`` holds, happened in ``[t, t + horizon)`` and was known by ``t + horizon + settle``;
    or ``at_least`` so many.
    Until then it is censored, which is not the same as negative. A row that names the decision it
    answers counts to that decision alone.

    Parameters
    ----------
    horizon : timedelta
        Whole days.
    settle : timedelta
        How long after the horizon late news is waited for. Whole days.
    at_least : int
        How many such rows there must be.
    reward : polars expression, optional
        Summed over those rows: what a success is worth. 1.0 for each success, if left out.
    exposure : Fact, optional
        What the product says it did, by ``decision_id``: a decision that no row of it answers
        within the horizon was not carried out, and becomes no training row. Where the fact has a
        column ``action``, it must be the action that was decided. Every decision was carried out,
        if left out. Where candidates compete for places (`TopK`, `Slate`), what other policies
        would have earned cannot be said of those alone that were carried out, and is not.
    """

    fact: Fact
    horizon: timedelta
    owners: Sequence[str]
    description: str
    where: pl.Expr | None = None
    reward: pl.Expr | None = None
    settle: timedelta = timedelta(0)
    at_least: int = 1
    exposure: Fact | None = None

    def __post_init__(self) -> None:
        check_owners(self.owners, "the outcome")
        check_whole_days(self.horizon, "the horizon of the outcome")
        if self.settle:
            check_whole_days(self.settle, "the settling time of the outcome")
        check_count(self.at_least, "at_least of the outcome")
        for expression in (self.where, self.reward):
            if expression is not None:
                check_expression(expression, self.fact.schema, "the outcome")

    @property
    def matures_after(self) -> timedelta:
        """From a decision to the moment at which its outcome is settled."""
        return self.horizon + self.settle


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate:
    """What a challenger must show on matured decisions later than all that it was trained on.

    The newest ``holdout`` matured days are judged on. Training ends where its outcomes were known
    when the first of those decisions was made: the outcome's time to mature lies between the two.

    Parameters
    ----------
    minimum : float
        The least metric for any champion, the first one included; for a metric of which less is
        better, the most.
    minimum_gain : float
        By how much the lower end of the paired bootstrap interval of the gain over the champion, on
        the same rows, must exceed zero. Below zero it is how much worse a fresher model may be. Of
        fewer than 20 entities there is no such interval, and the champion stays.
    confidence : float
        Of the intervals, from .5 to below 1.
    maximum_calibration_error : float, optional
        Expected calibration error (0 to 1) of a probability.
    minimum_policy_gain : float, optional
        The least lower bound of the off-policy value of deciding by the challenger less that of
        deciding by the champion (by the bootstrap rule, if there is none), in units of the reward
        per decision. Where the log does not support an estimate, the challenger is refused. No bar,
        if left out.
    holdout : timedelta
        The newest matured days kept for the comparison. Whole days.
    refit : bool
        Whether what is promoted is trained once more, in the same way, on everything that has
        matured. The ledger names the version that was judged, too, and challengers of later days
        are held against that one.
    """

    minimum: float = 0.5
    minimum_gain: float = 0.0
    confidence: float = 0.9
    maximum_calibration_error: float | None = None
    minimum_policy_gain: float | None = None
    holdout: timedelta = timedelta(days=7)
    refit: bool = False

    def __post_init__(self) -> None:
        check_whole_days(self.holdout, "the holdout of the gate")
        for bar in ("minimum", "minimum_gain", "confidence", "minimum_policy_gain"):
            if bar != "minimum_policy_gain" or self.minimum_policy_gain is not None:
                check_number(getattr(self, bar), f"{bar} of a gate")
        if self.maximum_calibration_error is not None:
            check_share(self.maximum_calibration_error, "maximum_calibration_error of a gate")
        if not 0.5 <= self.confidence < 1:  # noqa: PLR2004  below, limits cross
            raise DeclarationError(
                expected="the confidence of a gate from .5 to below 1",
                found=str(self.confidence),
                remedy="write 0.9 for 90%",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Drift:
    """From where on a change against the model's own training rows is worth a look.

    The score is held against scores of the rows that the training was judged on. Only a change
    beyond what chance gives one time in a thousand, with as many rows, has a level.

    Parameters
    ----------
    psi_warn, psi_error : float
        Population stability index of a feature or of the score; .1 and .25 are custom.
    ks_warn, ks_error : float
        Kolmogorov-Smirnov distance, 0 to 1.
    calibration_warn, calibration_error : float
        Expected calibration error of the score on matured decisions, 0 to 1.
    expected : tuple of str
        Features that cannot but drift, as everybody's age does from one training to the next. They
        are measured and drawn, and never at a level: nobody is called for them.
    """

    psi_warn: float = 0.1
    psi_error: float = 0.25
    ks_warn: float = 0.1
    ks_error: float = 0.25
    calibration_warn: float = 0.05
    calibration_error: float = 0.1
    expected: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_tuple(self.expected, "expected", "a drift")
        for measure in ("psi", "ks", "calibration"):
            warn, error = getattr(self, f"{measure}_warn"), getattr(self, f"{measure}_error")
            check_number(warn, f"{measure}_warn of a drift")
            check_number(error, f"{measure}_error of a drift")
            if not warn <= error:
                raise DeclarationError(
                    expected=f"a drift with {measure}_warn not above {measure}_error",
                    found=f"{measure}_warn={warn}, {measure}_error={error}",
                    remedy="correct them: what is not declared has its default",
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A scikit-learn estimator, what it learns, and when it is trained on what.

    Parameters
    ----------
    estimator : callable, optional
        Builds a classifier, a regressor or a pipeline; imports scikit-learn inside, so that loading
        declarations does not. Numeric features reach it as a float64 matrix, (n_rows,
        n_features), null as NaN; with text or times among them, all as a Polars frame. Where it
        leaves ``random_state`` open that is filled in, so that it trains the same twice. Without
        one: gradient boosted trees, behind skrub's table vectorizer where not all is numeric.
    features : tuple of str
        Columns of what a decision sees; those of arms, which come after the others.
    target : {"outcome", "reward"}
        What is predicted: whether the outcome follows (a classifier) or what it is worth (a
        regressor).
    learner : {"plain", "s", "t", "x"}
        ``plain`` knows nothing of the action. The others predict for each action: with the action
        among the features (those of its arm that are named in ``features``, or else a column of 0
        and 1 for each action but the last), with an estimator for each action, or with the
        X-learner of Künzel et al. (2019) on top of that. An action without rows to learn from is
        expected to do as all actions do together. Rows of actions that the policy no longer has
        teach these learners nothing.
    effect_estimator : callable, optional
        Builds the regressor of the X-learner's second stage, of what an action changes. Shallow
        gradient boosted trees, if left out.
    calibration : {"none", "sigmoid", "isotonic"}
        Of a probability, by 5-fold cross-validation on the training rows.
    class_weight : {"none", "balanced"}
        ``balanced``: both outcomes weigh the same together, over the rows of all actions.
    propensity_weight : bool
        Whether rows weigh 1 over the propensity of their action. Estimators that take no weights
        get rows repeated instead, and so with ``class_weight``.
    replicates : int
        How many more estimators are trained on bootstrap samples, for `Thompson`: of entities, or
        of rows, where there are fewer than 20 entities. Chance is a function of the flywheel and
        the newest day trained on.
    metric : {"roc_auc", "average_precision", "log_loss", "rmse", "qini"}
        What the gate compares. ``qini`` is the area between the uplift curve and the diagonal.
    retrain : str
        ``"daily"`` or the weekday whose partition trains.
    training_window : timedelta
        How many matured days, the gate's holdout included. Whole days.
    trusted_types : tuple of str
        Types outside scikit-learn's own that the saved model may contain.
    """

    name: str
    features: tuple[str, ...]
    training_window: timedelta
    owners: Sequence[str]
    description: str
    estimator: Callable[[], Any] | None = None
    target: Literal["outcome", "reward"] = "outcome"
    learner: Learner = "plain"
    effect_estimator: Callable[[], Any] | None = None
    calibration: Literal["none", "sigmoid", "isotonic"] = "none"
    class_weight: Literal["none", "balanced"] = "none"
    propensity_weight: bool = False
    replicates: int = 0
    from_last_change: bool = False
    metric: Metric = "roc_auc"
    retrain: Cadence = "monday"
    gate: Gate = Gate()
    drift: Drift = Drift()
    trusted_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"model {self.name!r}"
        check_name(self.name, "a model")
        check_owners(self.owners, what)
        check_tuple(self.features, "features", what)
        check_tuple(self.trusted_types, "trusted_types", what)
        check_choice(self.metric, METRICS, f"{what} to use a known metric")
        check_choice(self.learner, LEARNERS, f"{what} to use a known learner")
        check_choice(self.target, ("outcome", "reward"), f"{what} to predict outcome or reward")
        check_choice(self.calibration, ("none", "sigmoid", "isotonic"), f"{what} to be calibrated")
        check_choice(self.class_weight, ("none", "balanced"), f"class weights of {what}")
        check_choice(self.retrain, ("daily", *WEEKDAYS), f"{what} to retrain daily or on a weekday")
        check_whole_days(self.training_window, f"the training window of {what}")
        self._check_estimators(what)
        self._check_gate(what)
        if self.target == "reward" and self.metric in {"roc_auc", "average_precision", "log_loss"}:
            raise DeclarationError(
                expected=f"{what}, which predicts a reward, judged by rmse or qini",
                found=self.metric,
                remedy="write metric='rmse', or predict the outcome",
            )
        if self.target == "reward" and self.gate.maximum_calibration_error is not None:
            raise DeclarationError(
                expected=f"{what}, which predicts a reward, without a bar for calibration",
                found=f"maximum_calibration_error={self.gate.maximum_calibration_error}",
                remedy="leave it out: rmse says how far off a reward is",
            )

    def _check_gate(self, what: str) -> None:
        best, bar = BEST[self.metric], self.gate.minimum
        if not (bar >= best if self.metric in LOWER_IS_BETTER else bar <= best):
            raise DeclarationError(
                expected=f"{what} with a gate that some {self.metric} can pass",
                found=f"minimum={bar}",
                remedy=f"correct it: no {self.metric} is better than {best}",
            )
        if self.gate.holdout >= self.training_window:
            raise DeclarationError(
                expected=f"{what} with matured days left to train on",
                found=f"a holdout of {self.gate.holdout} of {self.training_window}",
                remedy="lengthen training_window",
            )

    def _check_estimators(self, what: str) -> None:
        for role in ("estimator", "effect_estimator"):
            given = getattr(self, role)
            if given is not None and not callable(given):
                raise DeclarationError(
                    expected=f"{what} with a function that builds its {role}",
                    found=repr(given),
                    remedy=f"wrap it: def {role}(): return {type(given).__name__}()",
                )
        if self.effect_estimator is not None and self.learner != "x":
            raise DeclarationError(
                expected=f"{what} with an effect_estimator for an X-learner",
                found=f"learner={self.learner!r}",
                remedy="write learner='x', or leave effect_estimator out",
            )
        check_number(self.replicates, f"replicates of {what}", whole=True)
        if self.replicates < 0:
            raise DeclarationError(
                expected=f"{what} with replicates, or none",
                found=f"replicates={self.replicates}",
                remedy="write replicates=20",
            )
        if self.target == "reward" and (self.calibration != "none" or self.class_weight != "none"):
            raise DeclarationError(
                expected=f"{what}, which predicts a reward, without calibration or class weights",
                found=f"calibration={self.calibration!r}, class_weight={self.class_weight!r}",
                remedy="leave them out, or predict the outcome",
            )
