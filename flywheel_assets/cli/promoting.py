"""Who decides: promote a version, roll back to one, train one again and compare."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel_assets.cli.app import DECIDE, AsJson, FlywheelName, app, find, opened, print_json, say
from flywheel_assets.cli.progress import working
from flywheel_assets.errors import many

if TYPE_CHECKING:
    from flywheel_assets.dagster_assets.reproducing import Reproduction

Why = Annotated[str, typer.Option(help="Goes into the ledger.")]
Since = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], help="A later day than the first undecided one."),
]


@app.command(rich_help_panel=DECIDE)
def promote(
    name: FlywheelName,
    version: Annotated[int, typer.Argument(help="A registered version.")],
    why: Why,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Let a version decide, from the first day on that is not decided yet."""
    from flywheel_assets.dagster_assets import promotions
    from flywheel_assets.dagster_assets.build import build_for

    day = since.date() if since else None
    made = promotions.promote(build_for(opened()), find(name), version, why, day)
    if as_json:
        print_json({"flywheel": name, **asdict(made)})
        return
    say(f"{name}: version {made.version} decides from {made.since} on.")


@app.command(rich_help_panel=DECIDE)
def rollback(
    name: FlywheelName,
    why: Why,
    to: Annotated[int | None, typer.Option(help="A version; else the champion before.")] = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Return to the champion before, or to a version, from the first undecided day on."""
    from flywheel_assets.dagster_assets import promotions
    from flywheel_assets.dagster_assets.build import build_for

    day = since.date() if since else None
    made = promotions.rollback(build_for(opened()), find(name), to, why, day)
    if as_json:
        print_json({"flywheel": name, **asdict(made)})
        return
    say(f"{name}: back to version {made.version}, from {made.since} on.")


@app.command(rich_help_panel=DECIDE)
def reproduce(
    name: FlywheelName,
    version: Annotated[int, typer.Argument(help="A registered version.")],
    as_json: AsJson = False,
) -> None:
    """Train a version again from the rows its run names; exit 1 unless all is the same."""
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.reproducing import reproduce as train_again

    with working(f"Training version {version} again"):
        made = train_again(build_for(opened()), find(name), version)
    if as_json:
        print_json({"flywheel": name, "version": version, **asdict(made)})
    else:
        _show(name, version, made)
    if made.differences:
        raise typer.Exit(1)


def _show(name: str, version: int, made: "Reproduction") -> None:
    source = made.source
    say(
        f"{many(source.n_rows, 'row')} of {source.table} at Delta version {source.delta_version}, "
        f"partitions {source.first} to {source.last}"
    )
    for difference in made.differences:
        say(f"different: {difference}")
    if not made.differences:
        say(f"{name} version {version}: the same rows, the same predictions.")
