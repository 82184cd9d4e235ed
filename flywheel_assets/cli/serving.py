"""Serve the API, log observations, keep its keys."""

import sys
from typing import Annotated

import typer
from rich.table import Table

from flywheel_assets.cli.app import SERVE, AsJson, app, console, print_json, receiving
from flywheel_assets.cli.progress import reading
from flywheel_assets.stores.home import current_home

keys = typer.Typer(help="API keys: who may log observations and read decisions.")
app.add_typer(keys, name="keys", no_args_is_help=True, rich_help_panel=SERVE)


@app.command(rich_help_panel=SERVE)
def api(host: str = "127.0.0.1", port: int = 8700) -> None:
    """Serve the API: observations in, decisions out. Off this machine it takes keys."""
    from flywheel_assets.api.service import serve
    from flywheel_assets.project import declared

    serve(current_home(), declared(), host, port)


@app.command(rich_help_panel=SERVE)
def log(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="Observations, a JSON object a line; - is stdin.")
    ],
    url: Annotated[str | None, typer.Option(help="A service; this home without one.")] = None,
    key: Annotated[str | None, typer.Option(envvar="FLYWHEEL_API_KEY")] = None,
) -> None:
    """Log observations from a file, and say which were not accepted and why."""
    from flywheel_assets.api.client import Local, Remote, log_lines
    from flywheel_assets.project import declared

    client = Remote(url, key) if url else Local(receiving(), declared())
    with reading(file) as lines:
        told = log_lines(client, lines, lambda line: typer.echo(line, err=True))
    typer.echo(", ".join(f"{n:,} {status}" for status, n in told.items()))
    if told["rejected"] or told["conflict"]:
        sys.exit(1)


@keys.command("add")
def add_key(
    producer: str,
    read: Annotated[bool, typer.Option("--read", help="May read decisions.")] = False,
    write: Annotated[bool, typer.Option("--write", help="May log observations.")] = False,
    kind: Annotated[list[str] | None, typer.Option(help="Only of this kind; repeat it.")] = None,
    rate: Annotated[float, typer.Option(help="Records a second.")] = 10_000,
) -> None:
    """Make a key and print it, once: it is kept as a digest only."""
    from flywheel_assets.api.keys import RIGHTS
    from flywheel_assets.api.service import key_store
    from flywheel_assets.declare.flywheel import catalog
    from flywheel_assets.project import declared

    kinds = [o.name for o in catalog(declared()).observations]
    rights = [right for right, given in zip(RIGHTS, (read, write), strict=True) if given]
    secret, made = key_store(receiving()).add(
        producer, rights, kind or (), declared=kinds, records_per_second=rate
    )
    typer.echo(f"Key {made.id} of {producer}; no one can show it again:", err=True)
    typer.echo(secret)


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys: whose they are and what they may, not the keys themselves."""
    from flywheel_assets.api.service import key_store

    found = key_store(receiving()).all()
    if as_json:
        shown = ("id", "producer", "rights", "kinds", "records_per_second", "created_at")
        print_json([{n: getattr(key, n) for n in (*shown, "revoked_at")} for key in found])
        return
    table = Table("id", "producer", "rights", "kinds", "records/s", "made", "revoked")
    for key in found:
        rights, kinds = " ".join(key.rights), " ".join(key.kinds) or "all"
        rate, revoked = f"{key.records_per_second:g}", key.revoked_at or ""
        table.add_row(key.id, key.producer, rights, kinds, rate, key.created_at, revoked)
    console.print(table)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Take a key back, at once, also from a server that runs."""
    from flywheel_assets.api.service import key_store

    key_store(receiving()).revoke(key_id)
    typer.echo(f"Key {key_id} opens nothing any more.")
