"""Estimators of what each action leads to, made of any scikit-learn estimator.

They are scikit-learn estimators themselves, in a module of their own, so that what is saved can be
loaded wherever flywheel_assets is installed. This module imports scikit-learn: import it inside
functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import has_fit_parameter

Floats: TypeAlias = npt.NDArray[np.float64]
Table: TypeAlias = Floats | pl.DataFrame


def expected(estimator: Any, table: Table) -> Floats:
    """Give what an estimator expects: (n_rows, n_actions), or (n_rows, 1).

    The probability of the positive outcome from a classifier, the prediction from all others.
    """
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(table)[:, 1:], dtype=np.float64)
    return np.asarray(estimator.predict(table), dtype=np.float64).reshape(len(table), -1)


def table_of(rows: pl.DataFrame, names: Sequence[str], *, framed: bool) -> Table:
    """Give features as a frame, or as a float64 matrix, (n_rows, n_features), null as NaN."""
    if framed:
        return rows.select(names)
    return rows.select(pl.col(names).cast(pl.Float64)).to_numpy(order="c")


def take(table: Table, rows: npt.NDArray[Any]) -> Table:
    """Give some rows of a table, by mask or by number."""
    if isinstance(table, pl.DataFrame):
        return table.filter(rows) if rows.dtype == np.bool_ else table[rows]
    chosen: Floats = table[rows]
    return chosen


def _estimator_has(name: str) -> Callable[["Weighted"], bool]:
    return lambda weighted: hasattr(weighted.estimator, name)


class Weighted(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Any estimator, made to take weights.

    They go to the estimator, or to the last step of a pipeline, when that takes them. Otherwise
    rows are repeated: each as often as it weighs, rounded so that the sum comes out right
    (systematic resampling, without chance), so that whole weights are exact.

    Parameters
    ----------
    estimator : scikit-learn estimator
    balanced : bool
        Whether both outcomes weigh the same together, on top of the weights given.
    """

    def __init__(self, estimator: Any, *, balanced: bool = False) -> None:
        self.estimator = estimator
        self.balanced = balanced

    def fit(self, X: Table, y: Floats, sample_weight: Floats | None = None) -> "Weighted":  # noqa: N803
        """Fit on rows that weigh 1 each, if nothing else is said."""
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        if self.balanced:
            weight = weight * compute_sample_weight("balanced", y)
        estimator = clone(self.estimator)
        name = _weight_parameter(estimator)
        if name is None:
            rows = np.repeat(np.arange(len(y)), _times(weight))
            self.estimator_ = estimator.fit(take(X, rows), y[rows])
        else:
            self.estimator_ = estimator.fit(X, y, **{name: weight})
        if is_classifier(estimator):
            self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Table) -> Any:  # noqa: N803
        """Predict as the estimator does."""
        return self.estimator_.predict(X)

    @available_if(_estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Table) -> Any:  # noqa: N803
        """Give probabilities as the estimator does."""
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Table) -> Any:  # noqa: N803
        """Give distances as the estimator does."""
        return self.estimator_.decision_function(X)

    def __sklearn_tags__(self) -> Any:
        """Be a classifier, or a regressor, as the estimator is."""
        return get_tags(self.estimator)


def _balanced_together(
    estimator: Any, target: Floats, weight: Floats | None
) -> tuple[Any, Floats | None]:
    """Let outcomes weigh the same over the rows of all actions, where they are to.

    Over each action's own, all actions would be expected to do as well as any other.
    """
    if not (isinstance(estimator, Weighted) and estimator.balanced):
        return estimator, weight
    classes = compute_sample_weight("balanced", target)
    return Weighted(estimator.estimator), classes if weight is None else weight * classes


def _weight_parameter(estimator: Any) -> str | None:
    if isinstance(estimator, Pipeline):
        inner = _weight_parameter(estimator.steps[-1][1])
        return inner and f"{estimator.steps[-1][0]}__{inner}"
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None


def _times(weight: Floats) -> npt.NDArray[np.int64]:
    """Round weights to whole numbers of the same sum."""
    steps = np.floor(np.cumsum(weight) + 0.5).astype(np.int64)
    return np.diff(steps, prepend=0)


def fits(estimator: Any, target: Floats) -> bool:
    """Say whether there is enough to fit: both outcomes for a classifier, each in every fold."""
    if not is_classifier(estimator):
        return len(target) > 0
    least = estimator.cv if isinstance(estimator, CalibratedClassifierCV) else 1
    counts = np.unique(target, return_counts=True)[1]
    return len(counts) > 1 and int(counts.min()) >= least


def fit_some(
    estimator: Any, table: Table, target: Floats, weight: Floats | None, pooled: float
) -> Any:
    """Fit on rows of which there may be too few: those of one action, or of one sample.

    Without enough of them (see `fits`) the mean is expected of everybody: that of the rows, drawn
    towards ``pooled`` as if one more row had it. So an action that nobody has tried is expected to
    do as all actions do together.
    """
    if not fits(estimator, target):
        share = np.ones(len(target)) if weight is None else weight
        mean = float((share @ target + pooled) / (share.sum() + 1))
        return DummyRegressor(strategy="constant", constant=mean).fit([[0.0]], [mean])
    if weight is None:
        return clone(estimator).fit(table, target)
    return clone(estimator).fit(table, target, sample_weight=weight)


@dataclass(frozen=True)
class Sample:
    """Rows to train on.

    Parameters
    ----------
    table : ndarray of float64 or DataFrame, (n_rows, n_features)
    target : ndarray of float64, (n_rows,)
    action : ndarray of int64, (n_rows,)
        The number of the action that was taken.
    weight : ndarray of float64, (n_rows,), optional
    cluster : ndarray of int64, (n_rows,), optional
        The number of what rows belong to that depend on each other; without it each is on its own.
    """

    table: Table
    target: Floats
    action: npt.NDArray[np.int64]
    weight: Floats | None
    cluster: npt.NDArray[np.int64] | None = None

    def fit(self, learner: Any) -> Any:
        """Fit a learner, or a plain estimator, which is not told the actions."""
        weight = None if self.weight is None else self.weight / self.weight.mean()
        if isinstance(learner, SLearner | TLearner | XLearner):
            return learner.fit(self.table, self.target, action=self.action, sample_weight=weight)
        pooled = float(np.average(self.target, weights=weight))
        return fit_some(learner, self.table, self.target, weight, pooled)

    def drawn(self, seed: int) -> "Sample":
        """Draw a bootstrap sample: as many clusters, with replacement; rows weigh as often."""
        cluster = np.arange(len(self.target)) if self.cluster is None else self.cluster
        numbers, which = np.unique(cluster, return_inverse=True)
        drawn = np.random.default_rng(seed).integers(0, len(numbers), len(numbers))
        times = np.bincount(drawn, minlength=len(numbers))[which]
        rows = times > 0
        weight = times if self.weight is None else times * self.weight
        return Sample(
            take(self.table, rows), self.target[rows], self.action[rows], weight[rows].astype(float)
        )


def levels(learner: Any) -> Any:
    """Give what a learner learns the levels of outcomes by."""
    return learner.estimator if isinstance(learner, SLearner | TLearner | XLearner) else learner


class SLearner(BaseEstimator):  # type: ignore[misc]
    """One estimator, with the action among its features.

    Parameters
    ----------
    estimator : scikit-learn estimator
    names : sequence of str, (n_action_features,)
        Of the columns that tell actions apart; they come after the others.
    values : sequence of sequences of float, (n_actions, n_action_features)
    """

    def __init__(
        self, estimator: Any, names: Sequence[str], values: Sequence[Sequence[float]]
    ) -> None:
        self.estimator = estimator
        self.names = names
        self.values = values

    def fit(
        self,
        X: Table,  # noqa: N803
        y: Floats,
        *,
        action: npt.NDArray[np.int64],
        sample_weight: Floats | None = None,
    ) -> "SLearner":
        """Fit on rows with the number of their action, (n_rows,)."""
        columns = np.asarray(self.values, dtype=np.float64)[action]
        pooled = float(np.average(y, weights=sample_weight))
        self.estimator_ = fit_some(
            self.estimator, self._beside(X, columns), y, sample_weight, pooled
        )
        return self

    def predict(self, X: Table) -> Floats:  # noqa: N803
        """Expect for each action: (n_rows, n_actions)."""
        values = np.asarray(self.values, dtype=np.float64)
        return np.hstack(
            [
                expected(self.estimator_, self._beside(X, np.broadcast_to(v, (len(X), len(v)))))
                for v in values
            ]
        )

    def _beside(self, table: Table, columns: Floats) -> Table:
        if isinstance(table, pl.DataFrame):
            added = [pl.Series(n, columns[:, i]) for i, n in enumerate(self.names)]
            return table.with_columns(added)
        return np.hstack([table, columns])


class TLearner(BaseEstimator):  # type: ignore[misc]
    """An estimator for each action; see `fit_some` for actions with too few rows."""

    def __init__(self, estimator: Any, n_actions: int) -> None:
        self.estimator = estimator
        self.n_actions = n_actions

    def fit(
        self,
        X: Table,  # noqa: N803
        y: Floats,
        *,
        action: npt.NDArray[np.int64],
        sample_weight: Floats | None = None,
    ) -> "TLearner":
        """Fit on rows with the number of their action, (n_rows,)."""
        estimator, weights = _balanced_together(self.estimator, y, sample_weight)
        pooled = float(np.average(y, weights=weights))
        self.estimators_ = []
        for number in range(self.n_actions):
            rows = action == number
            weight = None if weights is None else weights[rows]
            self.estimators_.append(fit_some(estimator, take(X, rows), y[rows], weight, pooled))
        return self

    def predict(self, X: Table) -> Floats:  # noqa: N803
        """Expect for each action: (n_rows, n_actions)."""
        return np.hstack([expected(each, X) for each in self.estimators_])


class XLearner(BaseEstimator):  # type: ignore[misc]
    """What each action changes against the last one, learnt from both sides (Künzel et al. 2019).

    A T-learner first. Then, for each action, what acting changed is imputed for those acted on
    (their outcome less what is expected of them otherwise) and for the others (what is expected of
    them when acted on, less their outcome), and a regressor is fitted to each. They are averaged,
    the first weighing the share of the others, so that the side with more rows lends the levels
    and that with fewer does not have to. Where a side has no rows the T-learner's word stands.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Of the levels.
    effect_estimator : scikit-learn regressor
    n_actions : int

    References
    ----------
    Künzel, Sekhon, Bickel and Yu, "Metalearners for estimating heterogeneous treatment effects
    using machine learning", PNAS 116 (2019).
    """

    def __init__(self, estimator: Any, effect_estimator: Any, n_actions: int) -> None:
        self.estimator = estimator
        self.effect_estimator = effect_estimator
        self.n_actions = n_actions

    def fit(
        self,
        X: Table,  # noqa: N803
        y: Floats,
        *,
        action: npt.NDArray[np.int64],
        sample_weight: Floats | None = None,
    ) -> "XLearner":
        """Fit on rows with the number of their action, (n_rows,)."""
        estimator, weights = _balanced_together(self.estimator, y, sample_weight)
        self.levels_ = TLearner(estimator, self.n_actions).fit(
            X, y, action=action, sample_weight=weights
        )
        level = self.levels_.predict(X)
        held = action == self.n_actions - 1
        self.effects_: list[Any] = []
        for number in range(self.n_actions - 1):
            acted = action == number
            if not (acted.any() and held.any()):
                self.effects_.append(None)
                continue
            sides = []
            for rows, change in ((acted, y - level[:, -1]), (held, level[:, number] - y)):
                weight = None if weights is None else weights[rows]
                table = take(X, rows)
                sides.append(fit_some(self.effect_estimator, table, change[rows], weight, 0.0))
            self.effects_.append((float(acted.sum() / (acted.sum() + held.sum())), *sides))
        return self

    def predict(self, X: Table) -> Floats:  # noqa: N803
        """Expect for each action: (n_rows, n_actions)."""
        levels = self.levels_.estimators_
        last = expected(levels[-1], X)
        found = []
        for level, effect in zip(levels[:-1], self.effects_, strict=True):
            if effect is None:
                found.append(expected(level, X))
                continue
            share, acted, held = effect
            change = (1 - share) * expected(acted, X) + share * expected(held, X)
            found.append(last + change)
        every = np.hstack([*found, last])
        return np.clip(every, 0.0, 1.0) if is_classifier(self.estimator) else every


class Trained(BaseEstimator):  # type: ignore[misc]
    """What a training leaves: a model that knows its features, its actions and its replicates.

    Parameters
    ----------
    features : sequence of str
        Columns of what a decision sees, in the order in which the model takes them.
    actions : sequence of str
        That the columns of what it expects stand for; empty for a model that knows of none.
    framed : bool
        Whether it takes a Polars frame; a float64 matrix, null as NaN, if not.
    estimator : fitted estimator
    replicates : sequence of fitted estimators
    """

    def __init__(
        self,
        features: Sequence[str],
        actions: Sequence[str],
        *,
        framed: bool,
        estimator: Any,
        replicates: Sequence[Any] = (),
    ) -> None:
        self.features = features
        self.actions = actions
        self.framed = framed
        self.estimator = estimator
        self.replicates = replicates

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Expect for each action: (n_rows, n_actions), or (n_rows, 1).

        Parameters
        ----------
        X : Polars or pandas frame with the features among its columns, or the table as it is used
        """
        if hasattr(X, "iloc"):
            X = pl.from_pandas(X[list(self.features)])  # noqa: N806
        if isinstance(X, pl.DataFrame):
            X = table_of(X, self.features, framed=self.framed)  # noqa: N806
        return expected(self.estimator, X)

    def __sklearn_is_fitted__(self) -> bool:
        """Say that it is: it is made of fitted estimators."""
        return True
