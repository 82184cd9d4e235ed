"""Whether the decisions that a flywheel published have come back as observations.

Flywheels share ``collect/decision`` and need not turn together: one that is turned over days for
which another has closed the loop already finds those days without its own decisions.
"""

from datetime import date

import polars as pl

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import MissingPartitionError
from flywheel_assets.stages.clock import DAY

_COUNTED = {PARTITION: pl.Date(), "flywheel": pl.String()}


def not_back(build: Build, flywheel: Flywheel, first: date, last: date) -> list[date]:
    """Give the days of a range whose decisions are not all in the partition after them.

    Parameters
    ----------
    first, last : date
        Partitions of ``<flywheel>/decisions``, both included.
    """
    published = build.tables.read(f"{flywheel.name}/decisions", _COUNTED, first, last)
    known = build.tables.read("organize/fct_decision", _COUNTED, first + DAY, last + DAY)
    come = known.filter(flywheel=flywheel.name).with_columns(
        pl.col(PARTITION) - pl.duration(days=1)
    )
    counts = [frame.group_by(PARTITION).len() for frame in (published, come)]
    both = counts[0].join(counts[1], on=PARTITION, how="left", suffix="_back").sort(PARTITION)
    missing = both.filter(pl.col("len") > pl.col("len_back").fill_null(0)).collect()
    return missing[PARTITION].to_list()


def require_back(build: Build, flywheel: Flywheel, first: date, last: date) -> None:
    """Refuse to learn from a part of what was decided.

    Raises
    ------
    MissingPartitionError
    """
    missing = not_back(build, flywheel, first, last)
    if missing:
        raise MissingPartitionError(
            expected=f"the decisions of {flywheel.name} in organize/fct_decision of the day after",
            found=f"{len(missing)} days whose are not all there, {missing[0]} first",
            remedy="materialize collect/decision and organize/fct_decision again, from "
            f"{missing[0] + DAY} to {missing[-1] + DAY}",
        )
