"""<flywheel>/training_set."""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.collect import DECISION_SCHEMA
from flywheel_assets.dagster_assets.features import inputs, reach
from flywheel_assets.dagster_assets.table_asset import table_asset
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF, PARTITION
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.decisions import DECIDED_AT
from flywheel_assets.stages.features import feature_schema, recomputed
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.training_set import decided_on, training_schema, training_set


def training_set_asset(build: Build, flywheel: Flywheel) -> dg.AssetsDefinition:
    """Compile a training set."""
    outcome, view = flywheel.outcome, flywheel.features
    fact, snapshot = f"organize/fct_{outcome.fact.name}", f"features/{view.name}"
    schema = training_schema(flywheel)

    def check(frame: pl.DataFrame) -> list[checks.Check]:
        return checks.training_set(frame, _again(build, flywheel, frame))

    return table_asset(
        build,
        build.spec(
            f"{flywheel.name}/training_set",
            stage="training_set",
            owners=outcome.owners,
            description=f"Decisions whose outcome has matured. {outcome.description}",
            schema=schema,
            columns={**view.fact.descriptions, **view.descriptions},
            version=fingerprint(outcome, view),
            deps=_deps(flywheel),
        ),
        schema,
        stage="training_set",
        needs=lambda first, last: [
            (
                "organize/fct_decision",
                decided_on(flywheel, first) + DAY,
                decided_on(flywheel, last) + DAY,
            ),
            (snapshot, decided_on(flywheel, first), decided_on(flywheel, last)),
            (fact, decided_on(flywheel, first), last),
        ],
        make=lambda first, last: _assemble(build, flywheel, first, last),
        check=check,
    )


def _assemble(build: Build, flywheel: Flywheel, first: date, last: date) -> pl.DataFrame:
    decided, newest = decided_on(flywheel, first), decided_on(flywheel, last)
    fact, view = flywheel.outcome.fact, flywheel.features
    read = build.tables.read
    decisions = read("organize/fct_decision", DECISION_SCHEMA, decided + DAY, newest + DAY)
    snapshots = read(f"features/{view.name}", feature_schema(view), decided, newest)
    facts = read(f"organize/fct_{fact.name}", fact_schema(fact), decided, last)
    made, seen, followed = pl.collect_all([decisions, snapshots, facts])
    return training_set(made.sort("observation_id"), seen, followed, flywheel)


def _again(build: Build, flywheel: Flywheel, rows: pl.DataFrame) -> pl.DataFrame:
    """Compute the features of decisions once more, from facts and dimensions as they are now."""
    view = flywheel.features
    spine = rows.select(*view.entity.keys, pl.col(DECIDED_AT).alias(AS_OF))
    if rows.is_empty():
        return spine
    days = rows[PARTITION].unique().sort().to_list()
    first, last = decided_on(flywheel, days[0]), decided_on(flywheel, days[-1])
    facts, dimensions = inputs(build, view, first, last)
    return recomputed(spine, facts, dimensions, view)


def _deps(flywheel: Flywheel) -> Iterator[dg.AssetDep]:
    """Depend on the decisions, on what they saw, and on what that was made of and what followed."""
    outcome, view = flywheel.outcome, flywheel.features
    matures, back = outcome.matures_after, reach(view)
    yield before("organize/fct_decision", matures - DAY, matures - DAY)
    yield before(f"features/{view.name}", matures, matures)
    yield before(f"organize/fct_{view.fact.name}", back and matures + back)
    if outcome.fact is not view.fact:
        yield before(f"organize/fct_{outcome.fact.name}", matures)
    yield from (before(f"organize/dim_{d.name}") for d in view.dimensions)
