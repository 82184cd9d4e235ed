"""Mend a home: what the API had rejected, what happened to a disk."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from flywheel_assets.cli.app import MEND, AsJson, app, console, opened, print_json, say
from flywheel_assets.cli.progress import working
from flywheel_assets.stores.home import current_home


@app.command(rich_help_panel=MEND)
def replay_rejected(
    observation: Annotated[str | None, typer.Option(help="This one alone, not all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Receive what the API rejected and the contract now takes; it is known from now on.

    What a file reported is judged anew when its day is materialized again.
    """
    from flywheel_assets.dagster_assets.replaying import replay_all
    from flywheel_assets.project import declared

    shown = Table("observation", "accepted", "duplicate", "conflict", "still rejected")
    replayed = replay_all(opened(), declared(), observation)
    if as_json:
        print_json({name: asdict(done) for name, done in replayed.items()})
        return
    for name, done in replayed.items():
        counts = (done.accepted, done.duplicate, done.conflict, done.rejected)
        shown.add_row(name, *(f"{n:,}" for n in counts))
    console.print(shown)
    say("What files or tables told is not replayed: flywheel rejected says what to do about it.")


@app.command(rich_help_panel=MEND)
def doctor(
    mend: Annotated[bool, typer.Option(help="Mend what is safe to mend.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with the home and say how to mend it; exit 1 while something is."""
    from flywheel_assets.dagster_assets.doctor import examine
    from flywheel_assets.project import declared

    left, told = 0, []
    # That its settings are gone is something to be found.
    home = current_home() if current_home().lakehouse.exists() else opened()
    with working("Looking at every table, file and model"):
        findings = examine(home, declared())
    for finding in findings:
        mended = mend and finding.mend is not None
        if mended and finding.mend is not None:
            finding.mend()
        left += not mended
        by = "mended: " if mended else "flywheel doctor --mend will " if finding.mend else ""
        told.append(
            {
                "where": finding.where,
                "what": finding.what,
                "mended": mended,
                "to_do": finding.remedy,
            }
        )
        if not as_json:
            # Not in a table: a command is there to be copied whole.
            console.print(f"{finding.where}: {finding.what}", markup=False, soft_wrap=True)
            console.print(f"    {by}{finding.remedy}", markup=False, soft_wrap=True)
    if as_json:
        print_json(told)
    elif not told:
        console.print("Nothing is wrong.")
    raise typer.Exit(int(left > 0))


@app.command(rich_help_panel=MEND)
def vacuum(
    retention_hours: Annotated[int, typer.Option(min=0, help="Files replaced later stay.")] = 168,
    dry_run: Annotated[bool, typer.Option(help="Say what it would free.")] = False,
    as_json: AsJson = False,
) -> None:
    """Free the disk of replaced data files, but for those that registered models need."""
    from flywheel_assets.stores import vacuum as vacuuming

    shown = Table("table", "files", "MB", "kept for models: versions")
    told = []
    with working("Looking for files that nobody needs"):
        done = list(vacuuming.vacuum(opened(), retention_hours, dry_run=dry_run))
    for freed in done:
        told.append(asdict(freed))
        kept = ", ".join(map(str, freed.kept_versions)) or "-"
        shown.add_row(freed.table, f"{freed.files:,}", f"{freed.size / 1e6:,.1f}", kept)
    if as_json:
        print_json(told)
    else:
        console.print(shown if shown.row_count else "Nothing to free.")
