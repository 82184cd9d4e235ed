"""Forget somebody: out of everything below the home, for good."""

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flywheel_assets.cli.app import MEND, AsJson, app, console, escaped, print_json, say
from flywheel_assets.errors import HomeError, many
from flywheel_assets.stores.home import current_home

if TYPE_CHECKING:
    from flywheel_assets.stores.forgetting.receipts import Receipt


@app.command(rich_help_panel=MEND)
def forget(
    entity: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Its key columns.")],
    dry_run: Annotated[bool, typer.Option(help="Count alone.")] = False,
    by: Annotated[str | None, typer.Option(help="Who asks for it; you, if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Remove an entity from everything below the home, past versions included, and keep it out.

    End the API and wait for runs first. Killed and started again it goes on where it was. Exit
    status 1 while something of it is left.
    """
    from flywheel_assets.dagster_assets.forgetting import forget as carry_out
    from flywheel_assets.project import declared

    with _steps() as tell:
        receipt = carry_out(
            current_home(),
            declared(),
            dict(_pair(text) for text in entity),
            by=by or getpass.getuser(),
            dry_run=dry_run,
            tell=tell,
        )
    if as_json:
        print_json(asdict(receipt))
    else:
        _show(receipt, dry_run=dry_run)
    raise typer.Exit(int(bool(receipt.left)))


@contextmanager
def _steps() -> Iterator[Callable[[str], None]]:
    """Show the step that it is at on a terminal, and a line for each elsewhere."""
    errors = Console(stderr=True)
    if not errors.is_terminal:
        yield lambda step: typer.echo(step, err=True)
        return
    with errors.status("forgetting") as shown:
        yield shown.update


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not (key and found and value):
        raise HomeError(
            expected="an entity's keys as KEY=VALUE",
            found=repr(text),
            remedy="write them as customer_id=17850, several one after the other",
        )
    return key, value


def _show(receipt: "Receipt", *, dry_run: bool) -> None:
    shown = Table("where", "rows before", "of it", "rows after", "data files of old versions")
    for table, n in receipt.rows.items():
        if n["theirs"] or n["past_files"]:
            counts = (n["before"], n["theirs"], n["after"], n["past_files"])
            shown.add_row(table, *(f"{count:,}" for count in counts))
    for name, count in receipt.elsewhere.items():
        shown.add_row(escaped(name), "", f"{count:,}", "", "")
    if shown.row_count:
        console.print(shown)
    else:
        say("Nothing of it was found below the home.")
    for model in receipt.models:
        say(
            f"{model['model']} version {model['version']} was trained on "
            f"{many(model['rows'], 'row')} of it: to be trained again, and no longer reproducible."
        )
    for source in receipt.sources:
        what = many(source["records"], "record") if "records" in source else source["unread"]
        say(
            escaped(f"Not touched: {source['path']} ({source['observation']}): {what}. ")
            + "They are kept out of this home; remove them there too."
        )
    if dry_run:
        console.print("Nothing was changed.")
        return
    for name in receipt.left:
        say(f"[red]left:[/red] {escaped(name)}: look at it and remove it by hand, then run again.")
    say(f"Receipt: {current_home().root / 'receipts' / receipt.id}.json")
