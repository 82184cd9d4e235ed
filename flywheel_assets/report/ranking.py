"""How well the score ranks and means what it says, on decisions that matured; and by what chance.

What is looked at is bounded: the newest matured days, as many as hold about half a million rows.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stages.drift import scored_by_probability
from flywheel_assets.stages.metrics import calibration_bins
from flywheel_assets.stages.training_set import LABEL, training_schema
from flywheel_assets.stores.tables import Tables

LOOKED_BACK = timedelta(days=28)
DECIDED_BACK = timedelta(days=7)
MOST_ROWS = 500_000
RARE = 0.05
_POINTS, _BINS = 80, 10


@dataclass(frozen=True)
class Ranking:
    """Curves of the score against the outcome.

    Parameters
    ----------
    curve : DataFrame
        ``x``, ``y``: false against true positives, or recall against precision if ``rare``.
    area : float, optional
        Below it: ROC AUC, or average precision; None without both outcomes.
    rate : float, optional
        The outcome's.
    calibration : DataFrame
        ``said``, ``came``, ``n_rows`` of ten groups of about as many rows; empty where the score is
        no probability of the outcome.
    """

    curve: pl.DataFrame
    area: float | None
    rate: float | None
    rare: bool
    calibration: pl.DataFrame
    n_rows: int
    first: date | None
    last: date | None


def ranking(tables: Tables, flywheel: Flywheel, last: date) -> Ranking:
    """Draw the curves of what models decided among the newest matured days."""
    schema = training_schema(flywheel)
    names = [PARTITION, "action", "score", "propensity", "model_version", LABEL]
    wanted = {name: schema[name] for name in names}
    rows = tables.read(f"{flywheel.name}/training_set", wanted, last - LOOKED_BACK, last)
    scored = _bounded(rows.filter(pl.col("model_version").is_not_null()))
    known = scored.filter(pl.col("score").is_finite())
    label, score = known[LABEL].to_numpy(), known["score"].to_numpy()
    rate = float(label.mean()) if known.height else None
    rare = rate is not None and is_rare(rate)
    curve, area = curve_of(label, score, rare=rare)
    judged = scored_by_probability(scored, flywheel)
    return Ranking(
        curve=curve,
        area=area,
        rate=rate,
        rare=rare,
        calibration=calibration_of(pl.DataFrame() if judged is None else judged),
        n_rows=known.height,
        first=known.select(pl.col(PARTITION).min()).item(),
        last=known.select(pl.col(PARTITION).max()).item(),
    )


def propensities(tables: Tables, flywheel: Flywheel, last: date) -> pl.DataFrame:
    """Count decisions of the newest week: ``action``, ``at_least`` (a tenth), ``n``."""
    schema = decision_schema(flywheel)
    wanted = {name: schema[name] for name in (PARTITION, "action", "propensity")}
    rows = tables.read(f"{flywheel.name}/decisions", wanted, last - DECIDED_BACK, last)
    tenth = (pl.col("propensity") * 10).floor().clip(0, 9) / 10
    counted = rows.group_by("action", tenth.alias("at_least")).agg(pl.len().alias("n"))
    return counted.sort("action", "at_least").collect()


def _bounded(rows: pl.LazyFrame) -> pl.DataFrame:
    """Keep the newest days that together hold no more than so many rows, and at least one."""
    sizes = rows.group_by(PARTITION).len().sort(PARTITION, descending=True).collect()
    kept = sizes.filter((pl.col("len").cum_sum() <= MOST_ROWS) | (pl.int_range(pl.len()) == 0))
    first = kept.select(pl.col(PARTITION).min()).item()
    if first is None:
        return rows.collect()
    return rows.filter(pl.col(PARTITION) >= first).collect()


def is_rare(rate: float) -> bool:
    """Say whether the outcome is so rare that precision and recall tell more than the ROC curve."""
    return rate < RARE


def curve_of(
    label: npt.NDArray[Any], score: npt.NDArray[Any], *, rare: bool
) -> tuple[pl.DataFrame, float | None]:
    """Give the ROC curve, or precision against recall, thinned; and the area below all of it.

    Parameters
    ----------
    label, score : array, (n_rows,)

    Returns
    -------
    DataFrame, float or None
        ``x``, ``y``; empty and None without both outcomes.
    """
    positives = int(label.sum())
    if not 0 < positives < len(label):
        return pl.DataFrame(schema={"x": pl.Float64, "y": pl.Float64}), None
    order = np.argsort(-score, kind="stable")
    # Among equals only the last counts: a threshold takes all of them or none.
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(label[order])[last].astype(np.float64)
    recall, precision = hits / positives, hits / (last + 1)
    false = (last + 1 - hits) / (len(label) - positives)
    if rare:
        x, y = recall, precision
        area = float((np.diff(recall, prepend=0.0) * precision).sum())
    else:
        x, y = np.insert(false, 0, 0.0), np.insert(recall, 0, 0.0)
        area = float(np.trapezoid(y, x))
    grid = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
    return pl.DataFrame({"x": x[grid], "y": y[grid]}), area


def calibration_of(judged: pl.DataFrame) -> pl.DataFrame:
    """Give ``said``, ``came``, ``n_rows`` of ten groups by ``score``, in the bins of its error.

    Groups are of about as many rows each. Rows of one score are in one group: to part them would be
    to say that of one number less and more came true.

    Examples
    --------
    >>> calibration_of(pl.DataFrame({"score": [0.5] * 20, LABEL: [0, 1] * 10})).rows()
    [(0.5, 0.5, 20)]
    """
    if judged.is_empty():
        return pl.DataFrame(schema={"said": pl.Float64, "came": pl.Float64, "n_rows": pl.Int64})
    group = pl.Series("group", calibration_bins(judged["score"].to_numpy(), _BINS))
    return (
        judged.group_by(group)
        .agg(
            pl.col("score").mean().alias("said"),
            pl.col(LABEL).mean().alias("came"),
            pl.len().cast(pl.Int64).alias("n_rows"),
        )
        .sort("group")
        .drop("group")
    )
