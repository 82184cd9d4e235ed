"""From declarations to Dagster definitions: assets, checks, jobs, schedules."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import dagster as dg

from flywheel_assets.changes.meaning import meanings
from flywheel_assets.changes.stages import lineage
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.collect import collect, collect_decisions, reported
from flywheel_assets.dagster_assets.decisions import decisions_asset, shown
from flywheel_assets.dagster_assets.drift import drift_asset
from flywheel_assets.dagster_assets.features import features_asset
from flywheel_assets.dagster_assets.model import model_asset
from flywheel_assets.dagster_assets.notices import sensors
from flywheel_assets.dagster_assets.organize import (
    organize_decisions,
    organize_dimension,
    organize_fact,
)
from flywheel_assets.dagster_assets.performance import performance_asset
from flywheel_assets.dagster_assets.reporting import report_asset
from flywheel_assets.dagster_assets.schedules import schedules
from flywheel_assets.dagster_assets.training_set import training_set_asset
from flywheel_assets.declare.flywheel import Catalog, Flywheel, catalog


def assets(build: Build, things: Catalog) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Compile everything that is declared, in the order of the loop."""
    wheels = things.flywheels
    made: list[dg.AssetsDefinition | dg.AssetSpec] = [
        *(reported(o) for o in things.observations),
        _published(wheels),
        *(collect(build, o) for o in things.observations),
        collect_decisions(build, wheels),
        *(organize_fact(build, f) for f in things.facts),
        *(organize_dimension(build, d) for d in things.dimensions),
        organize_decisions(build, wheels),
        *(features_asset(build, v) for v in things.views),
        *(training_set_asset(build, f) for f in wheels),
        *(model_asset(build, f) for f in wheels),
        *(decisions_asset(build, f, [o.name for o in wheels if o is not f]) for f in wheels),
        *(shown(f) for f in wheels),
        *(performance_asset(build, f) for f in wheels),
        *(drift_asset(build, f) for f in wheels),
    ]
    checks = [c.key for a in made if isinstance(a, dg.AssetsDefinition) for c in a.check_specs]
    return [*made, *(report_asset(build, f, checks) for f in wheels)]


def compile_flywheels(build: Build, flywheels: Iterable[Flywheel]) -> dg.Definitions:
    """Compile flywheels for a home.

    Raises
    ------
    DeclarationError
        When two different things share a name.
    """
    things = catalog(flywheels)
    build = replace(build, meanings=meanings(things.flywheels), graph=lineage(things.flywheels))
    jobs, ticks = schedules(build, things)
    return dg.Definitions(
        assets=assets(build, things),
        jobs=jobs,
        schedules=ticks,
        sensors=sensors(things),
        executor=dg.in_process_executor,
    )


def _published(flywheels: Sequence[Flywheel]) -> dg.AssetSpec:
    return dg.AssetSpec(
        ["product", "decision"],
        group_name="product_reports",
        owners=sorted({owner for f in flywheels for owner in f.owners}),
        description="The decisions that the product acted on, as it reports them a day later.",
    )
