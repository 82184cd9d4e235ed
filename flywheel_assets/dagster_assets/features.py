"""features/<view>."""

import math
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import (
    Build,
    before,
    check_specs,
    chunks,
    counts,
    report,
    span,
    worst,
)
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.point_in_time.snapshot import ORDER
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.features import feature_schema, features
from flywheel_assets.stages.organize import dimension_schema, fact_schema


def features_asset(build: Build, view: FeatureView) -> dg.AssetsDefinition:
    """Compile a feature view."""
    key, fact = f"features/{view.name}", f"organize/fct_{view.fact.name}"
    schema, given = feature_schema(view), fact_schema(view.fact)
    reach = _reach(view)

    @dg.multi_asset(
        name=f"features_{view.name}",
        specs=[
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
            )
        ],
        check_specs=check_specs(key, "features"),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=key.replace("/", "_"),
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require(context, fact, _oldest(build, first, reach), last)
        dimensions = {
            d: build.tables.read(
                f"organize/dim_{d.name}", dimension_schema(d), None, last
            ).collect()
            for d in view.dimensions
        }
        rows: Counter[date] = Counter()
        found: list[list[checks.Check]] = []
        for start, end in chunks(first, last):
            oldest = _oldest(build, start, reach)
            facts = build.tables.read(fact, given, oldest, end).collect().sort(ORDER)
            frame = pl.concat(features(facts, dimensions, view, d) for d in days(start, end))
            build.tables.replace(key, frame, schema, start, end, empty=False)
            rows.update(counts(frame))
            found.append(checks.features(frame, view.entity.keys))
        yield report(context, build, key, rows, worst(found))

    return body


def _reach(view: FeatureView) -> timedelta | None:
    """Say how many partitions back the longest window reads, the clock tolerance included."""
    longest = view.longest_window
    if longest is None:
        return None
    tolerance = view.fact.observation.clock_tolerance
    return longest + math.ceil(tolerance / DAY) * DAY


def _oldest(build: Build, first: date, reach: timedelta | None) -> date:
    return build.settings.start if reach is None else first - reach
