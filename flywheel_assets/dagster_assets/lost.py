"""Tables that runs made, and that are not there any more: their folders were deleted or moved."""

from collections.abc import Iterator, Sequence

from flywheel_assets.changes import owners
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.stores.declared import way_back
from flywheel_assets.stores.doctor import Finding


def lost(build: Build, flywheels: Sequence[Flywheel]) -> Iterator[Finding]:
    """Find the tables of flywheels that are gone, and say how each comes back."""
    for table in owners(flywheels):
        made = build.lost(table)
        if made:
            what = f"the table is gone; runs made it from {made[0]} to {made[1]}"
            yield Finding(table, what, way_back(table))


def require_tables(build: Build, flywheel: Flywheel) -> None:
    """Refuse to go on where a table of a flywheel is gone, while nothing has been written.

    Raises
    ------
    MissingPartitionError
    """
    for table in owners([flywheel]):
        build.require_table(table)
