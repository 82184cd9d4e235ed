"""Look at what was rejected: how much, why, which records, and what to do."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel_assets.cli.app import LOOK, AsJson, app, escaped, opened, print_json, say
from flywheel_assets.cli.rows import show_rows
from flywheel_assets.errors import HomeError, nearest

if TYPE_CHECKING:
    from flywheel_assets.report.rejected import Rejections
    from flywheel_assets.stores.home import Home

DAYS = ["%Y-%m-%d"]
HEADERS = ("day", "where", "reason", "record")


@app.command(rich_help_panel=LOOK)
def rejected(
    observation: Annotated[str | None, typer.Argument(help="This one alone, not all.")] = None,
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=DAYS, help="First day; 28 days in all, without."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=DAYS, help="Last day, included; the newest, without."),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Of each, so many records, newest first.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show which records broke the contract, why, and what to do about them."""
    from flywheel_assets.project import declared
    from flywheel_assets.report.rejected import rejections

    home = opened()
    ends = (first.date() if first else None, last.date() if last else None)
    found = list(rejections(home, declared(), *ends))
    if observation is not None:
        names = [one.observation for one in found]
        found = [one for one in found if one.observation == observation]
        if not found:
            raise HomeError(
                expected="an observation that was collected",
                found=observation,
                remedy=nearest(observation, names),
            )
    if as_json:
        print_json({one.observation: _as_json(one, _records(home, one, rows)) for one in found})
        return
    for one in found:
        _show(one, _records(home, one, rows))


def _records(home: "Home", one: "Rejections", n: int) -> list[dict[str, Any]]:
    """Read the newest records that were rejected."""
    from flywheel_assets.declare.rules import PARTITION
    from flywheel_assets.stages.collect import REJECTED_SCHEMA
    from flywheel_assets.stores.tables import Tables

    table = f"collect/{one.observation}_rejected"
    kept = Tables(home.lakehouse).read(table, REJECTED_SCHEMA, one.first, one.last)
    order = [PARTITION, "file", "line"]
    return kept.sort(order, descending=[True, False, False]).head(n).collect().to_dicts()


def _as_json(one: "Rejections", records: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "from": one.first,
        "to": one.last,
        "rejected": one.n_rejected,
        "collected": one.collected,
        "reasons": [asdict(reason) for reason in one.reasons],
        "to_do": one.to_do,
        "records": records,
    }


def _show(one: "Rejections", records: list[dict[str, Any]]) -> None:
    say(escaped(f"{one.said[0].upper()}{one.said[1:]}."))
    if not one.reasons:
        return
    for reason in one.reasons:
        days = f"{reason.since}" + ("" if reason.until == reason.since else f" to {reason.until}")
        say(escaped(f"    {reason.n_records:,}, {days}: {reason.reason}"))
    say(escaped(f"To do: {one.to_do}."))
    shown = [
        (
            str(row["partition_date"]),
            f"{row['file']}:{row['line']}",
            escaped(row["reason"]),
            escaped(row["record"] or ""),
        )
        for row in records
    ]
    if shown:
        show_rows(HEADERS, shown)
