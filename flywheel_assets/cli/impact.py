"""Say what is made of a column, and what it is made of: impact."""

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel_assets.cli.app import CHANGE, AsJson, app, print_json, say
from flywheel_assets.cli.rows import show_rows
from flywheel_assets.stores.home import current_home

if TYPE_CHECKING:
    from flywheel_assets.changes import Column, Lineage
    from flywheel_assets.declare.flywheel import Flywheel
    from flywheel_assets.stores.promotions import Champion

SHOWN = 5


@app.command(rich_help_panel=CHANGE)
def impact(
    what: Annotated[
        str, typer.Argument(help="table.column, a table, a feature, a model, or an owner.")
    ],
    upstream: Annotated[bool, typer.Option(help="What it is made of, instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is made of a column, by column, to the decision and its owner.

    Beside each model stands how much its metric loses without the features concerned: their
    permutation importance for the champion, or, where none was measured, for the version that was
    judged last; which one is said.
    """
    from flywheel_assets.changes import lineage, owners
    from flywheel_assets.project import declared

    flywheels = declared()
    graph, whose = lineage(flywheels), owners(flywheels)
    start = _asked(what, graph, whose, flywheels)
    reached = graph.upstream(start) if upstream else graph.downstream(start)
    found: dict[str, list[str]] = {}
    for column in reached:
        names = found.setdefault(column.table, [])
        if column.name not in names:
            names.append(column.name)
    asked = {column.table for column in start} if upstream else set()
    uses = _used([*start, *reached], flywheels, {*found, *asked})
    # A model that was asked about has no columns in the answer, but uses what stands there.
    found = {table: [] for table in uses if table not in found} | found
    if as_json:
        told = {
            t: {"columns": names, "owners": whose[t], **uses.get(t, {})}
            for t, names in found.items()
        }
        print_json(told)
        return
    title = f"{'Up' if upstream else 'Down'}stream of {what}"
    if not found:
        say(f"{title}: nothing.")
        return
    rows = [
        (table, ", ".join(names), _how_much(uses.get(table, {})), ", ".join(whose[table]))
        for table, names in found.items()
    ]
    show_rows(("table", "columns", "how much", "owners"), rows, title)


def _asked(
    what: str, graph: "Lineage", whose: dict[str, tuple[str, ...]], wheels: Iterable["Flywheel"]
) -> list["Column"]:
    """Read an owner, the name of a model or of a feature, or what the graph reads."""
    owned = [table for table, names in whose.items() if what in names]
    owned += [f"{wheel.name}/model" for wheel in wheels if wheel.model.name == what]
    if owned:
        return [column for table in owned for column in graph.columns(table)]
    features = [c for c in graph if c.table.startswith("features/") and c.name == what]
    return features or graph.find(what)


def _used(
    columns: list["Column"], wheels: Iterable["Flywheel"], tables: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Say, by model, how important those of its features are that are among some columns."""
    from flywheel_assets.report.champions import important
    from flywheel_assets.stores.promotions import Ledger
    from flywheel_assets.stores.tables import Tables

    lakehouse, found = Tables(current_home().lakehouse), {}
    for wheel in wheels:
        if f"{wheel.name}/model" not in tables:
            continue
        standing = Ledger(lakehouse, wheel.name).champion(date.max)
        rows = important(lakehouse, wheel, standing).to_dicts()
        names = {c.name for c in columns if c.table == f"{wheel.name}/training_set"}
        mine = [row for row in rows if row["feature"] in names]
        if mine:
            found[f"{wheel.name}/model"] = {
                "version": mine[0]["version"],
                "champion": standing.version if standing else None,
                "whose": _whose(mine[0]["version"], standing),
                "metric": mine[0]["metric"],
                "importance": {row["feature"]: row["importance"] for row in mine},
            }
    return found


def _whose(version: int, standing: "Champion | None") -> str:
    """Say which version was measured, and what it is to the one that decides."""
    if standing is None:
        return f"version {version}, judged last; none decides yet"
    if version != standing.judged_version:
        return f"version {version}, judged last; version {standing.version} decides"
    again = "" if version == standing.version else f", trained again as version {standing.version}"
    return f"version {version}, the champion{again}"


def _how_much(told: dict[str, Any]) -> str:
    if not told:
        return ""
    lines = [f"{name} {lost:+.4f}" for name, lost in list(told["importance"].items())[:SHOWN]]
    more = len(told["importance"]) - SHOWN
    rest = [f"and {more} more"] if more > 0 else []
    return "\n".join([f"{told['metric']} lost, {told['whose']}:", *lines, *rest])
