"""features/<view>."""

from datetime import date

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.table_asset import table_asset
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.organize import Dimension
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import days
from flywheel_assets.stages.features import feature_schema, features, reach
from flywheel_assets.stages.organize import dimension_schema, fact_schema


def features_asset(build: Build, view: FeatureView) -> dg.AssetsDefinition:
    """Compile a feature view."""
    key, fact = f"features/{view.name}", f"organize/fct_{view.fact.name}"
    schema = feature_schema(view)

    def make(first: date, last: date) -> pl.DataFrame:
        facts, dimensions = inputs(build, view, first, last)
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
            deps=[
                before(fact, reach(view)),
                *(before(f"organize/dim_{d.name}") for d in view.dimensions),
            ],
        ),
        schema,
        stage="features",
        needs=lambda first, last: [
            (fact, oldest(build, view, first), last),
            # An attribute holds until it changes, however long ago it was told.
            *((f"organize/dim_{d.name}", build.settings.start, last) for d in view.dimensions),
        ],
        make=make,
        check=lambda frame: checks.features(frame, view.entity.keys),
        show=lambda frame: {"distributions": dg.MetadataValue.md(_summary(frame, view))},
    )


def _summary(frame: pl.DataFrame, view: FeatureView) -> str:
    """Sum up each feature of the last day of a frame, as a table in markdown."""
    day = frame.filter(pl.col(PARTITION) == pl.col(PARTITION).max())
    names = [n for n in view.descriptions if n in day.columns]
    shares = day.select(pl.col(names).is_null().mean()).row(0) if day.height else ()
    lines = ["| feature | unknown | 5% | median | 95% |", "|---|---|---|---|---|"]
    for name, unknown in zip(names, shares, strict=bool(shares)):
        values, told = day[name], [""] * 3
        if values.dtype.is_numeric():
            known = values.cast(pl.Float64).fill_nan(None)
            told = [_short(known.quantile(q, "linear")) for q in (0.05, 0.5, 0.95)]
        lines.append(f"| {name} | {unknown:.1%} | {' | '.join(told)} |")
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def inputs(
    build: Build, view: FeatureView, first: date, last: date
) -> tuple[pl.DataFrame, dict[Dimension, pl.DataFrame]]:
    """Read what the view of a range of days is made of."""
    fact = build.tables.read(
        f"organize/fct_{view.fact.name}", fact_schema(view.fact), oldest(build, view, first), last
    )
    dimensions = {
        d: build.tables.read(f"organize/dim_{d.name}", dimension_schema(d), None, last).collect()
        for d in view.dimensions
    }
    return fact.collect(), dimensions


def read_snapshots(
    build: Build, flywheel: Flywheel, first: date, last: date
) -> dict[FeatureView, pl.DataFrame]:
    """Read what the decisions of a range of days see."""
    scans = [
        build.tables.read(f"features/{view.name}", feature_schema(view), first, last)
        for view in flywheel.views
    ]
    return dict(zip(flywheel.views, pl.collect_all(scans), strict=True))


def oldest(build: Build, view: FeatureView, first: date) -> date:
    """Say which partition of its fact the view of a day reads first."""
    back = reach(view)
    return build.settings.start if back is None else first - back
