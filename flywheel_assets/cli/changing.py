"""Change a declaration knowing what it touches: plan, apply, owners."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from flywheel_assets.cli.app import (
    CHANGE,
    LOOK,
    AsJson,
    app,
    completed,
    console,
    escaped,
    find,
    opened,
    print_json,
    say,
)
from flywheel_assets.cli.planned import as_json as told
from flywheel_assets.cli.planned import show
from flywheel_assets.errors import HomeError, many, nearest
from flywheel_assets.stores.alone import alone
from flywheel_assets.stores.home import current_home

if TYPE_CHECKING:
    from flywheel_assets.dagster_assets.planning import Step
    from flywheel_assets.dagster_assets.status import TableStatus

SOMETHING, BREAKING = 2, 3


@app.command(rich_help_panel=CHANGE)
def plan(
    as_json: AsJson = False,
    against: Annotated[
        Path | None, typer.Option(help="Compare with what --save wrote, not with the home.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write down what is declared now, for --against.")
    ] = None,
) -> None:
    """Say what a changed declaration touches, before anything is touched.

    By table: the grade, the columns (+ added, ~ changed, - removed, > different for what they are
    made of), the partitions to be made again with their rows and an estimate of the time from past
    runs, and the owners. Then the models to retrain and the decisions affected, with the first day.

    Exit status: 0 when nothing comes out otherwise, 2 when something does, history included, which
    follows at its next turn; 3 when something that others use is gone or of another type.
    """
    from flywheel_assets.changes.meaning import meanings
    from flywheel_assets.changes.plan import Grade
    from flywheel_assets.project import declared
    from flywheel_assets.starting.expressions import require_expressions

    for flywheel in declared():
        require_expressions(flywheel)
    if save is not None:
        meant = {table: asdict(one) for table, one in meanings(declared()).items()}
        save.write_text(json.dumps(meant, indent=1) + "\n", encoding="utf-8")
        if not as_json:
            say(f"What is declared now is in {save}: flywheel plan --against {save} elsewhere.")
    planned = _against(against) if against else _of_home()
    if as_json:
        print_json([told(step) for step in planned])
    elif against is None and current_home().settings() is None:
        say(_nothing_yet())
    else:
        show(planned)
    worst = max((step.change.grade for step in planned), default=Grade.DESCRIPTION)
    if worst > Grade.DESCRIPTION:
        raise typer.Exit(BREAKING if worst is Grade.BREAKING else SOMETHING)


@app.command(rich_help_panel=CHANGE)
def apply() -> None:
    """Carry out the plan: make again what has to be, and nothing else.

    Killed and started again it goes on where it was. What was trained, promoted and published
    stays.
    """
    from flywheel_assets.cli.progress import progress
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.lost import lost
    from flywheel_assets.dagster_assets.planning import apply as carry_out
    from flywheel_assets.dagster_assets.turn import Turner
    from flywheel_assets.project import declared

    home = current_home()
    if home.settings() is None:
        say(_nothing_yet())
        return
    with alone(home, "flywheel apply"):
        planned = _of_home()
        if any(step.n_days or step.carried or step.gone for step in planned):
            with progress(sum(step.n_days for step in planned)) as report:
                for step in carry_out(planned, Turner(home, declared()), report):
                    _tell(step)
        elif planned:
            say("Nothing to make again: what differs is history, and stays; see flywheel plan.")
        else:
            say("Nothing to make again.")
        still_gone = list(lost(build_for(home), declared()))
    for one in still_gone:
        say(f"{one.where}: {one.what}; {one.remedy}")
    if still_gone:
        raise typer.Exit(1)


def _nothing_yet() -> str:
    current_home().require_settings()
    return f"No table is made yet in {current_home().root}: `flywheel run` does."


def _tell(step: "Step") -> None:
    if step.n_days:
        say(f"{step.change.table}: {many(step.n_days, 'day')} made again")
    elif step.carried:
        say(f"{step.change.table}: kept as it is, by the new declaration")
    elif step.gone:
        say(f"{step.change.table}: let go; its data stays where it is")


@app.command(name="owners", rich_help_panel=CHANGE)
def show_owners(
    flywheel: Annotated[
        str | None,
        typer.Argument(
            help="Whose tables alone are shown: those that it is made of, and its own.",
            autocompletion=completed,
        ),
    ] = None,
    of: Annotated[
        list[str] | None, typer.Option(help="Only what this owner has; may be given repeatedly.")
    ] = None,
    codeowners: Annotated[
        Path | None, typer.Option(help="Write a CODEOWNERS file of all that is declared.")
    ] = None,
    organization: Annotated[str, typer.Option(help="Before the team's name there.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say who owns what, in the order of the loop, and what nobody can be called about."""
    from flywheel_assets.changes.owners import code_owners, on_call
    from flywheel_assets.project import declared

    if codeowners is not None:
        codeowners.parent.mkdir(parents=True, exist_ok=True)
        codeowners.write_text(code_owners(declared(), organization), encoding="utf-8")
    whose = _owned(flywheel, of or ())
    if as_json:
        told = {t: {"owners": o, "on_call": on_call(o)} for t, o in whose.items()}
        print_json(told)
        return
    shown = Table(_whole("table"), "owners", "on call")
    for table, names in whose.items():
        shown.add_row(table, ", ".join(names), ", ".join(on_call(names)) or "nobody: no address")
    console.print(shown)


def _owned(flywheel: str | None, of: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Give the owners of tables: of those of a flywheel, of those that some owners have."""
    from flywheel_assets.changes import owners
    from flywheel_assets.project import declared

    whose = owners(declared())
    valid = {name for names in whose.values() for name in names}
    for name in of:
        if name not in valid:
            raise HomeError(
                expected="somebody who owns a table", found=name, remedy=nearest(name, valid)
            )
    tables = whose if flywheel is None else owners([find(flywheel)])
    return {t: whose[t] for t in tables if not of or not {*of}.isdisjoint(whose[t])}


@app.command(rich_help_panel=LOOK)
def status(as_json: AsJson = False) -> None:
    """Say which tables need attention, the most pressing first; exit 1 while one does."""
    from flywheel_assets.dagster_assets.status import Urgency
    from flywheel_assets.dagster_assets.status import status as look
    from flywheel_assets.project import declared

    found = look(opened(), declared())
    if as_json:
        told = [asdict(one) | {"urgency": one.urgency.name.lower()} for one in found]
        print_json(told)
    else:
        _show(found)
    if any(one.urgency is not Urgency.FINE for one in found):
        raise typer.Exit(1)


def _show(found: Sequence["TableStatus"]) -> None:
    wanting = {one.table: _wanting(one) for one in found}
    for one in found:
        if lines := wanting[one.table]:
            newest = f"to {one.newest}" if one.newest else "never made"
            say(f"[bold]{one.table}[/bold], {newest}, {', '.join(one.owners)}")
            for line in lines:
                say(f"  - {escaped(line)}")
    fine = [table for table, lines in wanting.items() if not lines]
    if fine:
        others = many(len(fine), "other" if len(fine) < len(found) else "table")
        say(f"Nothing to do for {others}: {', '.join(fine)}.")


def _whole(header: str) -> Column:
    """Head a column whose names are shown whole, also where the terminal is narrow."""
    return Column(header, no_wrap=True)


def _wanting(one: "TableStatus") -> list[str]:
    lines = [*one.failed, *one.warned]
    if one.holes:
        lines.append(f"{many(len(one.holes), 'day')} never made, {one.holes[0]} first")
    if one.days_behind:
        lines.append(f"{many(one.days_behind, 'day')} behind")
    if one.newest is None:
        lines.append("no day of it was ever made: flywheel run")
    return lines


def _of_home() -> list["Step"]:
    from flywheel_assets.dagster_assets.planning import steps
    from flywheel_assets.dagster_assets.speed import speeds
    from flywheel_assets.dagster_assets.turn import Turner
    from flywheel_assets.project import declared

    home = current_home()
    planned = steps(home, declared(), {})
    if not any(step.ranges for step in planned):
        return planned
    # Only what is to be made is worth asking how long it took.
    tables = [step.change.table for step in planned]
    return steps(home, declared(), speeds(Turner(home, declared()), tables))


def _against(file: Path) -> list["Step"]:
    from flywheel_assets.changes.meaning import Meaning, meanings
    from flywheel_assets.changes.plan import plan as compare
    from flywheel_assets.dagster_assets.planning import Step
    from flywheel_assets.project import declared

    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        before = {table: Meaning(**one) for table, one in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise HomeError(
            expected=f"what flywheel plan --save wrote, by this release, in {file}",
            found=str(error),
            remedy="write it where the other declaration is: flywheel plan --save FILE",
        ) from error
    return [Step(change, (), 0, None) for change in compare(before, meanings(declared()))]
