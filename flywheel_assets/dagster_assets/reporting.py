"""<flywheel>/report: the page of the whole flywheel, written after each scheduled turn."""

from collections.abc import Sequence

import dagster as dg

from flywheel_assets.changes import owners
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.verdicts import verdicts
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report import Failed, write


def report_key(flywheel: Flywheel) -> str:
    """Name the asset: it is no table, and is made once for all partitions."""
    return f"{flywheel.name}/report"


def report_asset(
    build: Build, flywheel: Flywheel, keys: Sequence[dg.AssetCheckKey]
) -> dg.AssetsDefinition:
    """Compile the page.

    Parameters
    ----------
    keys : sequence of AssetCheckKey
        Of all checks that there are.
    """
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
        failed = failures(context.instance, flywheel, keys)
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
    instance: dg.DagsterInstance, flywheel: Flywheel, keys: Sequence[dg.AssetCheckKey]
) -> list[Failed]:
    """Ask which of these checks of a flywheel's tables failed, or warned, when made last."""
    tables = owners([flywheel]).keys()
    mine = [key for key in keys if "/".join(key.asset_key.path) in tables]
    return sorted(
        Failed(table, message, warns)
        for table, found in verdicts(instance, mine).items()
        for message, warns in found
    )
