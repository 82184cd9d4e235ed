"""The command line itself: what its commands share."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.console import Console

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError, nearest

app = typer.Typer(help="Turn flywheels: decide, collect, organize, learn.", no_args_is_help=True)
console = Console()

Name = Annotated[str, typer.Argument(help="The flywheel.")]
From = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
To = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")]


def find(name: str) -> Flywheel:
    """Find a declared flywheel by its name.

    Raises
    ------
    HomeError
        For a name that none has.
    """
    from flywheel_assets.flywheels import FLYWHEELS

    for flywheel in FLYWHEELS:
        if flywheel.name == name:
            return flywheel
    names = [f.name for f in FLYWHEELS]
    raise HomeError(expected="a declared flywheel", found=name, remedy=nearest(name, names))


def today() -> date:
    """Give the day that has not closed yet (UTC)."""
    return datetime.now(UTC).date()
