"""How far a command that turns a flywheel has come."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flywheel_assets.cli.app import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from flywheel_assets.dagster_assets.turn import Run


@contextmanager
def progress(total: int) -> "Iterator[Callable[[Run], None]]":
    """Show a bar on a terminal, and a line for each run elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    if not console.is_terminal:
        yield lambda run: console.print(f"{run.first} to {run.last}: {_what(run)}")
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("asset days"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("turning", total=total)
        yield lambda run: bar.update(
            task, advance=weight(run), description=f"{run.last} {_what(run)}"
        )


def _what(run: "Run") -> str:
    return run.assets[0] if len(run.assets) == 1 else f"{run.assets[0]} to {run.assets[-1]}"


def weight(run: "Run") -> int:
    """Count the asset days of a run."""
    return len(run.assets) * ((run.last - run.first).days + 1)
