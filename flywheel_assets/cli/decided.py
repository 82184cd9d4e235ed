"""Show what was decided: on whom to act today, best first."""

from datetime import date, datetime
from typing import Annotated

import typer
from rich.table import Column, Table

from flywheel_assets.cli.app import LOOK, AsJson, Name, app, console, escaped, find, opened, say
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError, many, nearest
from flywheel_assets.stores.home import Home

SHOWN = 20
"""Rows for a person, if nothing else is asked for."""


@app.command(rich_help_panel=LOOK)
def decided(
    name: Name = None,
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="The day; the newest.")
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only of this action; all but holding back, without.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="How many, best first; 20, or all as JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was decided on a day, best first: whom to act on."""
    import polars as pl

    from flywheel_assets.cli.app import print_json
    from flywheel_assets.declare.rules import PARTITION
    from flywheel_assets.stages.decisions import decision_schema
    from flywheel_assets.stores.tables import Tables

    home, flywheel = opened(), find(name)
    actions = flywheel.policy.actions
    if action is not None and action not in actions:
        raise HomeError(
            expected=f"an action of {flywheel.name}", found=action, remedy=nearest(action, actions)
        )
    day = _day(home, flywheel, on.date() if on else None)
    wanted = (action,) if action else flywheel.policy.acting
    table = f"{flywheel.name}/decisions"
    every = Tables(home.lakehouse).read(table, decision_schema(flywheel), day, day).collect()
    acted = every.filter(pl.col("action").is_in(wanted)).sort("rank", "decision_id")
    best = acted.head(rows or (acted.height if as_json else SHOWN))
    if as_json:
        print_json(best.drop(PARTITION, "flywheel").to_dicts())
        return
    columns = ["rank", *flywheel.key_types, "action", "score", "propensity", "decision_id"]
    shown = Table(*(Column(name, overflow="fold") for name in columns))
    for row in best.select(columns).iter_rows():
        shown.add_row(*(escaped(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row))
    console.print(shown)
    in_all = many(every.height, "decision")
    say(f"{best.height:,} of {acted.height:,}, of {in_all} of {flywheel.name} on {day}.")


def _day(home: Home, flywheel: Flywheel, asked: date | None) -> date:
    """Give the day that is asked for, or the newest; refuse one that was not decided on."""
    from flywheel_assets.dagster_assets.build import build_for

    build, table = build_for(home), f"{flywheel.name}/decisions"
    build.require_table(table)
    days = build.tables.days(table)
    day = asked or max(days, default=None)
    if day is None or day not in days:
        raise HomeError(
            expected=f"a day that {flywheel.name} decided on",
            found=str(day or "none"),
            remedy=f"choose one from {days[0]} to {days[-1]}" if days else "flywheel run first",
        )
    return day
