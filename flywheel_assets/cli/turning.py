"""Turn a flywheel: over real sources, or with the simulated shop."""

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flywheel_assets.cli.app import TURN, From, Name, To, app, console, find, today
from flywheel_assets.cli.progress import progress, weight
from flywheel_assets.declare.collect import SqlSource
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import HomeError
from flywheel_assets.stores.home import Home, current_home

if TYPE_CHECKING:
    from flywheel_assets.dagster_assets.turn import Clock, Turner
    from flywheel_assets.worlds.shop import Shop

DEMO_DAYS = timedelta(days=90)
DAY = timedelta(days=1)

SourceDir = Annotated[
    Path | None,
    typer.Option(
        help="Where the data is, instead of the declared place: a file or a folder of daily files; "
        "of several observations, in a folder of its name each."
    ),
]


@app.command(rich_help_panel=TURN)
def run(first: From, last: To, name: Name = None, source: SourceDir = None) -> None:
    """Turn a flywheel over a range of days; run again, it goes on where it was."""
    flywheel = find(name)
    home = current_home()
    if _simulated(home, flywheel, source):
        _closed_loop(home, flywheel, first.date(), last.date())
    else:
        _replay(home, flywheel, first.date(), last.date(), source)


@app.command(rich_help_panel=TURN)
def demo() -> None:
    """Turn repurchase for 90 days with a simulated shop that reacts to its decisions."""
    home = current_home()
    settings = home.settings()
    first = settings.start if settings else today() - DEMO_DAYS
    _closed_loop(home, find("repurchase"), first, first + DEMO_DAYS - DAY)


def _replay(home: Home, flywheel: Flywheel, first: date, last: date, source: Path | None) -> None:
    from flywheel_assets.dagster_assets.turn import Turner, replay
    from flywheel_assets.project import declared

    given = sources(flywheel, source.resolve()) if source else {}
    _check_range(first, last)
    ongoing = last >= today() - DAY
    home.extend(first, last, given, ongoing=ongoing, demo=False)
    turner = Turner(home, declared())
    runs = list(replay(flywheel, first, last))
    with progress(sum(weight(r) for r in runs)) as step:
        turner.turn(runs, step)
    _summary(turner, flywheel, last)


def sources(flywheel: Flywheel, folder: Path) -> dict[str, str]:
    """Say where each observation's daily files are, in a folder or in those below it."""
    names = [o.name for o in catalog([flywheel]).observations if (folder / o.name).is_dir()]
    if names:
        return {name: str(folder / name) for name in names}
    return {flywheel.views[0].fact.observation.name: str(folder)}


def _closed_loop(home: Home, flywheel: Flywheel, first: date, last: date) -> None:
    from flywheel_assets.dagster_assets.closed_loop import prepare, turn_with
    from flywheel_assets.dagster_assets.selection import whole
    from flywheel_assets.dagster_assets.turn import Run, Turner
    from flywheel_assets.project import declared
    from flywheel_assets.worlds.shop import ShopConfig

    _check_range(first, last)
    settings = home.extend(first, last, {}, ongoing=True, demo=True)
    shop = prepare(home, flywheel, ShopConfig(start=settings.start))
    turner = Turner(home, declared())
    total = weight(Run(tuple(whole(flywheel)), first, last))
    with progress(total) as step:
        turn_with(shop, turner, flywheel, first, last, progress=step)
    _summary(turner, flywheel, last)
    _reward(shop, flywheel, last)


def _simulated(home: Home, flywheel: Flywheel, source: Path | None) -> bool:
    settings = home.settings()
    if settings is not None:
        return settings.demo and source is None
    observation = flywheel.views[0].fact.observation
    if observation.source is None or isinstance(observation.source, SqlSource):
        return False
    declared = home.source_path(observation.name, observation.source.path)
    return source is None and flywheel.name == "repurchase" and not declared.exists()


def _summary(turner: "Turner", flywheel: Flywheel, last: date) -> None:
    import polars as pl

    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.closed_loop import row_counts
    from flywheel_assets.dagster_assets.promotions import champion_as_of
    from flywheel_assets.stages.challenge import MODEL_SCHEMA

    build = build_for(turner.home)
    table = Table("table", "rows")
    for key, rows in row_counts(turner.home, flywheel).items():
        table.add_row(key, f"{rows:,}")
    console.print(table)
    version = champion_as_of(build, flywheel, last)
    if version is None:
        console.print("Champion: none yet; the bootstrap rule decides.")
    else:
        trained = build.tables.read(f"{flywheel.name}/model", MODEL_SCHEMA).collect()
        either = pl.any_horizontal(pl.col("version", "judged_version") == version)
        found = trained.filter(either)
        judged = "".join(
            f", {row['metric']} {row['value']:.4f} on {row['n_holdout']:,} newer decisions"
            for row in found.head(1).iter_rows(named=True)
        )
        console.print(f"Champion: {flywheel.model.name} version {version}{judged}.")
    _time(turner.clock)
    console.print(f"Tables: {turner.home.lakehouse}", soft_wrap=True)
    console.print(f"Look at it: flywheel report {flywheel.name}, a page; flywheel ui, all of it.")


def _time(clock: "Clock") -> None:
    console.print(
        f"{clock.runs} runs in {clock.wall:.0f} s ({clock.skipped} were done before); "
        f"orchestration took {clock.orchestration:.0%} of it."
    )


def _reward(shop: "Shop", flywheel: Flywheel, last: date) -> None:
    from flywheel_assets.dagster_assets.closed_loop import compare

    earned = compare(shop, flywheel, last)
    gain = earned.oracle - earned.bootstrap
    share = f", {(earned.flywheel - earned.bootstrap) / gain:.0%} of the way" if gain > 0 else ""
    console.print(
        f"Revenue: flywheel £{earned.flywheel:,.0f}; bootstrap rule £{earned.bootstrap:,.0f}; "
        f"oracle £{earned.oracle:,.0f}{share}; no contacts £{earned.nobody:,.0f}."
    )


def _check_range(first: date, last: date) -> None:
    if last < first or last >= today():
        raise HomeError(
            expected="a first day, and a last day not before it that has closed",
            found=f"{first} to {last}, and today is {today()} (UTC)",
            remedy="correct --from and --to",
        )
