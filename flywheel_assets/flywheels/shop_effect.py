"""What a contact changes: a Poisson regression whose effect has few terms, held back.

A module of its own, so that a saved model can be loaded; import it inside functions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

Floats = npt.NDArray[np.float64]
OUTLIER = 3.0  # standard deviations, beyond which a feature changes the effect no further


class EffectRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Expect an amount: orders, which an action multiplies, times what an order is worth.

    The amount is divided by the worth of an order, so that what is learnt from is a count: the
    purchases of those who spend much are no noisier. The level is a sum of splines of all features.
    The effect is linear, on the log scale, in a few of them.

    Parameters
    ----------
    n_effect : int
        How many features, the last before the action, change the effect.
    log_value : int
        The column of the log of what an order is worth.
    alpha : float
        Penalty of the level's squared coefficients.
    held_back : float
        How many times the effect's squared coefficients are penalized more.

    Examples
    --------
    >>> X = np.column_stack([np.zeros(400), np.repeat([0.0, 1.0], 200), np.tile([0.0, 1.0], 200)])
    >>> y = 1.0 + X[:, 1] * X[:, 2]  # what acts only where the second column is 1
    >>> model = EffectRegressor(n_effect=1, log_value=0, alpha=1e-6, held_back=1.0).fit(X, y)
    >>> model.predict([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).round(2)
    array([1., 2.])
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
        level = self.level_.fit_transform(X[:, :-1])
        changing = self.scaler_.fit_transform(self._changing(X))
        self.regressor_ = PoissonRegressor(
            alpha=self.alpha, solver="newton-cholesky", max_iter=100
        ).fit(self._terms(level, changing, X), y / self._worth(X), sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Expect the amount, (n_rows,)."""
        X = np.asarray(X, dtype=np.float64)  # noqa: N806
        level = self.level_.transform(X[:, :-1])
        changing = self.scaler_.transform(self._changing(X))
        counts = self.regressor_.predict(self._terms(level, changing, X))
        return np.asarray(counts * self._worth(X))

    def _changing(self, X: Floats) -> Floats:  # noqa: N803
        return X[:, -1 - self.n_effect : -1]

    def _worth(self, X: Floats) -> Floats:  # noqa: N803
        return np.asarray(np.exp(X[:, self.log_value]))

    def _terms(self, level: Floats, changing: Floats, X: Floats) -> Floats:  # noqa: N803
        """Lay out what the log of the count is linear in; small terms are penalized more."""
        acting = X[:, -1:] / np.sqrt(self.held_back)
        return np.hstack([level, acting, acting * changing.clip(-OUTLIER, OUTLIER)])
