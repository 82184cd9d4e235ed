"""What a decision sees: a candidate's row of each view, joined, and expressions across them."""

from collections.abc import Collection, Mapping
from datetime import date
from types import MappingProxyType

import polars as pl

from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.organize import Dimension
from flywheel_assets.declare.rules import AS_OF, PARTITION
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.features import feature_schema, recomputed

Snapshots = Mapping[FeatureView, pl.DataFrame]
"""Rows of ``features/<view>`` of the days that decisions are made on, by view."""
Inputs = Mapping[FeatureView, tuple[pl.DataFrame, Mapping[Dimension, pl.DataFrame]]]
"""What views are made of: their facts, and their dimensions."""
NOTHING: Mapping[str, Collection[date]] = MappingProxyType({})


def seen_schema(flywheel: Flywheel) -> dict[str, pl.DataType]:
    """Give what a decision sees, keys aside, with its types, in the declared order."""
    spine = spine_schema(flywheel)
    nothing = {view: pl.DataFrame(schema=feature_schema(view)) for view in flywheel.views}
    return dict(
        seen(pl.DataFrame(schema=spine), nothing, flywheel).select(*flywheel.descriptions).schema
    )


def spine_schema(flywheel: Flywheel) -> dict[str, pl.DataType]:
    """Give the columns of candidates before features are joined to them."""
    suggested = {g.name: pl.Float64() for g in flywheel.policy.generators}
    return {**flywheel.key_types, AS_OF: pl.Datetime("us", "UTC"), **suggested}


def seen(spine: pl.DataFrame, snapshots: Snapshots, flywheel: Flywheel) -> pl.DataFrame:
    """Join what was known of each candidate at its moment.

    Parameters
    ----------
    spine : DataFrame, (n_rows, ...)
        The entity's keys and ``as_of``, and for pairs what suggested them.
    snapshots : mapping of FeatureView to DataFrame
        The views' partitions of those moments.

    Returns
    -------
    DataFrame, (n_rows, ...)
        The spine's rows in their order and its columns, then the views' in the order in which they
        are declared, then expressions. Null where a view has no row.
    """
    frame = spine
    for view in flywheel.views:
        frame = _joined(frame, snapshots[view].drop(PARTITION, strict=False), view)
    return _expressed(frame, flywheel)


def seen_again(
    spine: pl.DataFrame,
    inputs: Inputs,
    flywheel: Flywheel,
    unseen: Mapping[str, Collection[date]] = NOTHING,
) -> pl.DataFrame:
    """Compute what `seen` gives once more, straight from facts and dimensions.

    Parameters
    ----------
    spine : DataFrame, (n_rows, ...)
        As for `seen`.
    inputs : mapping of FeatureView to its facts and its dimensions
    unseen : mapping of str to collection of date
        Features, and the days that were decided before there were any: null, as `seen` finds them.
    """
    frame = spine
    day = pl.col(AS_OF).dt.date() - DAY
    for view in flywheel.views:
        facts, dimensions = inputs[view]
        keys = [*view.entity.keys, AS_OF]
        moments = frame.select(keys).drop_nulls().unique(maintain_order=True)
        rows = recomputed(moments, facts, dimensions, view).with_columns(
            pl.when(~day.is_in(unseen[name])).then(name)
            for name in view.descriptions
            if name in unseen
        )
        frame = _joined(frame, rows, view)
    return _expressed(frame, flywheel)


def _joined(frame: pl.DataFrame, rows: pl.DataFrame, view: FeatureView) -> pl.DataFrame:
    keys = [*view.entity.keys, AS_OF]
    new = [name for name in view.descriptions if name not in frame.columns]
    if not new:  # the spine is the view's own rows
        return frame
    return frame.join(rows.select(*keys, *new), on=keys, how="left", maintain_order="left")


def _expressed(frame: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame:
    for feature in flywheel.expressions:
        frame = frame.with_columns(feature.expression.alias(feature.name))
    return frame
