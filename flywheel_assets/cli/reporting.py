"""Report on a flywheel: one page, readable without a network."""

from pathlib import Path
from typing import Annotated

import typer

from flywheel_assets.cli.app import LOOK, Name, app, console, find, opened


@app.command(rich_help_panel=LOOK)
def report(
    name: Name = None,
    out: Annotated[
        Path | None, typer.Option(help="The file; without it reports/NAME.html of the home.")
    ] = None,
) -> None:
    """Write one page of the whole flywheel: what it decided, what that earned, what needs you."""
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.reporting import failures
    from flywheel_assets.report import write

    home, flywheel = opened(), find(name)
    file = write(home, flywheel, failures(build_for(home), flywheel), out)
    console.print(f"Wrote {file}", soft_wrap=True)
