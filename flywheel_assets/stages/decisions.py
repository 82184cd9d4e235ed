"""Decisions: candidates scored, ranked and allocated, each with the probability of its action."""

from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash as plh

from flywheel_assets.declare.allocate import Epsilon, Threshold
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF, DECISION_ID, PARTITION

UTC_TIME = pl.Datetime("us", "UTC")
ENTITY_ID, DECIDED_AT = "entity_id", "decided_at"

DECISION_COLUMNS: dict[str, pl.DataType] = {
    DECISION_ID: pl.String(),
    "flywheel": pl.String(),
    ENTITY_ID: pl.String(),
    DECIDED_AT: UTC_TIME,
    "action": pl.String(),
    "score": pl.Float64(),
    "rank": pl.Int64(),
    "propensity": pl.Float64(),
    "explored": pl.Boolean(),
    "model_version": pl.Int64(),
}


def decision_schema(flywheel: Flywheel) -> dict[str, pl.DataType]:
    """Give the columns of ``<flywheel>/decisions``."""
    suggested = {g.name: pl.Float64() for g in flywheel.policy.generators}
    return {PARTITION: pl.Date(), **flywheel.key_types, **suggested, **DECISION_COLUMNS}


def entity_id(flywheel: Flywheel) -> pl.Expr:
    """Write an entity's keys as one string."""
    keys = [pl.col(key).cast(pl.String) for key in flywheel.entity.keys]
    return pl.concat_str(keys, separator="|").alias(ENTITY_ID)


def candidate_type(flywheel: Flywheel) -> pl.Struct:
    """Give the type of ``candidate`` in ``organize/fct_decision``, which is written as JSON."""
    schema = decision_schema(flywheel)
    return pl.Struct({n: t for n, t in schema.items() if n not in {PARTITION, *DECISION_COLUMNS}})


def decide(
    considered: pl.DataFrame,
    scores: npt.NDArray[np.float64] | None,
    flywheel: Flywheel,
    day: date,
    model_version: int | None,
) -> pl.DataFrame:
    """Turn candidates into decisions.

    Parameters
    ----------
    considered : DataFrame, (n_candidates, n_columns)
        What each candidate's decision sees.
    scores : ndarray of float64, (n_candidates,), or None
        Of the champion; without one the policy's bootstrap rule scores.

    Returns
    -------
    DataFrame, (n_candidates, ...)
        Best rank first. ``propensity`` is the probability of the action that was taken, given the
        ranking. Chance is a function of the ``decision_id``, so that deciding again decides the
        same.
    """
    score = (
        pl.Series("score", scores, dtype=pl.Float64)
        if scores is not None
        else flywheel.policy.bootstrap.cast(pl.Float64).alias("score")
    )
    prefix = f"{flywheel.name}:{day.isoformat()}:"
    frame = (
        considered.with_columns(score, entity_id(flywheel))
        .with_columns(
            pl.concat_str(pl.lit(prefix), pl.col(ENTITY_ID)).alias(DECISION_ID),
            pl.lit(flywheel.name).alias("flywheel"),
            pl.col(AS_OF).alias(DECIDED_AT),
            pl.lit(model_version, dtype=pl.Int64).alias("model_version"),
        )
        .with_columns(
            plh.col(DECISION_ID).nchash.xxhash64().alias("_chance"),
            # Ties are broken by other chance than exploration draws by, or its draws would not be
            # uniform among those that the ranking leaves out.
            plh.concat_str(pl.lit("tie:"), pl.col(DECISION_ID)).nchash.xxhash64().alias("_tie"),
        )
        .sort("score", "_tie", descending=[True, False], nulls_last=True)
        .with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    )
    return allocate(frame, flywheel.policy).select(*decision_schema(flywheel))


def allocate(ranked: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Choose an action for each ranked candidate, and say how probable it was.

    With a capacity of c and a share e to explore, the best ``c - round(c e)`` are acted on for
    sure, and each of the others with the same probability. With a threshold, those below it are
    acted on with probability e.
    """
    share = policy.exploration.share if isinstance(policy.exploration, Epsilon) else 0.0
    if isinstance(policy.allocation, Threshold):
        greedy = pl.col("score") >= policy.allocation.at
        chance = pl.lit(share)
        drawn = pl.col("_chance").cast(pl.Float64) / 2.0**64 < share
    else:
        capacity = policy.capacity or 0
        explore = round(capacity * share)
        others = max(ranked.height - (capacity - explore), 1)
        greedy = pl.col("rank") <= capacity - explore
        chance = pl.lit(min(explore / others, 1.0))
        order = pl.when(~greedy).then(pl.col("_chance")).rank("ordinal")
        drawn = (order <= explore).fill_null(value=False)
    acted = greedy | drawn
    action, hold = policy.actions
    return ranked.with_columns(
        pl.when(acted).then(pl.lit(action)).otherwise(pl.lit(hold)).alias("action"),
        pl.when(greedy)
        .then(1.0)
        .when(drawn)
        .then(chance)
        .otherwise(1.0 - chance)
        .alias("propensity"),
        (~greedy & drawn).alias("explored"),
    )
