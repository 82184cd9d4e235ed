"""Show what was decided: on whom to act today, best first."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Column, Table

from flywheel_assets.cli.app import LOOK, AsJson, Name, app, console, escaped, find, opened, say
from flywheel_assets.errors import HomeError, many, nearest

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
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.declare.rules import PARTITION
    from flywheel_assets.stages.decisions import decision_schema
    from flywheel_assets.stores.tables import Tables

    home, flywheel = opened(), find(name)
    tables, key = Tables(home.lakehouse), f"{flywheel.name}/decisions"
    actions = flywheel.policy.actions
    if action is not None and action not in actions:
        raise HomeError(
            expected=f"an action of {flywheel.name}", found=action, remedy=nearest(action, actions)
        )
    build_for(home).require_table(key)
    days = tables.days(key)
    day = on.date() if on else max(days, default=None)
    if day is None or day not in days:
        raise HomeError(
            expected=f"a day that {flywheel.name} decided on",
            found=str(day or "none"),
            remedy=f"choose one from {days[0]} to {days[-1]}" if days else "flywheel run first",
        )
    wanted = [action] if action else [one for one in actions if one != flywheel.policy.held]
    every = tables.read(key, decision_schema(flywheel), day, day)
    acted = every.filter(pl.col("action").is_in(wanted)).sort("rank", "decision_id")
    found = acted.drop(PARTITION, "flywheel").collect()
    best = found.head(rows or (found.height if as_json else SHOWN))
    if as_json:
        print_json(best.to_dicts())
        return
    columns = ["rank", *flywheel.key_types, "action", "score", "propensity", "decision_id"]
    shown = Table(*(Column(name, overflow="fold") for name in columns))
    for row in best.select(columns).iter_rows():
        shown.add_row(*(escaped(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row))
    console.print(shown)
    in_all = many(every.select(pl.len()).collect().item(), "decision")
    say(f"{best.height:,} of {found.height:,}, of {in_all} of {flywheel.name} on {day}.")
