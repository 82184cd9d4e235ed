"""Who decides: promote a version, roll back to one, train one again and compare."""

from datetime import datetime
from typing import Annotated

import typer

from flywheel_assets.cli.app import app, console, find
from flywheel_assets.stores.home import current_home

FlywheelName = Annotated[str, typer.Argument(metavar="FLYWHEEL")]
Why = Annotated[str, typer.Option(help="Goes into the ledger.")]
Since = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], help="A later day than the first undecided one."),
]


@app.command()
def promote(
    name: FlywheelName,
    version: Annotated[int, typer.Argument(help="A registered version.")],
    why: Why,
    since: Since = None,
) -> None:
    """Let a version decide, from the first day on that is not decided yet."""
    from flywheel_assets.dagster_assets import promotions
    from flywheel_assets.dagster_assets.build import build_for

    day = since.date() if since else None
    made = promotions.promote(build_for(current_home()), find(name), version, why, day)
    console.print(f"{name}: version {made.version} decides from {made.since} on.")


@app.command()
def rollback(
    name: FlywheelName,
    why: Why,
    to: Annotated[int | None, typer.Option(help="A version; else the champion before.")] = None,
    since: Since = None,
) -> None:
    """Return to the champion before, or to a version, from the first undecided day on."""
    from flywheel_assets.dagster_assets import promotions
    from flywheel_assets.dagster_assets.build import build_for

    day = since.date() if since else None
    made = promotions.rollback(build_for(current_home()), find(name), to, why, day)
    console.print(f"{name}: back to version {made.version}, from {made.since} on.")
