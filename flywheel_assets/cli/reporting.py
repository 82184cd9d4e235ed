"""Report on a flywheel: one page, readable without a network."""

from pathlib import Path
from typing import Annotated

import typer

from flywheel_assets.cli.app import LOOK, Name, app, find, opened, say


@app.command(rich_help_panel=LOOK)
def report(
    name: Name = None,
    out: Annotated[
        Path | None, typer.Option(help="The file; without it reports/NAME.html of the home.")
    ] = None,
) -> None:
    """Write one page of the whole flywheel: what it decided, what that earned, what needs you."""
    from flywheel_assets.dagster_assets.reported import write_report

    say(f"Wrote {write_report(opened(), find(name), out)}")
