"""What answers a decision, and whether that decision was made."""

from collections.abc import Collection, Mapping
from datetime import date

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import DECISION_ID, OBSERVATION_ID, PARTITION
from flywheel_assets.errors import many
from flywheel_assets.stages.checks import Check
from flywheel_assets.stages.contract import examples, standing
from flywheel_assets.stages.decisions import day_of

ANSWERS = "answers"


def answering(flywheel: Flywheel) -> tuple[Fact, ...]:
    """Name the facts whose rows may answer decisions of a flywheel: all that it is made of.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> [fact.name for fact in answering(repurchase)]
    ['order_line']
    """
    return catalog([flywheel]).facts


def answers(
    rows: Mapping[Fact, pl.LazyFrame],
    decisions: pl.LazyFrame,
    flywheel: Flywheel,
    others: Collection[str],
    last: date,
) -> Check:
    """Check that what answers a decision names one that was made.

    Looked at are the days on which a correction could still count: as many as outcomes take.

    Parameters
    ----------
    rows : mapping of Fact to LazyFrame
        Of `answering`: what `contract.linking` names, and the decision.
    decisions : LazyFrame
        All of ``<flywheel>/decisions``; the days that are named are read.
    others : collection of str
        The other flywheels, whose decisions are theirs to look for.
    last : date
        The day up to which is looked, whose decisions are made.
    """
    wrong = [
        _wrong(answered, fact, decisions, others)
        for fact, table in rows.items()
        if not (answered := _answered(table, fact, flywheel, last)).is_empty()
    ]
    told = [text for text in wrong if text]
    message = "; ".join(told) or "each names a decision that was made, or none"
    return Check(name=ANSWERS, passed=not told, message=message, warns=True)


def _answered(table: pl.LazyFrame, fact: Fact, flywheel: Flywheel, last: date) -> pl.DataFrame:
    since = last - flywheel.outcome.matures_after
    recent = table.filter(pl.col(PARTITION) > since, pl.col(PARTITION) <= last)
    named = standing(recent, fact).filter(pl.col(DECISION_ID).is_not_null())
    return named.select(PARTITION, OBSERVATION_ID, DECISION_ID).collect(engine="streaming")


def _wrong(
    answered: pl.DataFrame, fact: Fact, decisions: pl.LazyFrame, others: Collection[str]
) -> str | None:
    theirs = [pl.col(DECISION_ID).str.starts_with(f"{name}:") for name in others]
    mine = answered.filter(~pl.any_horizontal(pl.lit(value=False), *theirs))
    # An id says on which day it was made: no other day can have it.
    days = mine.select(day_of(pl.col(DECISION_ID))).to_series().drop_nulls().unique()
    made = decisions.filter(pl.col(PARTITION).is_in(days.to_list())).select(DECISION_ID)
    found = mine.lazy().join(made, on=DECISION_ID, how="anti")
    wrong = found.sort(PARTITION, OBSERVATION_ID).collect(engine="streaming")
    if wrong.is_empty():
        return None
    names = "names" if wrong.height == 1 else "name"
    source = fact.observation
    return (
        f"{many(wrong.height, 'row')} of organize/fct_{fact.name} {names} a decision that nobody "
        f"made, since {wrong[PARTITION][0]}, {examples(wrong, (OBSERVATION_ID, DECISION_ID))} "
        f"first: they stay, and count for no decision; have {', '.join(source.owners)} send each "
        f"{source.name} again with the decision_id that the product was given, and with corrects, "
        "or mend the file and run that day again"
    )
