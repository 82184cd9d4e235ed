"""Training set: matured decisions with the features they saw and what came of them."""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import Outcome
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import (
    AS_OF,
    CORRECTS,
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
    RETRACTS,
)
from flywheel_assets.point_in_time import Conventions, windows
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.decisions import DECIDED_AT, candidate_type, decision_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.seen import Snapshots, seen, seen_schema

LABEL, REWARD, WEIGHT = "outcome", "reward", "weight"
OBSERVED = (PARTITION, OBSERVATION_ID, EVENT_TIME, KNOWN_AT, RETRACTS, CORRECTS, DECISION_ID)
ACTION = "action"
_WORTH, _CLOSES = "_worth", "_closes"


def training_schema(flywheel: Flywheel) -> dict[str, pl.DataType]:
    """Give the columns of ``<flywheel>/training_set``."""
    return {
        **decision_schema(flywheel),
        **seen_schema(flywheel),
        LABEL: pl.Int8(),
        REWARD: pl.Float64(),
        WEIGHT: pl.Float64(),
    }


def followed_schema(flywheel: Flywheel) -> dict[str, pl.DataType]:
    """Give the columns of the outcome's fact that `training_set` looks at."""
    outcome, schema = flywheel.outcome, fact_schema(flywheel.outcome.fact)
    asked = [e for e in (outcome.where, outcome.reward) if e is not None]
    if any(e.meta.has_multiple_outputs() for e in asked):  # pl.all() does not name what it reads
        return schema
    needed = {*OBSERVED, *flywheel.entity.keys, *(n for e in asked for n in e.meta.root_names())}
    return {name: dtype for name, dtype in schema.items() if name in needed}


def decided_on(flywheel: Flywheel, matured: date) -> date:
    """Say whose decisions mature when a partition closes."""
    return matured - flywheel.outcome.matures_after


def ahead(fact: Fact) -> timedelta:
    """Say how many partitions before a decision's there may be rows of what follows it.

    A row may be known so long before it happens as the clock tolerance of its observation says; a
    decision is made when its own partition closes.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> ahead(repurchase.outcome.fact)
    datetime.timedelta(0)
    """
    return max(math.ceil(fact.observation.clock_tolerance / DAY) - 1, 0) * DAY


def training_set(
    decisions: pl.DataFrame,
    snapshots: Snapshots,
    facts: pl.DataFrame,
    flywheel: Flywheel,
    exposures: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Join matured decisions with what they saw and what followed.

    Parameters
    ----------
    decisions : DataFrame
        Rows of ``organize/fct_decision`` whose outcome has matured; those of other flywheels are
        left out.
    snapshots : mapping of FeatureView to DataFrame
        The views' partitions of the days that they were decided for: what they saw.
    facts : DataFrame
        Rows of the outcome's fact, from `ahead` before the first decision's partition to what was
        known when the last one matured; `followed_schema` names the columns that are looked at.
    exposures : DataFrame, optional
        Rows of the outcome's exposure, of the same days: without one no decision was carried out.

    Returns
    -------
    DataFrame
        One row for each decision, in the partition of the day on which it matured. ``outcome`` is
        1 or 0, ``reward`` what it was worth, ``weight`` 1 over the propensity of the action taken.
    """
    outcome, keys = flywheel.outcome, list(flywheel.entity.keys)
    mine = decisions.filter(flywheel=flywheel.name)
    if exposures is not None:
        mine = _carried_out(mine, exposures, outcome)
    spine = mine.with_columns(
        pl.col("candidate").str.json_decode(candidate_type(flywheel)),
        pl.col(DECIDED_AT).alias(AS_OF),
    ).unnest("candidate")
    mine = seen(spine, snapshots, flywheel)
    followed, worth = _followed(mine, facts, outcome, keys)
    positive = followed >= outcome.at_least
    return mine.with_columns(
        ((pl.col(DECIDED_AT) - DAY).dt.date() + outcome.matures_after).alias(PARTITION),
        positive.cast(pl.Int8).alias(LABEL),
        (positive.cast(pl.Float64) if outcome.reward is None else worth).alias(REWARD),
        (1 / pl.col("propensity")).alias(WEIGHT),
    ).select(*training_schema(flywheel))


def _carried_out(
    decisions: pl.DataFrame, exposures: pl.DataFrame, outcome: Outcome
) -> pl.DataFrame:
    """Keep the decisions of which the product says that it did what was decided."""
    by = [DECISION_ID, *({ACTION} & set(exposures.columns))]
    told = windows(
        exposures,
        decisions.select(*by, _closing(outcome)),
        (Aggregation(name="told", function="count", window=outcome.horizon),),
        by=by,
        at=_CLOSES,
        conventions=Conventions(settle=outcome.settle),
    )
    return decisions.filter(told["told"] > 0)


def _closing(outcome: Outcome) -> pl.Expr:
    return (pl.col(DECIDED_AT) + outcome.horizon).alias(_CLOSES)


def _followed(
    decisions: pl.DataFrame, facts: pl.DataFrame, outcome: Outcome, keys: Sequence[str]
) -> tuple[pl.Series, pl.Series]:
    """Count what followed each decision within the horizon, and add up what it was worth.

    A row that names the decision it answers is that decision's alone; the others are attributed to
    every decision about their entity.
    """
    reward = pl.lit(1.0) if outcome.reward is None else outcome.reward.cast(pl.Float64)
    rows = facts.with_columns(reward.alias(_WORTH))
    counted = pl.lit(value=True) if outcome.where is None else outcome.where
    totals = []
    for by, where in (
        (keys, counted & pl.col(DECISION_ID).is_null()),
        ([DECISION_ID], counted),
    ):
        span: dict[str, Any] = {"window": outcome.horizon, "where": where}
        asked = (
            Aggregation(name="followed", function="count", **span),
            Aggregation(name="worth", function="sum", column=_WORTH, **span),
        )
        totals.append(
            windows(
                rows,
                decisions.select(*by, _closing(outcome)),
                asked,
                by=by,
                at=_CLOSES,
                conventions=Conventions(settle=outcome.settle),
            )
        )
    about, answers = totals
    return about["followed"] + answers["followed"], about["worth"] + answers["worth"]
