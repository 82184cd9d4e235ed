"""Tables that runs made, and that are not there any more: their folders were deleted or moved."""

from collections.abc import Iterator, Sequence

from flywheel_assets.changes import owners
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.stores.declared import is_history
from flywheel_assets.stores.doctor import Finding


def lost(build: Build, flywheels: Sequence[Flywheel]) -> Iterator[Finding]:
    """Find the tables of flywheels that are gone, and say how each comes back."""
    for table in owners(flywheels):
        made = build.declared.lost(table, build.tables)
        if made:
            yield Finding(
                table,
                f"the table is gone; runs made it from {made[0].first} to {made[-1].last}",
                "put its folder back from a backup: it is history, and nothing else brings it back"
                if is_history(table)
                else "put its folder back from a backup, or make it again: flywheel apply",
            )
