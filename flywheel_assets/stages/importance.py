"""Importance: how much of a model's metric is lost when one of its features tells nothing.

Permutation importance, on the decisions that the gate judged the model on.
"""

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import LOWER_IS_BETTER
from flywheel_assets.declare.rules import DECISION_ID, PARTITION
from flywheel_assets.stages.metrics import measure
from flywheel_assets.stages.model import inputs
from flywheel_assets.stages.predicted import Scorer

IMPORTANCE_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "version": pl.Int64(),
    "feature": pl.String(),
    "importance": pl.Float64(),
    "deviation": pl.Float64(),
    "metric": pl.String(),
    "n_rows": pl.Int64(),
}
IMPORTANCE_COLUMNS = {
    "version": "The registered version that was judged.",
    "feature": "One of its features.",
    "importance": "What the metric loses when the feature is shuffled: the mean of some shuffles.",
    "deviation": "The standard deviation over the shuffles.",
    "metric": "What the version was judged by.",
    "n_rows": "On how many of the judged decisions.",
}
MAXIMUM_ROWS, REPEATS = 1_000, 3


class _Asked:
    """What scikit-learn takes for an estimator: the scoring alone knows the model."""

    def fit(self) -> None:
        """Be asked for by scikit-learn, and never called."""


def importance(
    holdout: pl.DataFrame, scored: Scorer, flywheel: Flywheel, version: int, day: date
) -> pl.DataFrame:
    """Shuffle each feature among the judged decisions, and see what the metric loses.

    At most a thousand decisions are drawn, and each feature is shuffled three times; chance is a
    function of the day. A feature that another one can stand in for loses little.

    Parameters
    ----------
    holdout : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``, which the model has not seen.
    scored : callable
        The model.

    Returns
    -------
    DataFrame
        One row for each feature, those of arms aside, the most important first. ``importance`` is
        in units of the declared metric, above 0 where the feature helps, with its standard
        deviation over the shuffles. No rows where the metric is not defined on these decisions.
    """
    from sklearn.inspection import permutation_importance

    model, names, seed = flywheel.model, inputs(flywheel), day.toordinal()
    rows = holdout.sort(PARTITION, DECISION_ID)
    rows = rows.sample(min(MAXIMUM_ROWS, rows.height), seed=seed)
    sign = -1.0 if model.metric in LOWER_IS_BETTER else 1.0

    def scoring(_: Any, places: npt.NDArray[np.int64], __: Any) -> float:
        moved = rows.with_columns(
            rows[name].gather(pl.Series(places[:, i])) for i, name in enumerate(names)
        )
        return sign * measure(model.metric, moved, scored(moved), flywheel)

    # What is shuffled is where each value is taken from, so that it may be of any type.
    places = np.tile(np.arange(rows.height)[:, None], len(names))
    if not names or not np.isfinite(scoring(None, places, None)):
        return pl.DataFrame(schema=IMPORTANCE_SCHEMA)
    found = permutation_importance(
        _Asked(),
        places,
        np.zeros(rows.height),
        scoring=scoring,
        n_repeats=REPEATS,
        random_state=seed,
    )
    # On few rows a shuffle may leave a metric without what it compares.
    lost = pl.DataFrame(found.importances.T, schema=names).unpivot(variable_name="feature")
    defined = pl.col("value").fill_nan(None)
    return (
        lost.group_by("feature", maintain_order=True)
        .agg(importance=defined.mean(), deviation=defined.std(ddof=0))
        .with_columns(
            pl.lit(day).alias(PARTITION),
            pl.lit(version, dtype=pl.Int64).alias("version"),
            pl.lit(model.metric).alias("metric"),
            pl.lit(rows.height, dtype=pl.Int64).alias("n_rows"),
        )
        .select(*IMPORTANCE_SCHEMA)
        .sort("importance", "feature", descending=[True, False], nulls_last=True)
    )
