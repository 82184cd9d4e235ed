"""Whether the decisions that a flywheel published have come back as observations.

Flywheels share ``collect/decision`` and need not turn together: one that is turned over days for
which another has closed the loop already finds those days without its own decisions.
"""

from datetime import date

import polars as pl

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import DECISION_ID, PARTITION
from flywheel_assets.errors import MissingPartitionError, many
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.decisions import DECISION_COLUMNS

_COMPARED = (PARTITION, DECISION_ID, "action", "propensity")
_READ: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    **{name: DECISION_COLUMNS[name] for name in (DECISION_ID, "flywheel", "action", "propensity")},
}


def not_back(build: Build, flywheel: Flywheel, first: date, last: date) -> list[date]:
    """Give the days of a range whose decisions are not, as published, in the partition after them.

    Decisions that were replaced have to come back again: a decision_id, an action and a propensity
    are compared.

    Parameters
    ----------
    first, last : date
        Partitions of ``<flywheel>/decisions``, both included.
    """
    published = build.tables.read(f"{flywheel.name}/decisions", _READ, first, last)
    known = build.tables.read("organize/fct_decision", _READ, first + DAY, last + DAY)
    come = known.filter(flywheel=flywheel.name).with_columns(
        pl.col(PARTITION) - pl.duration(days=1)
    )
    one, other = (frame.select(_COMPARED).collect() for frame in (published, come))
    differing = [a.join(b, on=_COMPARED, how="anti") for a, b in ((one, other), (other, one))]
    days = pl.concat(differing)[PARTITION].unique().sort()
    return days.to_list()


def require_back(build: Build, flywheel: Flywheel, first: date, last: date) -> None:
    """Refuse to go by a part of what was decided, or by what was replaced.

    Raises
    ------
    MissingPartitionError
    """
    missing = not_back(build, flywheel, first, last)
    if missing:
        newest = max(missing[-1] + DAY, *build.tables.days(f"{flywheel.name}/decisions"))
        raise MissingPartitionError(
            expected=f"the decisions of {flywheel.name} in organize/fct_decision of the day after",
            found=f"{many(len(missing), 'day')} whose decisions are not there as published, "
            f"{missing[0]} first",
            remedy="materialize collect/decision and organize/fct_decision again, and what is made "
            f"of them: flywheel run {flywheel.name} --from {missing[0] + DAY} --to "
            f"{newest} --again",
        )
