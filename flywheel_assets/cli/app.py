"""The command line itself: what its commands share, and how it ends when one fails."""

import errno
import json
import math
import os
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import FlywheelError, HomeError
from flywheel_assets.stores.data_files import missing
from flywheel_assets.stores.home import Home, current_home

START, TURN, LOOK = "Start", "Turn the wheel", "Look at it"
DECIDE, CHANGE, MEND, SERVE = "Who decides", "Change it knowingly", "Mend it", "Close the loop"
PANELS = (START, TURN, LOOK, DECIDE, CHANGE, MEND, SERVE)
"""The headings of ``flywheel --help``, in their order: the loop's."""
TRACEBACK = "FLYWHEEL_TRACEBACK"
REFUSED, USAGE, INTERRUPTED = 1, 2, 130
_UNWRITABLE = {"unable to open database file", "attempt to write a readonly database"}
EPILOG = (
    "Exit status: 0 done, and nothing is wrong; 1 refused or failed, or something needs attention "
    "(status, doctor, validate, reproduce, log); 2 a mistake in the command line, and of plan: "
    "something has to be made again; 3 of plan: something that others use breaks; 130 ended by "
    "Ctrl-C: the same command goes on where it was."
)


class Loop(TyperGroup):
    """Lists commands under the headings of the loop, and ends each failure in one message."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Order the commands as their headings are."""
        order = {panel: place for place, panel in enumerate(PANELS)}

        def place(name: str) -> int:
            command = self.get_command(ctx, name)
            panel = getattr(command, "rich_help_panel", None)
            return order.get(str(panel), len(order))

        return sorted(super().list_commands(ctx), key=place)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it raises is said in words, with the exit status that belongs to it.

        The traceback is shown where `--traceback` or ``FLYWHEEL_TRACEBACK`` asks for it.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("[yellow]interrupted:[/yellow] what was written stays, what was not is as before.")
            _say("To go on where it was, run the same command again.")
            raise typer.Exit(INTERRUPTED) from None
        except FlywheelError as error:
            if _wants_traceback(ctx):
                raise
            _say("[red]error:[/red] " + escaped(str(error)))
            raise typer.Exit(REFUSED) from None
        except Exception as error:
            if _ends(error) or _wants_traceback(ctx):
                raise
            if refused := _refused(error):
                _say("[red]error:[/red] " + escaped(str(refused)))
                raise typer.Exit(REFUSED) from None
            _say(f"[red]unexpected {type(error).__name__}:[/red] " + escaped(str(error)))
            _say(
                f"This is a mistake of ours, or of the machine: {TRACEBACK}=1 shows where, and "
                "`flywheel doctor` what is wrong with the home."
            )
            raise typer.Exit(REFUSED) from None


app = typer.Typer(
    cls=Loop,
    help="The flywheel: collect, organize, features, training_set, model, decisions, and again.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
From = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")]
To = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")]
EarliestFrom = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; the earliest.")
]
LatestTo = Annotated[
    datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; the newest.")
]


def completed(incomplete: str) -> list[str]:
    """Complete the name of a flywheel in the shell."""
    from flywheel_assets.project import declared

    return [f.name for f in declared() if f.name.startswith(incomplete)]


Name = Annotated[
    str | None,
    typer.Argument(
        help="The flywheel; the first that is listed without it.", autocompletion=completed
    ),
]
FlywheelName = Annotated[str, typer.Argument(metavar="FLYWHEEL", autocompletion=completed)]


@app.callback()
def common(
    ctx: typer.Context,
    traceback: Annotated[
        bool, typer.Option("--traceback", envvar=TRACEBACK, help="Show where an error was raised.")
    ] = False,
) -> None:
    """Take what goes before every command."""
    ctx.obj = {"traceback": traceback}


def opened() -> Home:
    """Find the home, in which something must have run.

    Raises
    ------
    HomeError
        For one that nothing has run in, or whose settings are gone.
    """
    home = current_home()
    home.require()
    return home


def receiving() -> Home:
    """Find the home, which may receive before anything has run in it; that is said.

    Whoever mistyped its name would look for what was sent in another.
    """
    home = current_home()
    if home.settings() is None:
        warn(
            f"there is no home at {home.root} yet; what is received there waits for the first "
            "`flywheel run`. If another is meant, set FLYWHEEL_HOME"
        )
    return home


def find(name: str | None) -> Flywheel:
    """Find a declared flywheel by its name; the first, without one.

    Raises
    ------
    HomeError
        For a name that none has.
    """
    from flywheel_assets.project import declared, named

    return named(declared(), name)


def today() -> date:
    """Give the day that has not closed yet (UTC)."""
    return datetime.now(UTC).date()


def print_json(found: Sequence[Any] | dict[str, Any]) -> None:
    """Print something for scripts; days and times are ISO 8601, what is not finite is null."""
    sys.stdout.write(json.dumps(_finite(found), indent=1, default=str, allow_nan=False) + "\n")


def _finite(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {key: _finite(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_finite(value) for value in thing]
    return None if isinstance(thing, float) and not math.isfinite(thing) else thing


def warn(*lines: str) -> None:
    """Say on standard error what a person should know before a command goes on."""
    for number, line in enumerate(lines):
        _say(("" if number else "[yellow]warning:[/yellow] ") + escaped(line))


def say(text: str) -> None:
    """Print a sentence; where it goes on in the next line is the terminal's to say."""
    console.print(text, soft_wrap=True)


def _say(text: str) -> None:
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)


def escaped(text: str) -> str:
    """Write a text that comes from data, in which brackets are no markup."""
    from rich.markup import escape

    return escape(text)


def _wants_traceback(ctx: Any) -> bool:
    asked = (ctx.obj or {}).get("traceback") if isinstance(ctx.obj, dict) else None
    return bool(os.environ.get(TRACEBACK)) if asked is None else bool(asked)


def _refused(error: BaseException) -> HomeError | None:
    """Say that the home cannot be written or lacks a file, if that is why something failed."""
    home, found = current_home(), None
    cause: BaseException | None = error
    while cause is not None and found is None:
        found = _why(home, cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _why(home: Home, error: BaseException) -> HomeError | None:
    if isinstance(error, Exception) and home.is_of_a_full_disk(error):
        return home.full(error)
    if isinstance(error, FileNotFoundError):
        return missing(error, home.lakehouse)
    if isinstance(error, sqlite3.OperationalError) and str(error) in _UNWRITABLE:
        return home.unwritable(error)
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EROFS}:
        inside = home.root in Path(str(error.filename)).parents
        return home.unwritable(error) if inside else None
    return None


def _ends(error: BaseException) -> bool:
    """Say whether it is one of typer's own ways to end a command."""
    return type(error).__module__.split(".")[0] in {"click", "typer"}
