"""The report of a flywheel, written when somebody asks for it."""

from pathlib import Path

from flywheel_assets.dagster_assets.build import build_for, today
from flywheel_assets.dagster_assets.compile import compile_flywheels
from flywheel_assets.dagster_assets.event_log import instance_of
from flywheel_assets.dagster_assets.reporting import failures
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report import Failed, write
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stores.home import Home


def write_report(home: Home, flywheel: Flywheel, file: Path | None = None) -> Path:
    """Write the report of a flywheel as its home is now, as its asset does after a turn.

    Parameters
    ----------
    file : Path, optional
        Without one, ``reports/<flywheel>.html`` of the home.
    """
    settings = home.settings()
    goes_on = settings is not None and settings.end is None
    closed = today() - DAY if goes_on else None
    return write(home, flywheel, failed_checks(home, flywheel), file, closed)


def failed_checks(home: Home, flywheel: Flywheel) -> list[Failed]:
    """Find the checks of a flywheel's tables that failed, or warned, when they were made last."""
    graph = compile_flywheels(build_for(home), [flywheel]).resolve_asset_graph()
    with instance_of(home) as instance:
        return failures(instance, flywheel, list(graph.asset_check_keys))
