"""<flywheel>/training_set."""

from datetime import date

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.collect import DECISION_SCHEMA
from flywheel_assets.dagster_assets.table_asset import table_asset
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.features import feature_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.training_set import decided_on, training_schema, training_set


def training_set_asset(build: Build, flywheel: Flywheel) -> dg.AssetsDefinition:
    """Compile a training set."""
    outcome, view = flywheel.outcome, flywheel.features
    fact, snapshot = f"organize/fct_{outcome.fact.name}", f"features/{view.name}"
    schema, matures = training_schema(flywheel), outcome.matures_after

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
            deps=[
                before("organize/fct_decision", matures - DAY, matures - DAY),
                before(snapshot, matures, matures),
                before(fact, matures),
            ],
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
        check=checks.training_set,
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
