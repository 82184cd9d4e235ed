"""Look at a flywheel: what it was worth, where something went, every page there is."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flywheel_assets.cli.app import (
    LOOK,
    AsJson,
    EarliestFrom,
    LatestTo,
    Name,
    app,
    console,
    escaped,
    find,
    opened,
    print_json,
    say,
)
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import HomeError, many
from flywheel_assets.stores.home import current_home


@app.command(rich_help_panel=LOOK)
def performance(
    name: Name = None,
    first: EarliestFrom = None,
    last: LatestTo = None,
    as_json: AsJson = False,
) -> None:
    """Measure decisions whose outcome has matured: all, or those decided from a day to another."""
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.lost import require_tables
    from flywheel_assets.stages.performance import by_rule, pooled
    from flywheel_assets.stages.training_set import training_schema
    from flywheel_assets.stores.tables import Tables

    flywheel = find(name)
    name = flywheel.name
    _check_order(first, last)
    wait = flywheel.outcome.matures_after
    table = Tables(opened().lakehouse).read(
        f"{name}/training_set",
        training_schema(flywheel),
        first and first.date() + wait,
        last and last.date() + wait,
    )
    matured = table.collect()
    if matured.is_empty():
        require_tables(build_for(current_home()), flywheel)
        raise HomeError(
            expected=f"matured decisions of {name}{_between(first, last)}",
            found="none",
            remedy=f"run {'further' if last is None else f'to {last.date() + wait}'} first: "
            f"outcomes take {many(wait.days, 'day')} to mature",
        )
    ranked, ruled = pooled(matured, flywheel), by_rule(matured, flywheel)
    n_days = matured[PARTITION].n_unique()
    if as_json:
        beside = {"n_days": n_days, "n_days_by_bootstrap_rule": len(ruled)}
        print_json([{**row, **beside} for row in ranked.to_dicts()])
        return
    shown = Table("ranking", "decisions", "ROC AUC", "precision at capacity")
    for row in ranked.iter_rows(named=True):
        known = (row["roc_auc"], row["precision_at_capacity"])
        figures = ("-" if value is None else f"{value:.4f}" for value in known)
        shown.add_row(row["ranking"], f"{row['n_decisions']:,}", *figures)
    console.print(shown)
    say(_who_decided(ruled, n_days))


def _check_order(first: datetime | None, last: datetime | None) -> None:
    if first is not None and last is not None and last < first:
        raise HomeError(
            expected="a last day that is not before the first",
            found=f"--from {first.date()} --to {last.date()}",
            remedy="correct them",
        )


def _between(first: datetime | None, last: datetime | None) -> str:
    since = "" if first is None else f" from {first.date()}"
    return since if last is None else f"{since} to {last.date()}"


def _who_decided(ruled: Sequence[date], n_days: int) -> str:
    if not ruled:
        return f"Models decided on {'the' if n_days == 1 else 'each'} day: the score is theirs."
    which = (
        f"the {many(n_days, 'day')}"
        if len(ruled) == n_days
        else f"{len(ruled):,} of {many(n_days, 'day')}, from {ruled[0]} to {ruled[-1]}"
    )
    return (
        f"The bootstrap rule decided on {which}: the score is then what it ranks by, and tells "
        "of no model."
    )


@app.command(rich_help_panel=LOOK)
def trace(
    identifier: Annotated[str, typer.Argument(help="Of an observation or decision.")],
    as_json: AsJson = False,
) -> None:
    """Follow one observation or decision through every table, by its id."""
    from flywheel_assets.api.trace import trace as follow
    from flywheel_assets.project import declared

    steps = follow(opened(), declared(), identifier)
    if as_json:
        print_json([asdict(step) for step in steps])
        return
    table = Table("table", "what stands there", show_lines=True)
    for step in steps:
        table.add_row(step.table, escaped(step.what))
    console.print(table)


@app.command(rich_help_panel=LOOK)
def ui(port: int = 3000, mlflow_port: int = 5000) -> None:
    """Open Dagster's and MLflow's pages on the home, on this machine only."""
    from flywheel_assets.stores.models import Models

    home = opened()
    _check_free({"--port": port, "--mlflow-port": mlflow_port})
    models = Models(home.mlflow)
    models.client()
    environment = os.environ | {
        "DAGSTER_HOME": str(home.dagster),
        "FLYWHEEL_HOME": str(home.root),
        "FLYWHEEL_MLFLOW_URL": f"http://127.0.0.1:{mlflow_port}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Nothing here uses MLflow's jobs, whose workers outlive Ctrl-C by half a minute.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    servers = {
        name: subprocess.Popen(command, env=environment)  # noqa: S603  programs of this environment
        for name, command in _servers(port, mlflow_port, models.uri).items()
    }
    say(f"Dagster: http://127.0.0.1:{port}   MLflow: http://127.0.0.1:{mlflow_port}")
    say("Ctrl-C ends both. Neither asks who you are: keep them on this machine.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ended = _first_ended(servers)
    except KeyboardInterrupt:
        console.print("Ending both.")
        return
    finally:
        for server in servers.values():
            server.send_signal(signal.SIGINT)
        for server in servers.values():
            server.wait()
    raise HomeError(
        expected="Dagster and MLflow to serve until Ctrl-C",
        found=f"that {ended} ended; what it said stands above",
        remedy="if a port is taken, choose others: --port, --mlflow-port",
    )


def _check_free(ports: Mapping[str, int]) -> None:
    """Refuse to start anything where a port is taken, by another program or twice."""
    for option, port in ports.items():
        with socket.socket() as tried:
            # As servers do: what ended just now has not left the port for good.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
                taken = list(ports.values()).count(port) > 1
            except OSError:
                taken = True
        if taken:
            raise HomeError(
                expected=f"port {port} to be free on this machine",
                found="that it is taken",
                remedy=f"choose another with {option}, or end what is there; nothing was started",
            )


def _servers(port: int, mlflow_port: int, store: str) -> dict[str, list[str]]:
    """Say what is started: Dagster's pages, its daemon for schedules and backfills, MLflow."""
    workspace = ["-m", "flywheel_assets.definitions"]
    if Path("workspace.yaml").exists():
        workspace = ["-w", "workspace.yaml"]
    here = ["--host", "127.0.0.1", "--port"]
    mlflow = ["server", "--backend-store-uri", store, "--workers", "1"]
    return {
        "dagster-webserver": [_tool("dagster-webserver"), *workspace, *here, str(port)],
        "dagster-daemon": [_tool("dagster-daemon"), "run", *workspace],
        "mlflow": [_tool("mlflow"), *mlflow, *here, str(mlflow_port)],
    }


def _first_ended(servers: Mapping[str, "subprocess.Popen[bytes]"]) -> str:
    """Wait until one of them ends; name it."""
    while True:
        for name, server in servers.items():
            if server.poll() is not None:
                return name
        time.sleep(0.5)


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)
