"""What came of turning a flywheel: asked once, then shown to a person or told to a script."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.table import Table

from flywheel_assets.cli.app import console, say
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import many

if TYPE_CHECKING:
    from flywheel_assets.dagster_assets.closed_loop import Earned
    from flywheel_assets.dagster_assets.turn import Clock, Turner


@dataclass(frozen=True)
class Champion:
    """Who decides on the last day; what it was judged by, where the gate has looked at it."""

    model: str
    version: int
    metric: str | None = None
    value: float | None = None
    n_holdout: int | None = None


@dataclass(frozen=True)
class Turned:
    """What a command that turned a flywheel left behind.

    Parameters
    ----------
    rows : dict of str to int
        Of each table by now.
    champion : Champion, optional
        None while the bootstrap rule decides.
    unapplied : tuple of str
        Tables that the run worked on although an earlier declaration made them.
    earned : Earned, optional
        With a simulated shop alone.
    """

    flywheel: str
    first: date
    last: date
    rows: dict[str, int]
    champion: Champion | None
    clock: "Clock"
    unapplied: tuple[str, ...]
    lakehouse: str
    earned: "Earned | None" = None


def turned(
    turner: "Turner", flywheel: Flywheel, first: date, last: date, unapplied: tuple[str, ...]
) -> Turned:
    """Ask a home what came of the days that were turned."""
    from flywheel_assets.dagster_assets.closed_loop import row_counts

    return Turned(
        flywheel=flywheel.name,
        first=first,
        last=last,
        rows=row_counts(turner.home, flywheel),
        champion=_champion(turner, flywheel, last),
        clock=turner.clock,
        unapplied=unapplied,
        lakehouse=str(turner.home.lakehouse),
    )


def _champion(turner: "Turner", flywheel: Flywheel, last: date) -> Champion | None:
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.promotions import champion_as_of
    from flywheel_assets.stages.challenge import MODEL_SCHEMA

    build = build_for(turner.home)
    version = champion_as_of(build, flywheel, last)
    if version is None:
        return None
    trained = build.tables.read(f"{flywheel.name}/model", MODEL_SCHEMA).collect()
    found = trained.filter(pl.any_horizontal(pl.col("version", "judged_version") == version))
    judged = found.select("metric", "value", "n_holdout").head(1).to_dicts()
    return Champion(flywheel.model.name, version, *(judged[0].values() if judged else ()))


def as_json(one: Turned) -> dict[str, Any]:
    """Tell it to a script: rows by table, the champion, the time it took."""
    clock = one.clock
    told = asdict(one)
    del told["clock"], told["earned"]
    told |= {
        "runs": clock.runs,
        "skipped": clock.skipped,
        "seconds": clock.wall,
        "orchestration": clock.orchestration,
    }
    return told if one.earned is None else told | {"earned": asdict(one.earned)}


def show(one: Turned) -> None:
    """Show it to a person."""
    table = Table("table", "rows")
    for key, rows in one.rows.items():
        table.add_row(key, f"{rows:,}")
    console.print(table)
    say(_said_of(one.champion))
    clock = one.clock
    if clock.runs:
        say(
            f"{many(clock.runs, 'run')} in {clock.wall:.0f} s ({clock.skipped} done before); "
            f"orchestration took {clock.orchestration:.0%} of it."
        )
    else:
        done = many(clock.skipped, "run")
        say(f"Nothing to do: {done} done before. To make them again: flywheel run --again.")
    say(f"Tables: {one.lakehouse}")
    say(f"Look at it: flywheel report {one.flywheel}, a page; flywheel ui, all of it.")
    if one.earned is not None:
        _show_earned(one.earned)


def _said_of(champion: Champion | None) -> str:
    if champion is None:
        return "Champion: none yet; the bootstrap rule decides."
    judged = (
        ""
        if champion.value is None
        else f", {champion.metric} {champion.value:.4f} on "
        + many(champion.n_holdout or 0, "newer decision")
    )
    return f"Champion: {champion.model} version {champion.version}{judged}."


def _show_earned(earned: "Earned") -> None:
    gain = earned.oracle - earned.bootstrap
    share = f", {(earned.flywheel - earned.bootstrap) / gain:.0%} of the way" if gain > 0 else ""
    say(
        f"Revenue: flywheel £{earned.flywheel:,.0f}; bootstrap rule £{earned.bootstrap:,.0f}; "
        f"oracle £{earned.oracle:,.0f}{share}; no contacts £{earned.nobody:,.0f}."
    )
