"""Report on a flywheel: one page, readable without a network."""

from pathlib import Path
from typing import Annotated

import typer

from flywheel_assets.cli.app import Name, app, console, find
from flywheel_assets.errors import HomeError
from flywheel_assets.stores.home import current_home


@app.command()
def report(
    name: Name = "repurchase",
    out: Annotated[
        Path | None, typer.Option(help="The file; without it reports/NAME.html of the home.")
    ] = None,
) -> None:
    """Write one page of the whole flywheel: what it decided, what that earned, what needs you."""
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.reporting import known
    from flywheel_assets.report import write

    home, flywheel = current_home(), find(name)
    if home.settings() is None:
        raise HomeError(
            expected=f"a home at {home.root}",
            found="none",
            remedy="set FLYWHEEL_HOME to where a flywheel has run, or run one first",
        )
    file = write(home, flywheel, known(build_for(home), flywheel), out)
    console.print(f"Wrote {file}", soft_wrap=True)
