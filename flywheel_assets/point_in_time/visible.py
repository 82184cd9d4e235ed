"""What is visible at a moment, under both clocks."""

from datetime import datetime

import polars as pl

from flywheel_assets.declare.rules import EVENT_TIME, KNOWN_AT, OBSERVATION_ID, RETRACTS


def visible(facts: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Keep what had happened and was known before a moment, and had not been withdrawn by then.

    Parameters
    ----------
    facts : DataFrame
        With ``observation_id``, ``event_time``, ``known_at`` and, where the fact has retractions,
        ``retracts``: the id of the row that this one withdraws.
    at : datetime
        UTC.

    Returns
    -------
    DataFrame
        The visible rows in their order, retractions themselves left out.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> times = [datetime(2026, 1, d, tzinfo=UTC) for d in (1, 2, 3)]
    >>> facts = pl.DataFrame({"observation_id": ["a", "b"], "event_time": times[:2],
    ...                       "known_at": times[1:]})
    >>> visible(facts, times[2])["observation_id"].to_list()
    ['a']
    """
    seen = facts.filter((pl.col(EVENT_TIME) < at) & (pl.col(KNOWN_AT) < at))
    if RETRACTS not in seen.columns:
        return seen
    withdrawn = seen.select(pl.col(RETRACTS).drop_nulls().alias(OBSERVATION_ID))
    return seen.filter(pl.col(RETRACTS).is_null()).join(
        withdrawn, on=OBSERVATION_ID, how="anti", maintain_order="left"
    )
