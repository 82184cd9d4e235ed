"""<flywheel>/report: the page of the whole flywheel, written after each scheduled turn."""

import os
from collections.abc import Sequence
from datetime import date

import dagster as dg

from flywheel_assets.changes import owners
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.promotions import ledger_of, registered_name
from flywheel_assets.dagster_assets.verdicts import verdicts
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report import Known, write
from flywheel_assets.stages.checks import BLOCKING, WARNING

IMPORTANCE = "importance."
"""What the metrics of a run are called that say how much the model goes by a feature."""


def report_key(flywheel: Flywheel) -> str:
    """Name the asset: it is no table, and is made once for all partitions."""
    return f"{flywheel.name}/report"


def report_asset(build: Build, flywheel: Flywheel) -> dg.AssetsDefinition:
    """Compile the page."""
    key = report_key(flywheel).split("/")

    @dg.asset(
        key=key,
        deps=[[flywheel.name, stage] for stage in ("decisions", "performance", "drift")],
        group_name="performance",
        owners=list(flywheel.owners),
        description="One page of the whole flywheel, as it is now: what it decided, what that "
        "earned, what needs attention. It is written anew each time.",
        kinds={"html"},
        pool="_".join(key),
    )
    def body(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        told = known(build, flywheel, context.instance)
        file = write(build.home, flywheel, told)
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.path(file),
                "link": dg.MetadataValue.url(file.as_uri()),
                "checks_that_fail": len(told.failed),
            }
        )

    return body


def known(build: Build, flywheel: Flywheel, instance: dg.DagsterInstance | None = None) -> Known:
    """Gather what Dagster and MLflow know: checks that fail, what the champion goes by."""
    if instance is None:
        os.environ["DAGSTER_HOME"] = str(build.home.dagster)
        with dg.DagsterInstance.get() as opened:
            return known(build, flywheel, opened)
    # Of the names that other tables' checks have, nothing was ever said.
    names = sorted({n for group in (BLOCKING, WARNING) for found in group.values() for n in found})
    keys = [
        dg.AssetCheckKey(dg.AssetKey(table.split("/")), name)
        for table in owners([flywheel])
        for name in names
    ]
    failed = verdicts(instance, keys)
    return Known(
        failed=tuple(
            (table, message, warns)
            for table, found in sorted(failed.items())
            for message, warns in sorted(found)
        ),
        importance=_importance(build, flywheel),
        importance_of="Permutation importance: by how much the metric falls without the feature",
    )


def _importance(build: Build, flywheel: Flywheel) -> Sequence[tuple[str, float]]:
    standing = ledger_of(build, flywheel).champion(date.max)
    if standing is None:
        return ()
    name = registered_name(flywheel)
    metrics = build.registry.metrics(name, standing.judged_version)
    found = [
        (metric.removeprefix(IMPORTANCE), value)
        for metric, value in metrics.items()
        if metric.startswith(IMPORTANCE)
    ]
    return sorted(found, key=lambda one: (-one[1], one[0]))
