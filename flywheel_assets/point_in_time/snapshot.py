"""Windowed features of every entity at one moment."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.declare.rules import EVENT_TIME, KNOWN_AT, OBSERVATION_ID
from flywheel_assets.point_in_time.visible import visible

ORDER = (EVENT_TIME, KNOWN_AT, OBSERVATION_ID)
"""The order in which rows of one entity count as earlier and later."""


def snapshot(
    facts: pl.DataFrame, at: datetime, keys: Sequence[str], aggregations: Sequence[Aggregation]
) -> pl.DataFrame:
    """Compute each entity's windows ``[at - window, at)``, as known at that moment.

    Parameters
    ----------
    facts : DataFrame
        Sorted by ``ORDER``, so that floating-point sums come out the same to the last bit.
    at : datetime
        UTC.
    keys : sequence of str
        The entity's key columns.
    aggregations : sequence of Aggregation

    Returns
    -------
    DataFrame
        One row for each entity with a visible row in the longest window, in the order of the keys.
        Over an empty window count, sum and n_unique are 0, the rest null.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> day = lambda d: datetime(2026, 1, d, tzinfo=UTC)
    >>> facts = pl.DataFrame({"observation_id": ["a", "b"], "event_time": [day(1), day(8)],
    ...                       "known_at": [day(1), day(8)], "customer_id": [7, 7],
    ...                       "price": [2.0, 3.0]})
    >>> week = Aggregation(name="spent_7d", function="sum", column="price",
    ...                    window=timedelta(days=7), description="Spent in a week.")
    >>> snapshot(facts, day(9), ["customer_id"], [week]).rows()
    [(7, 3.0)]
    """
    seen = visible(facts, at)
    windows = [a.window for a in aggregations]
    bounded = [w for w in windows if w is not None]
    if len(bounded) == len(windows):
        seen = seen.filter(pl.col(EVENT_TIME) >= at - max(bounded))
    return (
        seen.group_by(keys, maintain_order=True)
        .agg(_expression(a, at).alias(a.name) for a in aggregations)
        .sort(keys)
    )


def _expression(aggregation: Aggregation, at: datetime) -> pl.Expr:
    inside = pl.lit(value=True)
    if aggregation.window is not None:
        inside = pl.col(EVENT_TIME) >= at - aggregation.window
    if aggregation.where is not None:
        inside = inside & aggregation.where
    if aggregation.column is None:
        return inside.fill_null(value=False).sum().cast(pl.Int64)
    values = pl.col(aggregation.column).filter(inside).drop_nulls()
    match aggregation.function:
        case "count":
            return values.count().cast(pl.Int64)
        case "n_unique":
            return values.n_unique().cast(pl.Int64)
        case "stddev":
            return values.std(ddof=1)
        case function:
            result: pl.Expr = getattr(values, function)()
            return result
