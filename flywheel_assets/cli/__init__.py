"""The command line: turn a flywheel, look at it, measure it."""

import sys

from rich.console import Console

from flywheel_assets.cli import changing, looking, mending, promoting, reporting, serving, turning
from flywheel_assets.cli.app import app
from flywheel_assets.errors import FlywheelError

__all__ = [
    "app",
    "changing",
    "looking",
    "main",
    "mending",
    "promoting",
    "reporting",
    "serving",
    "turning",
]


def main() -> None:
    """Run the command line; an error of ours is one message, without a traceback."""
    try:
        app()
    except FlywheelError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False)
        sys.exit(1)
