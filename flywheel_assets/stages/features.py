"""Features: each entity's declared features as of the moment at which a partition closes."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache

import polars as pl

from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.organize import Dimension
from flywheel_assets.declare.rules import AS_OF, PARTITION
from flywheel_assets.point_in_time import snapshot, windows
from flywheel_assets.point_in_time.snapshot import seen_rows
from flywheel_assets.stages.clock import DAY, closes
from flywheel_assets.stages.organize import dimension_schema, fact_schema, looked_up

_THERE = "in_the_view_"


@lru_cache(maxsize=256)
def feature_schema(view: FeatureView) -> dict[str, pl.DataType]:
    """Give the columns of ``features/<view>``."""
    nothing = pl.DataFrame(schema=fact_schema(view.fact))
    dimensions = {d: pl.DataFrame(schema=dimension_schema(d)) for d in view.dimensions}
    return dict(features(nothing, dimensions, view, [date(2000, 1, 1)]).schema)


def features(
    facts: pl.DataFrame,
    dimensions: Mapping[Dimension, pl.DataFrame],
    view: FeatureView,
    days: Sequence[date],
) -> pl.DataFrame:
    """Compute the view of some partitions.

    Parameters
    ----------
    facts : DataFrame
        In any order; it may hold more than the windows need.
    dimensions : mapping of Dimension to DataFrame

    Returns
    -------
    DataFrame
        ``partition_date``, ``as_of``, the entity's keys, then the features in the declared order.
    """
    partition = (pl.col(AS_OF) - DAY).dt.date().alias(PARTITION)
    return at_moments(facts, dimensions, view, [closes(day) for day in days]).select(
        partition, pl.all()
    )


def at_moments(
    facts: pl.DataFrame,
    dimensions: Mapping[Dimension, pl.DataFrame],
    view: FeatureView,
    moments: Sequence[datetime],
) -> pl.DataFrame:
    """Compute the view as of any moments (UTC).

    Returns
    -------
    DataFrame
        ``as_of``, the entity's keys, then the features in the declared order; one row for each
        entity that is in the view at the moment.
    """
    frame = snapshot(facts, moments, view.aggregations, by=view.entity.keys)
    whole = _completed(frame, dimensions, view)
    return whole.select(AS_OF, *view.entity.keys, *view.descriptions)


def recomputed(
    spine: pl.DataFrame,
    facts: pl.DataFrame,
    dimensions: Mapping[Dimension, pl.DataFrame],
    view: FeatureView,
) -> pl.DataFrame:
    """Compute the view at any moments, straight from facts and dimensions.

    Parameters
    ----------
    spine : DataFrame
        The entity's keys and ``as_of``.

    Returns
    -------
    DataFrame
        The spine's rows in their order, with the features in the declared order: null where the
        view has no row for the entity at that moment.
    """
    there = seen_rows(view.aggregations, _THERE)
    frame = windows(facts, spine, (*view.aggregations, there), by=view.entity.keys)
    in_view = pl.when(pl.col(_THERE) > 0)
    return _completed(frame, dimensions, view).select(
        *view.entity.keys, AS_OF, *(in_view.then(pl.col(n)).alias(n) for n in view.descriptions)
    )


def reach(view: FeatureView) -> timedelta | None:
    """Say how many partitions back the longest window reads; None for all."""
    longest = view.longest_window
    if longest is None:
        return None
    # A partition holds what became known on its day, and nothing is known long before it happens.
    return math.ceil((longest + view.fact.observation.clock_tolerance) / DAY) * DAY


def _completed(
    frame: pl.DataFrame, dimensions: Mapping[Dimension, pl.DataFrame], view: FeatureView
) -> pl.DataFrame:
    """Add attributes, and the expressions over what is there."""
    for dimension, attributes in view.dimensions.items():
        frame = looked_up(frame, dimensions[dimension], dimension, attributes)
    for feature in view.expressions:
        frame = frame.with_columns(feature.expression.alias(feature.name))
    return frame
