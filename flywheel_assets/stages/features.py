"""Features: each entity's declared features as of the moment at which a partition closes."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.organize import Dimension
from flywheel_assets.declare.rules import AS_OF, PARTITION
from flywheel_assets.point_in_time.snapshot import snapshot
from flywheel_assets.stages.clock import closes
from flywheel_assets.stages.organize import as_of, dimension_schema, fact_schema

UTC_TIME = pl.Datetime("us", "UTC")


def feature_schema(view: FeatureView) -> dict[str, pl.DataType]:
    """Give the columns of ``features/<view>``."""
    nothing = pl.DataFrame(schema=fact_schema(view.fact))
    dimensions = {d: pl.DataFrame(schema=dimension_schema(d)) for d in view.dimensions}
    return dict(features(nothing, dimensions, view, date(2000, 1, 1)).schema)


def features(
    facts: pl.DataFrame, dimensions: Mapping[Dimension, pl.DataFrame], view: FeatureView, day: date
) -> pl.DataFrame:
    """Compute the view of one partition.

    Parameters
    ----------
    facts : DataFrame
        Sorted by event_time, known_at, observation_id; it may hold more than the windows need.
    dimensions : mapping of Dimension to DataFrame

    Returns
    -------
    DataFrame
        ``partition_date``, ``as_of``, the entity's keys, then the features in the declared order.
    """
    at = closes(day)
    keys = list(view.entity.keys)
    frame = snapshot(facts, at, keys, view.aggregations)
    for dimension, attributes in view.dimensions.items():
        values = as_of(dimensions[dimension], at, keys).select(*keys, *attributes)
        frame = frame.join(values, on=keys, how="left", maintain_order="left")
    frame = frame.with_columns(pl.lit(at).cast(UTC_TIME).alias(AS_OF), pl.lit(day).alias(PARTITION))
    for feature in view.expressions:
        frame = frame.with_columns(feature.expression.alias(feature.name))
    return frame.select(PARTITION, AS_OF, *keys, *view.descriptions)
