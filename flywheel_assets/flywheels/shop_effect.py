"""What a contact changes: a regression of who orders, whose effect has few terms, held back.

A module of its own, so that a saved model can be loaded; import it inside functions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

Floats = npt.NDArray[np.float64]
OUTLIER = 3.0  # standard deviations, beyond which a feature changes the effect no further


class EffectRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Expect an amount: the chance of any, which an action changes, times what an order is worth.

    Learnt from is only whether there was an amount: how large an order happens to be is noise that
    a contact does not change, and there is much of it. The level is a sum of splines of all
    features. The effect is linear, on the scale of log odds, in a few of them.

    Parameters
    ----------
    n_effect : int
        How many features, the last before the action, change the effect.
    log_value : int
        The column of the log of what an order is worth.
    alpha : float
        Penalty of the level's squared coefficients, beside the mean loss of a row.
    held_back : float
        Penalty of the effect's squared coefficients, beside the summed loss of all rows: a prior,
        which the fewer rows do not lift that there are after a change.

    Examples
    --------
    >>> X = np.column_stack([np.zeros(400), np.repeat([0.0, 1.0], 200), np.tile([0.0, 1.0], 200)])
    >>> often = 0.2 + 0.5 * X[:, 1] * X[:, 2]  # what acts only where the second column is 1
    >>> y = 10 * (np.arange(400) // 2 % 10 < 10 * often)
    >>> model = EffectRegressor(n_effect=1, log_value=0, alpha=1e-6, held_back=4e-4).fit(X, y)
    >>> model.predict([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).round(2)
    array([0.2, 0.7])
    """

    def __init__(self, n_effect: int, log_value: int, alpha: float, held_back: float) -> None:
        self.n_effect = n_effect
        self.log_value = log_value
        self.alpha = alpha
        self.held_back = held_back

    def fit(self, X: Any, y: Any, sample_weight: Floats | None = None) -> "EffectRegressor":  # noqa: N803
        """Fit on (n_rows, n_features + 1), the action, 0 or 1, last."""
        X = np.asarray(X, dtype=np.float64)  # noqa: N806
        self.level_ = make_pipeline(
            StandardScaler(),
            SplineTransformer(n_knots=3, degree=2, extrapolation="linear"),
            StandardScaler(),
        )
        self.scaler_ = StandardScaler()
        self.shrunk_ = np.sqrt(self.alpha * len(X) / self.held_back)
        level = self.level_.fit_transform(X[:, :-1])
        changing = self.scaler_.fit_transform(self._changing(X))
        self.classifier_ = LogisticRegression(
            C=1 / (self.alpha * len(X)), solver="newton-cholesky", max_iter=100
        ).fit(self._terms(level, changing, X), np.asarray(y) > 0, sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Expect the amount, (n_rows,)."""
        X = np.asarray(X, dtype=np.float64)  # noqa: N806
        level = self.level_.transform(X[:, :-1])
        changing = self.scaler_.transform(self._changing(X))
        chance = self.classifier_.predict_proba(self._terms(level, changing, X))[:, 1]
        return np.asarray(chance * np.exp(X[:, self.log_value]))

    def _changing(self, X: Floats) -> Floats:  # noqa: N803
        return X[:, -1 - self.n_effect : -1]

    def _terms(self, level: Floats, changing: Floats, X: Floats) -> Floats:  # noqa: N803
        """Lay out what the log odds are linear in; small terms are penalized more."""
        acting = X[:, -1:] * self.shrunk_
        return np.hstack([level, acting, acting * changing.clip(-OUTLIER, OUTLIER)])
