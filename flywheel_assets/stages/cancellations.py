"""Cancellations: which row each of them withdraws, and what becomes of that when they change."""

import polars as pl

from flywheel_assets.declare.organize import CANCELS, Cancellation
from flywheel_assets.declare.rules import (
    CORRECTS,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
    RETRACTS,
)

_PAIRED = "_paired"


def withdrawing(frame: pl.DataFrame, earlier: pl.DataFrame, rule: Cancellation) -> pl.DataFrame:
    """Let each cancellation withdraw the newest earlier row that it matches, a day at a time.

    Parameters
    ----------
    frame : DataFrame
        Observations of a range of days, in the order in which they became known, with `CANCELS`.
    earlier : DataFrame
        The fact's rows of the days before.

    Returns
    -------
    DataFrame
        The frame. A cancellation ``retracts`` its match, or stays what it is where it has none.
        What withdraws or corrects such a cancellation later tells anew the row that it had
        withdrawn, with what is left of its measures.
    """
    columns = [OBSERVATION_ID, EVENT_TIME, CANCELS, *rule.match, *rule.measures]
    taken = _taken(earlier)
    standing = earlier.filter(_may_pair()).filter(~pl.col(CANCELS)).select(columns)
    done = [earlier.select(frame.columns)]
    for day in frame.partition_by(PARTITION, maintain_order=True):
        # What the product itself withdrew or replaced by now is no longer there to be cancelled.
        taken = pl.concat([taken, _taken(day)])
        standing = pl.concat([standing, day.filter(_may_pair()).select(columns)])
        standing = standing.join(taken, on=OBSERVATION_ID, how="anti")
        pairs = _pairs(standing, rule)
        paired = day.join(pairs, on=OBSERVATION_ID, how="left", maintain_order="left")
        done.append(
            paired.with_columns(pl.coalesce(RETRACTS, _PAIRED).alias(RETRACTS)).drop(_PAIRED)
        )
        done[-1] = _told_anew(done[-1], pl.concat(done), rule)
        taken = pl.concat([taken, pairs.select(pl.col(_PAIRED).alias(OBSERVATION_ID))])
        standing = pl.concat([standing, done[-1].filter(_may_pair()).select(columns)])
        standing = standing.filter(~pl.col(CANCELS)).unique(OBSERVATION_ID, maintain_order=True)
    return pl.concat([frame.clear(), *done[1:]])


def _may_pair() -> pl.Expr:
    """Say which rows can be cancelled or cancel: what corrects a cancellation is no further one."""
    return pl.col(RETRACTS).is_null() & ~(pl.col(CANCELS) & pl.col(CORRECTS).is_not_null())


def _taken(rows: pl.DataFrame) -> pl.DataFrame:
    """List the ids of the rows that others withdraw or replace."""
    corrects = pl.when(~pl.col(CANCELS)).then(CORRECTS)
    return pl.concat(
        rows.select(c.drop_nulls().alias(OBSERVATION_ID)) for c in (pl.col(RETRACTS), corrects)
    )


def _told_anew(day: pl.DataFrame, known: pl.DataFrame, rule: Cancellation) -> pl.DataFrame:
    """Let what withdraws or corrects a cancellation tell anew the row that it had withdrawn.

    Left as it is it would be about that row itself: withdraw it once more, or take its place.
    """
    names, cancelled = pl.coalesce(RETRACTS, CORRECTS), "_cancelled"
    if day.select(names.is_null().all()).item():
        return day
    pairs = known.filter(
        pl.col(CANCELS), pl.col(RETRACTS).is_not_null(), pl.col(CORRECTS).is_null()
    )
    pairs = pairs.select(pl.col(OBSERVATION_ID).alias(_PAIRED), pl.col(RETRACTS).alias(cancelled))
    about = day.with_columns(names.alias(_PAIRED)).join(pairs, on=_PAIRED)
    if about.is_empty():
        return day
    own = (PARTITION, OBSERVATION_ID, KNOWN_AT)
    told = about.select(*own, cancelled, *(pl.col(m).alias(f"_{m}") for m in rule.measures))
    rows = known.drop(PARTITION, KNOWN_AT).rename({OBSERVATION_ID: cancelled})
    left = [pl.col(m) + pl.col(f"_{m}").fill_null(0) for m in rule.measures]
    nothing = pl.all_horizontal(each == 0 for each in left)
    anew = told.join(rows, on=cancelled).with_columns(
        pl.when(nothing).then(cancelled).alias(RETRACTS),
        pl.when(~nothing).then(cancelled).alias(CORRECTS),
        *(each.alias(m) for each, m in zip(left, rule.measures, strict=True)),
    )
    untouched = day.join(anew, on=OBSERVATION_ID, how="anti", maintain_order="left")
    return pl.concat([untouched, anew.select(day.columns)]).sort(KNOWN_AT, OBSERVATION_ID)


def _pairs(rows: pl.DataFrame, rule: Cancellation) -> pl.DataFrame:
    """Match cancellations with rows as closing brackets match opening ones, in order of time.

    Among the rows of one key, a row opens a level and a cancellation closes the one that was
    opened last; in the sequence of a level, what closes stands right after what it withdraws.
    """
    amount = [
        pl.when(CANCELS).then(-pl.col(m)).otherwise(pl.col(m)).alias(m) for m in rule.measures
    ]
    keys = [*rule.match, *rule.measures]
    depth = pl.when(CANCELS).then(-1).otherwise(1).cast(pl.Int64).cum_sum().over(keys)
    # What closes nothing goes below zero, and the floor with it.
    floor = pl.min_horizontal(depth.cum_min().over(keys), 0)
    level = depth - floor + pl.when(CANCELS).then(1).otherwise(0)
    before = pl.col(OBSERVATION_ID).shift(1).over([*keys, "_level"])
    opened = ~pl.col(CANCELS).shift(1).over([*keys, "_level"])
    return (
        rows.with_columns(amount)
        .sort(EVENT_TIME, CANCELS, OBSERVATION_ID)
        .with_columns(level.alias("_level"))
        .with_columns(pl.when(opened).then(before).alias(_PAIRED))
        .filter(pl.col(CANCELS) & pl.col(_PAIRED).is_not_null())
        .select(OBSERVATION_ID, _PAIRED)
    )
