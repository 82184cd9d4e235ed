"""Mend a home: what the API had rejected, what happened to a disk."""

from typing import Annotated

import typer
from rich.table import Table

from flywheel_assets.cli.app import app, console
from flywheel_assets.stores.home import current_home


@app.command()
def replay_rejected(
    observation: Annotated[str | None, typer.Option(help="This one alone, not all.")] = None,
) -> None:
    """Receive what the API rejected and the contract now takes; it is known from now on.

    What a file reported is judged anew when its day is materialized again.
    """
    from flywheel_assets.dagster_assets.replaying import replay_all
    from flywheel_assets.flywheels import FLYWHEELS

    shown = Table("observation", "accepted", "duplicate", "conflict", "still rejected")
    for name, done in replay_all(current_home(), FLYWHEELS, observation).items():
        counts = (done.accepted, done.duplicate, done.conflict, done.rejected)
        shown.add_row(name, *(f"{n:,}" for n in counts))
    console.print(shown)
    console.print("Rejected records of files: mend the contract, and materialize their day again.")


@app.command()
def doctor(mend: Annotated[bool, typer.Option(help="Mend what is safe to mend.")] = False) -> None:
    """Find what is wrong with the home and say how to mend it; exit 1 while something is."""
    from flywheel_assets.dagster_assets.doctor import examine
    from flywheel_assets.flywheels import FLYWHEELS

    table = Table("where", "what is wrong", "what to do", show_lines=True)
    left = 0
    for finding in examine(current_home(), FLYWHEELS):
        mended = mend and finding.mend is not None
        if mended and finding.mend is not None:
            finding.mend()
        left += not mended
        by = "mended: " if mended else "flywheel doctor --mend will " if finding.mend else ""
        table.add_row(finding.where, finding.what, by + finding.remedy)
    console.print(table if table.row_count else "Nothing is wrong.")
    raise typer.Exit(int(left > 0))
