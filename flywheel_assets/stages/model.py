"""Model: a challenger trained on matured decisions, and held against the champion on newer ones."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.declare.learn import WEEKDAYS, Model
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.training_set import LABEL

Scorer = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

MODEL_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "trained": pl.Boolean(),
    "version": pl.Int64(),
    "n_rows": pl.Int64(),
    "n_holdout": pl.Int64(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "champion_version": pl.Int64(),
    "champion_value": pl.Float64(),
    "promoted": pl.Boolean(),
    "verdict": pl.String(),
}
PROMOTION_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "version": pl.Int64(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "champion_version": pl.Int64(),
    "champion_value": pl.Float64(),
    "reason": pl.String(),
    "by": pl.String(),
}


@dataclass(frozen=True)
class Verdict:
    """What came of holding a challenger against the gate."""

    promoted: bool
    reason: str
    value: float | None
    champion_value: float | None


def trains_on(model: Model, day: date) -> bool:
    """Say whether the cadence has a training on a day.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> trains_on(SimpleNamespace(retrain="monday"), date(2026, 11, 23))
    True
    """
    return model.retrain in ("daily", WEEKDAYS[day.weekday()])


def matrix(rows: pl.DataFrame, model: Model) -> npt.NDArray[np.float64]:
    """Give the model's features, (n_rows, n_features), null as NaN."""
    features = rows.select(pl.col(f).cast(pl.Float64) for f in model.features)
    return features.to_numpy().astype(np.float64)


def split(rows: pl.DataFrame, model: Model, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part matured rows into those to train on and the newest, which no model has seen."""
    cut = day - model.gate.holdout
    oldest = day - model.training_window
    inside = rows.filter(pl.col(PARTITION) > oldest, pl.col(PARTITION) <= day)
    return inside.filter(pl.col(PARTITION) <= cut), inside.filter(pl.col(PARTITION) > cut)


def shortage(train: pl.DataFrame, holdout: pl.DataFrame) -> str | None:
    """Say why there is nothing to train or to judge on, if so."""
    for name, rows in (("training", train), ("holdout", holdout)):
        if rows.is_empty():
            return f"no matured decisions in the {name} days yet"
        if rows[LABEL].n_unique() < 2:  # noqa: PLR2004  both outcomes
            return f"only one outcome in the {name} days"
    return None


def measure(metric: str, label: npt.NDArray[Any], score: npt.NDArray[np.float64]) -> float:
    """Compute a declared metric.

    Parameters
    ----------
    label : ndarray of 0 and 1, (n_rows,)
    score : ndarray of float64, (n_rows,)
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scorer = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}[metric]
    return float(scorer(label, score))


def judge(
    model: Model, holdout: pl.DataFrame, challenger: Scorer, champion: Scorer | None
) -> Verdict:
    """Hold a challenger against the gate, and against the champion on the same rows."""
    features, label = matrix(holdout, model), holdout[LABEL].to_numpy()
    scores = challenger(features)
    if not np.isfinite(scores).all():
        return Verdict(
            promoted=False, reason="it scores NaN or infinity", value=None, champion_value=None
        )
    value = measure(model.metric, label, scores)
    beaten = measure(model.metric, label, champion(features)) if champion else None
    gate = model.gate
    if value < gate.minimum:
        reason = f"{model.metric} {value:.4f} is below the least allowed, {gate.minimum}"
        return Verdict(promoted=False, reason=reason, value=value, champion_value=beaten)
    if beaten is None:
        reason = f"the first champion, {model.metric} {value:.4f}"
        return Verdict(promoted=True, reason=reason, value=value, champion_value=None)
    gain = value - beaten
    promoted = gain > gate.minimum_gain
    word = "beats" if promoted else "does not beat"
    reason = f"{model.metric} {value:.4f} {word} the champion's {beaten:.4f} ({gain:+.4f})"
    return Verdict(promoted=promoted, reason=reason, value=value, champion_value=beaten)


def window(model: Model, day: date) -> tuple[date, date]:
    """Give the first and last training-set partition that a training on a day reads."""
    return day - model.training_window + timedelta(days=1), day
