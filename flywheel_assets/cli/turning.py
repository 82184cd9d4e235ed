"""Turn a flywheel: over real sources, or with the simulated shop."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from flywheel_assets.cli.app import TURN, AsJson, From, Name, To, app, find, print_json, today, warn
from flywheel_assets.cli.progress import Shown, announce, progress, silent, weight
from flywheel_assets.cli.sources import require_sources, sources
from flywheel_assets.cli.turned import Turned, show, turned
from flywheel_assets.cli.turned import as_json as told
from flywheel_assets.declare.collect import SqlSource
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError, many
from flywheel_assets.stores.alone import alone
from flywheel_assets.stores.home import Home, current_home

DAY = timedelta(days=1)
DEMO_DAYS = 90
NAMED = 3
"""How many tables a warning names."""

SourceDir = Annotated[
    Path | None,
    typer.Option(
        help="Where the data is, instead of the declared place: a file or a folder of daily files; "
        "of several observations a folder, in which each has a folder or file of its name."
    ),
]
Again = Annotated[
    bool, typer.Option("--again", help="Make the days again, whatever of them is there.")
]
DecideAgain = Annotated[
    bool,
    typer.Option(
        "--decide-again",
        help="Make them again, and replace published decisions that come out different.",
    ),
]


@app.command(rich_help_panel=TURN)
def run(  # noqa: PLR0913, PLR0917  each an option of its own
    first: From,
    last: To,
    name: Name = None,
    source: SourceDir = None,
    again: Again = False,
    decide_again: DecideAgain = False,
    as_json: AsJson = False,
) -> None:
    """Turn a flywheel over a range of days; run again, it goes on where it was."""
    from flywheel_assets.starting.expressions import require_expressions

    flywheel = find(name)
    require_expressions(flywheel)
    home = current_home()
    step = silent if as_json else progress
    how = {"again": again, "decide_again": decide_again}
    if _simulated(home, flywheel, source):
        made = _closed_loop(home, flywheel, first.date(), last.date(), step, **how)
    else:
        made = _replay(home, flywheel, first.date(), last.date(), source, step, **how)
    if as_json:
        print_json(told(made))
    else:
        show(made)


@app.command(rich_help_panel=TURN)
def demo(
    n_days: Annotated[
        int | None,
        typer.Option(
            "--days", min=1, help="How many, up to yesterday in a home that is empty; 90."
        ),
    ] = None,
) -> None:
    """Turn repurchase for some days with a simulated shop that reacts to its decisions."""
    home = current_home()
    settings = home.settings()
    first = settings.start if settings else today() - (n_days or DEMO_DAYS) * DAY
    closed = (today() - first).days
    wanted = n_days or min(DEMO_DAYS, closed)
    if wanted > closed:
        raise HomeError(
            expected=f"at most {many(closed, 'day')}: {home.root} began on {first}",
            found=f"--days {wanted}",
            remedy="ask for fewer, or set FLYWHEEL_HOME to an empty folder for a longer demo",
        )
    show(_closed_loop(home, find("repurchase"), first, first + (wanted - 1) * DAY, progress))


def _replay(  # noqa: PLR0913, PLR0917  what is turned, from what, and who is told
    home: Home,
    flywheel: Flywheel,
    first: date,
    last: date,
    source: Path | None,
    shown: Shown,
    **how: bool,
) -> Turned:
    from flywheel_assets.dagster_assets.stopped import turn_files
    from flywheel_assets.dagster_assets.turn import Turner, replay
    from flywheel_assets.project import declared

    given = sources(flywheel, source.resolve()) if source else {}
    _check_range(first, last)
    ongoing = last >= today() - DAY
    total = sum(weight(run) for run in replay(flywheel, first, last))
    with alone(home, "flywheel run"):
        announce(home)
        require_sources(home, flywheel, given)
        _require_range(home, flywheel, first, last, how)
        home.extend(first, last, given, ongoing=ongoing, demo=False)
        left = _unapplied(home, flywheel)
        turner = Turner(home, declared(), **how)
        with shown(total) as step:
            turn_files(turner, flywheel, first, last, step)
        return turned(turner, flywheel, first, last, left)


def _closed_loop(
    home: Home, flywheel: Flywheel, first: date, last: date, shown: Shown, **how: bool
) -> Turned:
    from flywheel_assets.dagster_assets.closed_loop import compare, prepare, turn_with
    from flywheel_assets.dagster_assets.selection import whole
    from flywheel_assets.dagster_assets.turn import Run, Turner
    from flywheel_assets.project import declared
    from flywheel_assets.worlds.shop import ShopConfig

    _check_range(first, last)
    total = weight(Run(tuple(whole(flywheel)), first, last))
    with alone(home, "flywheel run or demo, with the simulated shop"):
        announce(home)
        _require_range(home, flywheel, first, last, how)
        settings = home.extend(first, last, {}, ongoing=True, demo=True)
        left = _unapplied(home, flywheel)
        shop = prepare(home, flywheel, ShopConfig(start=settings.start))
        turner = Turner(home, declared(), **how)
        with shown(total) as step:
            turn_with(shop, turner, flywheel, first, last, progress=step)
        made = turned(turner, flywheel, first, last, left)
        return replace(made, earned=compare(shop, flywheel, last))


def _require_range(
    home: Home, flywheel: Flywheel, first: date, last: date, how: dict[str, bool]
) -> None:
    """Refuse, before any data moves, what would leave days without what they are made of."""
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.joined import require_joined, require_rest
    from flywheel_assets.dagster_assets.lost import require_tables

    if home.settings() is None:
        return
    require_tables(build_for(home), flywheel)
    require_joined(home, flywheel, first, last)
    asked = [f"--{option.replace('_', '-')}" for option, yes in how.items() if yes]
    if asked:
        require_rest(home, flywheel, first, last, asked[-1])


def _unapplied(home: Home, flywheel: Flywheel) -> tuple[str, ...]:
    """Warn, before any data moves, of tables that are not as they are declared by now."""
    from flywheel_assets.dagster_assets.planning import unapplied
    from flywheel_assets.project import declared

    changes = unapplied(home, declared(), flywheel)
    if changes:
        named = [f"{one.table} ({one.grade.name.lower()})" for one in changes]
        seen = any(one.table.startswith("features/") for one in changes)
        stops = ", and stops at a training set whose decisions saw them otherwise" if seen else ""
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        warn(
            f"the declaration has changed, and is not applied to the days that are there: "
            f"{', '.join(named[:NAMED])}{more}. This run builds on them as they are{stops}.",
            "What changed: flywheel plan. To make those days again first: flywheel apply.",
        )
    return tuple(change.table for change in changes)


def _simulated(home: Home, flywheel: Flywheel, source: Path | None) -> bool:
    settings = home.settings()
    if settings is not None:
        return settings.demo and source is None
    observation = flywheel.views[0].fact.observation
    if observation.source is None or isinstance(observation.source, SqlSource):
        return False
    declared = home.source_path(observation.name, observation.source.path)
    return source is None and flywheel.name == "repurchase" and not declared.exists()


def _check_range(first: date, last: date) -> None:
    if last < first or last >= today():
        raise HomeError(
            expected="a first day, and a last day not before it that has closed",
            found=f"{first} to {last}, and today is {today()} (UTC)",
            remedy="correct --from and --to",
        )
