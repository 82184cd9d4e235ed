"""How far a command has come: bars with rate and time left on a terminal, plain lines elsewhere."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, BinaryIO

import typer

from flywheel_assets.cli.app import console, say
from flywheel_assets.stages.clock import in_words
from flywheel_assets.stores.home import Home

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from flywheel_assets.dagster_assets.turn import Run

Shown = Callable[[int], AbstractContextManager[Callable[["Run"], None]]]
"""Of so many asset days: what is told of each run."""


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
        yield lambda run: say(f"{in_words(run.first, run.last)}: {_what(run)}")
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _rate("asset days"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("turning", total=total)
        yield lambda run: bar.update(
            task, advance=weight(run), description=f"{run.last} {_what(run)}"
        )


@contextmanager
def silent(_: int) -> "Iterator[Callable[[Run], None]]":
    """Show nothing: a script reads standard output."""
    yield lambda _: None


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal that something whose end is not known goes on."""
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def reading(file: BinaryIO) -> Iterator[BinaryIO]:
    """Show how much of a file was read, on a terminal and where its size is known."""
    from rich.progress import wrap_file

    try:
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError):  # what is no file, as in a test
        size = 0
    if not console.is_terminal or not size:
        yield file
        return
    with wrap_file(file, size, description="logging", console=console) as wrapped:
        yield wrapped


def announce(home: Home) -> None:
    """Say on standard error that a home is begun and where, since FLYWHEEL_HOME may be mistyped."""
    home.require_settings()
    if home.settings() is None:
        typer.echo(f"A new home at {home.root}.", err=True)


def weight(run: "Run") -> int:
    """Count the asset days of a run."""
    return len(run.assets) * ((run.last - run.first).days + 1)


def _what(run: "Run") -> str:
    return run.assets[0] if len(run.assets) == 1 else f"{run.assets[0]} to {run.assets[-1]}"


def _rate(unit: str) -> "ProgressColumn":
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f} {unit}/s")

    return Rate()
