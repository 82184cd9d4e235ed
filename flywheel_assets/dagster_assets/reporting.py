"""<flywheel>/report: the page of the whole flywheel, written after each scheduled turn."""

import os

import dagster as dg

from flywheel_assets.changes import owners
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.verdicts import verdicts
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report import Failed, write
from flywheel_assets.stages.checks import BLOCKING, WARNING


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
        failed = failures(build, flywheel, context.instance)
        file = write(build.home, flywheel, failed)
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.path(file),
                "link": dg.MetadataValue.url(file.as_uri()),
                "checks_that_fail": len(failed),
            }
        )

    return body


def failures(
    build: Build, flywheel: Flywheel, instance: dg.DagsterInstance | None = None
) -> list[Failed]:
    """Ask Dagster which checks of a flywheel's tables failed, or warned, when made last."""
    if instance is None:
        os.environ["DAGSTER_HOME"] = str(build.home.dagster)
        with dg.DagsterInstance.get() as opened:
            return failures(build, flywheel, opened)
    # Of the names that other tables' checks have, nothing was ever said.
    names = sorted({n for group in (BLOCKING, WARNING) for found in group.values() for n in found})
    keys = [
        dg.AssetCheckKey(dg.AssetKey(table.split("/")), name)
        for table in owners([flywheel])
        for name in names
    ]
    found = verdicts(instance, keys)
    return sorted(
        Failed(table, message, warns) for table, told in found.items() for message, warns in told
    )
