"""Performance: what the decisions that matured were worth, beside simpler rankings."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl

from flywheel_assets.declare.allocate import Arms, Slate, Threshold
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF, DECISION_ID, PARTITION
from flywheel_assets.stages.decisions import DECIDED_AT, acted_on
from flywheel_assets.stages.metrics import qini, roc_auc, uplift_at_k
from flywheel_assets.stages.training_set import LABEL, REWARD, decided_on

SCORE, _VALUE, _ACTED = "score", "_value", "_acted"
PERFORMANCE_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "ranking": pl.String(),
    "n_decisions": pl.Int64(),
    "outcome_rate": pl.Float64(),
    "roc_auc": pl.Float64(),
    "precision_at_capacity": pl.Float64(),
    "qini": pl.Float64(),
    "uplift_at_k": pl.Float64(),
    "acted": pl.Int64(),
    "acted_outcome_rate": pl.Float64(),
    "held_outcome_rate": pl.Float64(),
    "explored_outcome_rate": pl.Float64(),
    "reward": pl.Float64(),
    "model_version": pl.Int64(),
}
PERFORMANCE_COLUMNS = {
    "ranking": "The logged score, or one of the policy's baselines on the same rows.",
    "n_decisions": "Decisions that matured on the day.",
    "outcome_rate": "The share of them that the outcome followed.",
    "roc_auc": "Of the ranking against the outcome.",
    "precision_at_capacity": "The outcome rate of as many of the best as the policy acts on.",
    "qini": "Of the ranking against what acting changed in the reward, by explored decisions.",
    "uplift_at_k": "What acting changed in the reward among the best 30%, per decision.",
    "acted": "How many were acted on.",
    "acted_outcome_rate": "The outcome rate of those.",
    "held_outcome_rate": "The outcome rate of the others.",
    "explored_outcome_rate": "The outcome rate of those that chance chose to act on.",
    "reward": "What those acted on were worth; with arms, all.",
}


def performance(matured: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame:
    """Measure each matured day, for the score and for each baseline ranking.

    Parameters
    ----------
    matured : DataFrame
        Rows of ``<flywheel>/training_set``.

    Returns
    -------
    DataFrame
        One row for each day and ranking. ``roc_auc`` is null where a day has one outcome only.
    """
    rows = [
        row
        for day in matured.sort(PARTITION).partition_by(PARTITION, maintain_order=True)
        for row in _day(day, flywheel)
    ]
    return pl.DataFrame(rows, schema=PERFORMANCE_SCHEMA, orient="row")


def pooled(matured: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame:
    """Measure the days of a range together.

    Returns
    -------
    DataFrame
        ``ranking``, ``n_decisions``, ``roc_auc`` over all rows at once, and
        ``precision_at_capacity``: the outcome rate of each day's best, averaged over all of them;
        as many as the policy acts on, and under its limits: of a slate its best items, of a card
        its best transaction. With arms all are acted on.
        ``qini`` and ``uplift_at_k``, of the reward and for a k of .3: null with arms, and where
        chance decided too little to tell.
    """
    found = []
    for name, values in _rankings(matured, flywheel):
        ranked = matured.with_columns(
            values.alias(_VALUE),
            pl.col(DECIDED_AT).alias(AS_OF),
            acted_on(flywheel.policy).alias(_ACTED),
        )
        found.append(
            {
                "ranking": name,
                "n_decisions": matured.height,
                "roc_auc": _auc(ranked),
                "precision_at_capacity": _acted_on(ranked, flywheel.policy)[LABEL].mean(),
                **_uplift(matured, values, flywheel),
            }
        )
    return pl.DataFrame(found)


def by_rule(matured: pl.DataFrame, flywheel: Flywheel) -> list[date]:
    """Name the days on which the bootstrap rule decided: their score is the rule's, no model's.

    Parameters
    ----------
    matured : DataFrame
        Rows of ``<flywheel>/training_set``.
    """
    ruled = matured.filter(pl.col("model_version").is_null())[PARTITION].unique().sort()
    return [decided_on(flywheel, day) for day in ruled]


def _rankings(rows: pl.DataFrame, flywheel: Flywheel) -> Iterator[tuple[str, pl.Series]]:
    frame = rows.with_columns(pl.col(DECIDED_AT).alias(AS_OF))
    yield SCORE, _lowest_unknown(rows[SCORE])
    for name, expression in flywheel.policy.baselines.items():
        ranked = frame.select(expression.cast(pl.Float64).alias(name)).to_series()
        yield name, _lowest_unknown(ranked)


def _lowest_unknown(values: pl.Series) -> pl.Series:
    """Give ranks from 1, the least first, and 0 to what cannot be ranked.

    The metrics depend on the order alone, and nothing is below an infinity but by rank.
    """
    return values.fill_nan(None).rank("dense").cast(pl.Float64).fill_null(0.0)


def _acted_on(ranked: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Keep those whom the policy would act on by a ranking alone, with nothing left to chance.

    By a level as many as it acted on: of another ranking's values the level says nothing.
    """
    allocation, by = policy.allocation, [PARTITION]
    best = ranked.sort(_VALUE, DECISION_ID, descending=[True, False])
    place = pl.int_range(pl.len())
    if isinstance(allocation, Arms):
        return best
    if isinstance(allocation, Threshold):
        return best.filter(place.over(by) < pl.col(_ACTED).sum().over(by))
    if isinstance(allocation, Slate):
        by, places, limits = [*by, allocation.per], allocation.size, dict(allocation.at_most)
    else:
        places, limits = allocation.capacity, {allocation.each: 1} if allocation.each else {}
    for column, most in limits.items():
        best = best.filter(pl.col(column).is_null() | (place.over([*by, column]) < most))
    return best.filter(place.over(by) < places)


def _day(day: pl.DataFrame, flywheel: Flywheel) -> Iterator[tuple[object, ...]]:
    acts = acted_on(flywheel.policy)
    acted, held = day.filter(acts), day.filter(~acts)
    # Each arm earns; to do nothing earns nothing that a policy could claim.
    earning = day if isinstance(flywheel.policy.allocation, Arms) else acted
    figures = pooled(day, flywheel)
    for row in figures.iter_rows(named=True):
        yield (
            day[PARTITION][0],
            row["ranking"],
            day.height,
            day[LABEL].mean(),
            row["roc_auc"],
            row["precision_at_capacity"],
            row["qini"],
            row["uplift_at_k"],
            acted.height,
            acted[LABEL].mean(),
            held[LABEL].mean(),
            acted.filter("explored")[LABEL].mean(),
            earning[REWARD].sum(),
            day["model_version"][0] if row["ranking"] == SCORE else None,
        )


def _uplift(rows: pl.DataFrame, values: pl.Series, flywheel: Flywheel) -> dict[str, float | None]:
    unknown: dict[str, float | None] = {"qini": None, "uplift_at_k": None}
    if isinstance(flywheel.policy.allocation, Arms):
        return unknown
    ranked = rows.with_columns(values.alias("value"), acted_on(flywheel.policy).alias(_ACTED))
    ranked = ranked.filter(pl.col("propensity") < 1)
    acted = ranked[_ACTED].to_numpy()
    if acted.all() or not acted.any():
        return unknown
    given = (ranked[REWARD].to_numpy(), acted, ranked["value"].to_numpy())
    chance = ranked["propensity"].to_numpy()
    found = {"qini": qini(*given, chance), "uplift_at_k": uplift_at_k(*given, chance)}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _auc(ranked: pl.DataFrame) -> float | None:
    if ranked[LABEL].n_unique() < 2:  # noqa: PLR2004  both outcomes
        return None
    return roc_auc(ranked[LABEL].to_numpy(), ranked[_VALUE].to_numpy())
