"""From when to when each row is visible, under both clocks, corrections and retractions."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.declare.rules import CORRECTS, KNOWN_AT, OBSERVATION_ID, RETRACTS
from flywheel_assets.errors import ColumnsError

NEVER = np.iinfo(np.int64).min
_LONGEST_CHAIN = 1_000


def references(events: pl.DataFrame) -> pl.DataFrame | None:
    """Find the rows that correct or withdraw another; None where there are none.

    Parameters
    ----------
    events : DataFrame
        With ``corrects`` or ``retracts``: the ``observation_id`` of the row that is replaced or
        withdrawn, or of an earlier correction of it. Of several, the one known last holds.

    Returns
    -------
    DataFrame
        ``row`` (the position in `events`), ``root`` (the observation that it is about in the end),
        ``withdraws`` and ``until`` (when the next one about it became known, null for the last),
        in the order in which they became known.

    Raises
    ------
    ColumnsError
        For references that go round in a circle, and where there is no observation_id.
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
    found = events[rows].select(
        rows.alias("row"),
        pl.col(OBSERVATION_ID, KNOWN_AT),
        pl.coalesce(named).alias("root"),
        withdraws=pl.col(RETRACTS).is_not_null() if RETRACTS in named else pl.lit(value=False),
    )
    before = found.select(pl.col(OBSERVATION_ID).alias("root"), pl.col("root").alias("_further"))
    for _ in range(_LONGEST_CHAIN):
        followed = found.join(before, on="root", how="left", maintain_order="left")
        if followed["_further"].null_count() == followed.height:
            break
        found = followed.with_columns(pl.coalesce("_further", "root").alias("root")).drop(
            "_further"
        )
    else:
        raise ColumnsError(
            expected="corrections that end at an observation",
            found=f"a circle, or a chain of over {_LONGEST_CHAIN}",
            remedy="look at the rows whose corrects and retracts name one another",
        )
    return found.sort(KNOWN_AT, OBSERVATION_ID).with_columns(
        until=pl.col(KNOWN_AT).shift(-1).over("root")
    )


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
    firsts = found.unique("root", keep="first", maintain_order=True).select(
        pl.col("root").alias(OBSERVATION_ID), pl.col(KNOWN_AT).alias("until")
    )
    roots = (
        events.lazy()
        .select(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), OBSERVATION_ID)
        .join(firsts.lazy(), on=OBSERVATION_ID)
        .join(found.lazy().select("row"), on="row", how="anti")
        .select("row", "until", withdraws=pl.lit(value=False))
        .collect()
    )
    ends = pl.concat([roots, found.select("row", "until", "withdraws")]).filter(
        pl.col("until").is_not_null() | pl.col("withdraws")
    )
    until = ends["until"].to_physical().fill_null(NEVER).to_numpy()
    if not availability:
        until = np.full_like(until, NEVER)
    return ends["row"].to_numpy(), np.where(ends["withdraws"].to_numpy(), NEVER, until)
