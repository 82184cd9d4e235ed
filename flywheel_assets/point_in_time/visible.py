"""From when to when each row is visible, under both clocks, corrections and retractions."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.declare.rules import CORRECTS, EVENT_TIME, KNOWN_AT, OBSERVATION_ID, RETRACTS
from flywheel_assets.errors import ColumnsError

NEVER = np.iinfo(np.int64).min
_ROUNDS = 40


def references(events: pl.DataFrame) -> pl.DataFrame | None:
    """Find the rows that correct or withdraw another; None where there are none.

    Parameters
    ----------
    events : DataFrame
        With ``corrects`` or ``retracts``: the ``observation_id`` of the row that is replaced or
        withdrawn, or of an earlier correction of it. Of several, the one known last holds. Rows
        that refer to one another in a circle replace nothing, and stand for themselves.

    Returns
    -------
    DataFrame
        ``row`` (the position in `events`), ``root`` (the observation that it is about in the end),
        ``withdraws``, ``known`` (microseconds) and ``until`` (when the next one about it became
        known, null for the last), root by root, in the order in which they became known.

    Raises
    ------
    ColumnsError
        Where there is no observation_id.
    """
    named = [c for c in (CORRECTS, RETRACTS) if c in events.columns]
    if not named or all(events[c].null_count() == events.height for c in named):
        return None
    if OBSERVATION_ID not in events.columns:
        raise ColumnsError(
            expected=f"{OBSERVATION_ID} beside {named[0]}, which names one",
            found=", ".join(events.columns),
            remedy=f"add the column {OBSERVATION_ID}, or drop {named[0]}",
        )
    # Few rows refer to others: find them first, and look at nothing else of the many.
    rows = events.select(
        pl.arg_where(pl.any_horizontal(pl.col(c).is_not_null() for c in named)).cast(pl.Int64)
    ).to_series()
    found = events.select(
        pl.col(OBSERVATION_ID, *named).gather(rows),
        _microseconds(events).gather(rows).alias("known"),
    ).select(
        rows.alias("row"),
        OBSERVATION_ID,
        "known",
        pl.coalesce(named).alias("root"),
        withdraws=pl.col(RETRACTS).is_not_null() if RETRACTS in named else pl.lit(value=False),
    )
    # Each round follows chains twice as far; what has no end then goes in a circle.
    for _ in range(_ROUNDS):
        followed = _followed(found)
        if followed["_further"].null_count() == followed.height:
            break
        root = pl.coalesce("_further", "root").alias("root")
        found = followed.with_columns(root).drop("_further")
    else:
        endless = pl.col("_further").is_not_null()
        root = pl.when(endless).then(OBSERVATION_ID).otherwise("root").alias("root")
        found = _followed(found).with_columns(root).drop("_further")
    # Sorted, the next row tells: one hundredth of what groups of their own would take.
    last = pl.col("root").ne_missing(pl.col("root").shift(-1))
    return found.sort("root", "known", OBSERVATION_ID).with_columns(
        until=pl.when(~last).then(pl.col("known").shift(-1))
    )


def _followed(found: pl.DataFrame) -> pl.DataFrame:
    """Look up what each row's root refers to in turn."""
    further = found.select(pl.col(OBSERVATION_ID).alias("root"), pl.col("root").alias("_further"))
    further = further.unique("root", keep="last", maintain_order=True)
    return found.join(further, on="root", how="left", maintain_order="left")


def _microseconds(events: pl.DataFrame) -> pl.Expr:
    """Give the time at which rows became known; when they happened, where nothing says so."""
    name = KNOWN_AT if KNOWN_AT in events.columns else EVENT_TIME
    zone = getattr(events.schema[name], "time_zone", None)
    return pl.col(name).cast(pl.Datetime("us", zone)).to_physical()


def replaced(
    events: pl.DataFrame, *, availability: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows that do not stay visible, and until when they are.

    Parameters
    ----------
    availability : bool
        Without it only the last version of each observation counts, at all times.

    Returns
    -------
    row : ndarray of int64, (n_replaced,)
        Positions in `events`.
    until : ndarray of int64, (n_replaced,)
        Microseconds. A row is visible at t when it had happened and was known before t, and this
        is t or later. ``NEVER`` where it is not visible at all, as a retraction.
    """
    found = references(events)
    if found is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    firsts = found.filter(pl.col("root").ne_missing(pl.col("root").shift(1))).select(
        pl.col("root").alias(OBSERVATION_ID), pl.col("known").alias("until")
    )
    # Again the few rows first: a join would carry all of them along.
    named = pl.col(OBSERVATION_ID).is_in(firsts[OBSERVATION_ID].implode())
    rows = events.select(pl.arg_where(named).cast(pl.Int64)).to_series()
    roots = (
        pl.DataFrame({"row": rows, OBSERVATION_ID: events[OBSERVATION_ID].gather(rows)})
        .join(firsts, on=OBSERVATION_ID)
        .join(found.select("row"), on="row", how="anti")
        .select("row", "until", withdraws=pl.lit(value=False))
    )
    ends = pl.concat([roots, found.select("row", "until", "withdraws")]).filter(
        pl.col("until").is_not_null() | pl.col("withdraws")
    )
    until = ends["until"].fill_null(NEVER).to_numpy()
    if not availability:
        until = np.full_like(until, NEVER)
    return ends["row"].to_numpy(), np.where(ends["withdraws"].to_numpy(), NEVER, until)
