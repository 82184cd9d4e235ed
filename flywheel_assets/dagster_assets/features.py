"""features/<view>."""

import math
from datetime import date, timedelta

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.table_asset import table_asset
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.features import feature_schema, features
from flywheel_assets.stages.organize import dimension_schema, fact_schema


def features_asset(build: Build, view: FeatureView) -> dg.AssetsDefinition:
    """Compile a feature view."""
    key, fact = f"features/{view.name}", f"organize/fct_{view.fact.name}"
    schema, given = feature_schema(view), fact_schema(view.fact)
    reach = _reach(view)

    def oldest(first: date) -> date:
        return build.settings.start if reach is None else first - reach

    def make(first: date, last: date) -> pl.DataFrame:
        dimensions = {
            d: build.tables.read(
                f"organize/dim_{d.name}", dimension_schema(d), None, last
            ).collect()
            for d in view.dimensions
        }
        facts = build.tables.read(fact, given, oldest(first), last).collect()
        return features(facts, dimensions, view, list(days(first, last)))

    return table_asset(
        build,
        build.spec(
            key,
            stage="features",
            owners=view.owners,
            description=view.description,
            schema=schema,
            columns={**view.fact.descriptions, **view.descriptions},
            version=fingerprint(view),
            deps=[
                before(fact, reach),
                *(before(f"organize/dim_{d.name}") for d in view.dimensions),
            ],
        ),
        schema,
        stage="features",
        needs=lambda first, last: [(fact, oldest(first), last)],
        make=make,
        check=lambda frame: checks.features(frame, view.entity.keys),
    )


def _reach(view: FeatureView) -> timedelta | None:
    """Say how many partitions back the longest window reads, the clock tolerance included."""
    longest = view.longest_window
    if longest is None:
        return None
    # A partition holds what became known on its day, and nothing is known long before it happens.
    return math.ceil((longest + view.fact.observation.clock_tolerance) / DAY) * DAY
