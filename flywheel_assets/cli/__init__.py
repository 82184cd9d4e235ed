"""The command line: a file for each topic, in the order of the loop."""

from flywheel_assets.cli import (
    changing,
    decided,
    forgetting,
    impact,
    looking,
    mending,
    promoting,
    rejected,
    reporting,
    serving,
    starting,
    turning,
)
from flywheel_assets.cli.app import app

__all__ = [
    "app",
    "changing",
    "decided",
    "forgetting",
    "impact",
    "looking",
    "main",
    "mending",
    "promoting",
    "rejected",
    "reporting",
    "serving",
    "starting",
    "turning",
]


def main() -> None:
    """Run the command line."""
    app(prog_name="flywheel")
