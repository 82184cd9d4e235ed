"""What must hold between rows: keys that no two share, and references to dimensions."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from flywheel_assets.declare.organize import CANCELS, Fact, Reference
from flywheel_assets.declare.rules import CORRECTS, KNOWN_AT, OBSERVATION_ID, PARTITION, RETRACTS
from flywheel_assets.errors import many
from flywheel_assets.point_in_time.visible import references
from flywheel_assets.stages.checks import Check

UNIQUE = "unique_key"
_SHOWN = 3
"""How many values a message names."""


def declared(fact: Fact) -> dict[str, bool]:
    """Name a fact's checks -> whether each stops what is downstream.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import order_lines
    >>> declared(order_lines)
    {}
    """
    unique = {UNIQUE: True} if fact.unique else {}
    return unique | {_name(r): r.severity == "error" for r in fact.references}


def needed(fact: Fact) -> list[str]:
    """Name the fact's columns that its checks look at."""
    named = [column for r in fact.references for column in r.columns]
    return list(dict.fromkeys([*linking(fact), *fact.unique, *named]))


def linking(fact: Fact) -> list[str]:
    """Name the fact's columns that say which of its rows stand."""
    cancels = [CANCELS] if fact.cancellation else []
    return [PARTITION, OBSERVATION_ID, KNOWN_AT, CORRECTS, RETRACTS, *cancels]


def check(
    rows: pl.LazyFrame, dimensions: Mapping[str, pl.LazyFrame], fact: Fact, last: date
) -> list[Check]:
    """Check the rows up to a day, by all that is there now: what came late mends what was wrong.

    What is wrong fails its check until it is mended, however long ago it came.

    Parameters
    ----------
    rows : LazyFrame
        All of the fact: what `needed` names.
    dimensions : mapping of str to LazyFrame
        The tables that are referred to, by name.
    """
    left = standing(rows, fact)
    unique = [_unique(left, fact, last)] if fact.unique else []
    upto = left.filter(pl.col(PARTITION) <= last)
    return unique + [_refers(upto, dimensions[r.table], fact, r) for r in fact.references]


def standing(rows: pl.LazyFrame, fact: Fact) -> pl.LazyFrame:
    """Leave one row of each observation, its last correction, and none where it is withdrawn.

    Nor are rows left that cancel.
    """
    if fact.cancellation is not None:
        rows = rows.filter(~pl.col(CANCELS).fill_null(value=False))
    refers = pl.any_horizontal(pl.col(CORRECTS, RETRACTS).is_not_null())
    # Few rows refer to others: only those are held in memory.
    referring = rows.filter(refers).collect(engine="streaming")
    found = references(referring)
    if found is None:
        return rows
    last = found.filter(pl.col("until").is_null() & ~pl.col("withdraws"))
    about = found.lazy().select(pl.col("root").alias(OBSERVATION_ID)).unique()
    untouched = rows.filter(~refers).join(about, on=OBSERVATION_ID, how="anti")
    return pl.concat([untouched, referring[last["row"]].lazy()])


def _unique(rows: pl.LazyFrame, fact: Fact, last: date) -> Check:
    keys = list(fact.unique)
    known = rows.drop_nulls(keys).select(PARTITION, *keys)
    shared = known.group_by(keys).len().filter(pl.col("len") > 1)
    # The second row of a key made it wrong; few keys have one.
    since = pl.col(PARTITION).bottom_k(2).max().alias("_since")
    wrong = known.join(shared, on=keys, how="semi").group_by(keys).agg(since)
    found = wrong.filter(pl.col("_since") <= last).sort("_since", *keys).collect(engine="streaming")
    named = " and ".join(keys)
    if found.is_empty():
        return Check(UNIQUE, passed=True, message=f"no two rows share {named}")
    return Check(
        UNIQUE,
        passed=False,
        message=f"{many(found.height, 'value')} of {named} that two rows or more share, since "
        f"{found['_since'][0]}, {examples(found, keys)} first: have surplus rows retracted, or "
        f"corrected, or declare what else tells them apart in unique of fact {fact.name!r}",
    )


def _refers(rows: pl.LazyFrame, dimension: pl.LazyFrame, fact: Fact, reference: Reference) -> Check:
    name, columns = _name(reference), list(reference.columns)
    keys, warns = list(reference.dimension.entity.keys), reference.severity == "warn"
    missing = (
        rows.drop_nulls(columns)
        .group_by(columns)
        .agg(pl.len().alias("_n"), pl.col(PARTITION).min().alias("_since"))
        .join(dimension.select(keys).unique(), left_on=columns, right_on=keys, how="anti")
    )
    found = missing.sort("_since", *columns).collect(engine="streaming")
    named = " and ".join(columns)
    if found.is_empty():
        message = f"{reference.table} has every {named}"
        return Check(name, passed=True, message=message, warns=warns)
    source, n_rows = reference.dimension.observation, int(found["_n"].sum())
    return Check(
        name,
        passed=False,
        message=f"{many(found.height, 'value')} of {named}, in {many(n_rows, 'row')}, that "
        f"{reference.table} does not have, since {found['_since'][0]}, "
        f"{examples(found, columns)} first: the rows of fact {fact.name!r} stay; have "
        f"{', '.join(source.owners)} report them as {source.name}, or correct the rows",
        warns=warns,
    )


def _name(reference: Reference) -> str:
    return f"in_{reference.dimension.name}"


def examples(found: pl.DataFrame, columns: Sequence[str]) -> str:
    """Name the first few rows, by some of their columns."""
    # Each value beside its name: forgetting finds a short id by that alone.
    rows = found.select(columns).head(_SHOWN).iter_rows(named=True)
    return ", ".join(" and ".join(f"{k}={v}" for k, v in row.items()) for row in rows)
