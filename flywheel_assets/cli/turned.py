"""What came of turning a flywheel: asked once, then shown to a person or told to a script."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.table import Table

from flywheel_assets.cli.app import console, say
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import many
from flywheel_assets.stages.clock import DAY

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
    model_since : date, optional
        The first day on which a model decided; None while none has.
    attention : tuple of str
        Tables of which a check failed or warned last.
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
    model_since: date | None
    attention: tuple[str, ...]
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
        model_since=_model_since(turner, flywheel),
        attention=_attention(turner, flywheel),
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


def _model_since(turner: "Turner", flywheel: Flywheel) -> date | None:
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.declare.rules import PARTITION

    schema: dict[str, Any] = {PARTITION: pl.Date(), "model_version": pl.Int64()}
    decided = build_for(turner.home).tables.read(f"{flywheel.name}/decisions", schema)
    by_model = decided.filter(pl.col("model_version").is_not_null())
    found: date | None = by_model.select(pl.col(PARTITION).min()).collect().item()
    return found


def _attention(turner: "Turner", flywheel: Flywheel) -> tuple[str, ...]:
    from flywheel_assets.dagster_assets.selection import whole
    from flywheel_assets.dagster_assets.status import Urgency, status

    ours = set(whole(flywheel))
    told = status(turner.home, turner.flywheels)
    return tuple(s.table for s in told if s.table in ours and s.urgency >= Urgency.WARNED)


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
    if one.attention:
        say(f"To be looked at: {', '.join(one.attention)}. Why: flywheel status.")
    if one.earned is not None:
        _show_earned(one.earned, learnt=one.model_since is not None)
        say(_who_decided(one))


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


def _show_earned(earned: "Earned", *, learnt: bool) -> None:
    gain = earned.oracle - earned.bootstrap
    share = (earned.flywheel - earned.bootstrap) / gain if gain > 0 and learnt else None
    told = "" if share is None else f", {share:.0%} of the way"
    say(
        f"Revenue: flywheel £{earned.flywheel:,.0f}; bootstrap rule £{earned.bootstrap:,.0f}; "
        f"oracle £{earned.oracle:,.0f}{told}; no contacts £{earned.nobody:,.0f}."
    )


def _who_decided(one: Turned) -> str:
    if one.model_since is None or one.model_since > one.last:
        return "The bootstrap rule decided on every day: no outcome of enough days has matured yet."
    n_days = (one.last - one.model_since).days + 1
    return (
        f"The bootstrap rule decided until {one.model_since - DAY}: a model has decided for "
        f"{many(n_days, 'day')}, and what it earned is known when their outcomes have matured."
    )
