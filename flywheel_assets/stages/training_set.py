"""Training set: matured decisions with the features they saw and what came of them."""

from datetime import date

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import EVENT_TIME, PARTITION
from flywheel_assets.point_in_time.visible import visible
from flywheel_assets.stages.clock import closes
from flywheel_assets.stages.decisions import DECIDED_AT, ENTITY_ID, decision_schema, entity_id
from flywheel_assets.stages.features import feature_schema

LABEL, REWARD, WEIGHT = "outcome", "reward", "weight"


def training_schema(flywheel: Flywheel) -> dict[str, pl.DataType]:
    """Give the columns of ``<flywheel>/training_set``."""
    types = feature_schema(flywheel.features)
    features = {name: types[name] for name in flywheel.features.descriptions}
    return {
        **decision_schema(flywheel),
        **features,
        LABEL: pl.Int8(),
        REWARD: pl.Float64(),
        WEIGHT: pl.Float64(),
    }


def decided_on(flywheel: Flywheel, matured: date) -> date:
    """Say whose decisions mature when a partition closes."""
    return matured - flywheel.outcome.matures_after


def training_set(
    decisions: pl.DataFrame,
    features: pl.DataFrame,
    facts: pl.DataFrame,
    flywheel: Flywheel,
    matured: date,
) -> pl.DataFrame:
    """Join the decisions that matured on a day with what they saw and what followed.

    Parameters
    ----------
    decisions : DataFrame
        Rows of ``organize/fct_decision`` decided when the partition `decided_on` closed.
    features : DataFrame
        That partition of the feature view: the snapshot that the decisions saw.
    facts : DataFrame
        Rows of the outcome's fact that happened within the horizon.

    Returns
    -------
    DataFrame
        One row for each decision. ``outcome`` is 1 or 0, ``reward`` what it was worth, and
        ``weight`` 1 over the propensity of the action taken.
    """
    outcome, keys = flywheel.outcome, list(flywheel.entity.keys)
    decided = closes(decided_on(flywheel, matured))
    counted = pl.lit(value=True) if outcome.where is None else outcome.where
    worth = pl.lit(1.0) if outcome.reward is None else outcome.reward.sum()
    followed = (
        visible(facts, closes(matured))
        .filter(pl.col(EVENT_TIME) >= decided, pl.col(EVENT_TIME) < decided + outcome.horizon)
        .filter(counted)
        .group_by(keys, maintain_order=True)
        .agg(worth.cast(pl.Float64).alias(REWARD))
        .with_columns(pl.lit(1, dtype=pl.Int8).alias(LABEL))
    )
    seen = features.drop(PARTITION).with_columns(entity_id(flywheel))
    mine = decisions.filter(flywheel=flywheel.name).filter(pl.col(DECIDED_AT) == decided)
    return (
        mine.drop(PARTITION)
        .join(seen, on=ENTITY_ID, how="left", maintain_order="left")
        .join(followed, on=keys, how="left", maintain_order="left")
        .with_columns(
            pl.lit(matured).alias(PARTITION),
            pl.col(LABEL).fill_null(0),
            pl.col(REWARD).fill_null(0.0),
            (1 / pl.col("propensity")).alias(WEIGHT),
        )
        .select(*training_schema(flywheel))
    )
