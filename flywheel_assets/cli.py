"""The command line: turn a flywheel, look at it, measure it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import FlywheelError, HomeError, nearest
from flywheel_assets.stores.home import Home, current_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from flywheel_assets.dagster_assets.turn import Clock, Run, Turner
    from flywheel_assets.worlds.shop import Shop

app = typer.Typer(help="Turn flywheels: decide, collect, organize, learn.", no_args_is_help=True)
keys = typer.Typer(help="API keys: who may log observations and read decisions.")
app.add_typer(keys, name="keys", no_args_is_help=True)
console = Console()
DEMO_DAYS = timedelta(days=60)
DAY = timedelta(days=1)

Name = Annotated[str, typer.Argument(help="The flywheel.")]
From = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")]
To = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")]
SourceDir = Annotated[
    Path | None, typer.Option(help="Where the daily files are, instead of the declared place.")
]


def main() -> None:
    """Run the command line; an error of ours is one message, without a traceback."""
    try:
        app()
    except FlywheelError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False)
        sys.exit(1)


@app.command()
def run(first: From, last: To, name: Name = "repurchase", source: SourceDir = None) -> None:
    """Turn a flywheel over a range of days; run again, it goes on where it was."""
    flywheel = _find(name)
    home = current_home()
    if _simulated(home, flywheel, source):
        _closed_loop(home, flywheel, first.date(), last.date())
    else:
        _replay(home, flywheel, first.date(), last.date(), source)


@app.command()
def demo() -> None:
    """Turn repurchase for 60 days with a simulated shop that reacts to its decisions."""
    home = current_home()
    settings = home.settings()
    first = settings.start if settings else _today() - DEMO_DAYS
    _closed_loop(home, _find("repurchase"), first, first + DEMO_DAYS - DAY)


@app.command()
def performance(first: From, last: To, name: Name = "repurchase") -> None:
    """Measure decisions whose outcome has matured: those decided from the first to the last day."""
    from flywheel_assets.stages.performance import pooled
    from flywheel_assets.stages.training_set import training_schema
    from flywheel_assets.stores.tables import Tables

    flywheel = _find(name)
    wait = flywheel.outcome.matures_after
    table = Tables(current_home().lakehouse).read(
        f"{name}/training_set",
        training_schema(flywheel),
        first.date() + wait,
        last.date() + wait,
    )
    matured = table.collect()
    if matured.is_empty():
        raise HomeError(
            expected=f"matured decisions of {name} from {first.date()} to {last.date()}",
            found="none",
            remedy=f"run to {last.date() + wait} first: outcomes take {wait.days} days to mature",
        )
    shown = Table("ranking", "decisions", "ROC AUC", "precision at capacity")
    for row in pooled(matured, flywheel).iter_rows(named=True):
        auc = "-" if row["roc_auc"] is None else f"{row['roc_auc']:.4f}"
        precision = f"{row['precision_at_capacity']:.4f}"
        shown.add_row(row["ranking"], f"{row['n_decisions']:,}", auc, precision)
    console.print(shown)


@app.command()
def replay_rejected(
    observation: Annotated[str | None, typer.Option(help="This one alone, not all.")] = None,
) -> None:
    """Receive what the API rejected and the contract now takes; it is known from now on.

    What a file reported is judged anew when its day is materialized again.
    """
    from flywheel_assets.dagster_assets.replaying import replay_all
    from flywheel_assets.flywheels import FLYWHEELS

    shown = Table("observation", "accepted", "duplicate", "conflict", "still rejected")
    for name, done in replay_all(current_home(), FLYWHEELS, observation).items():
        counts = (done.accepted, done.duplicate, done.conflict, done.rejected)
        shown.add_row(name, *(f"{n:,}" for n in counts))
    console.print(shown)
    console.print("Rejected records of files: mend the contract, and materialize their day again.")


@app.command()
def trace(
    identifier: Annotated[str, typer.Argument(help="Of an observation or decision.")],
) -> None:
    """Follow one observation or decision through every table, by its id."""
    from flywheel_assets.api.trace import trace as follow
    from flywheel_assets.flywheels import FLYWHEELS

    table = Table("table", "what stands there", show_lines=True)
    for step in follow(current_home(), FLYWHEELS, identifier):
        table.add_row(step.table, step.what)
    console.print(table)


@app.command()
def doctor(mend: Annotated[bool, typer.Option(help="Mend what is safe to mend.")] = False) -> None:
    """Find what is wrong with the home and say how to mend it; exit 1 while something is."""
    from flywheel_assets.dagster_assets.doctor import examine
    from flywheel_assets.flywheels import FLYWHEELS

    table = Table("where", "what is wrong", "what to do", show_lines=True)
    left = 0
    for finding in examine(current_home(), FLYWHEELS):
        mended = mend and finding.mend is not None
        if mended and finding.mend is not None:
            finding.mend()
        left += not mended
        by = "mended: " if mended else "flywheel doctor --mend will " if finding.mend else ""
        table.add_row(finding.where, finding.what, by + finding.remedy)
    console.print(table if table.row_count else "Nothing is wrong.")
    raise typer.Exit(int(left > 0))


@app.command()
def ui(port: int = 3000, mlflow_port: int = 5000) -> None:
    """Open Dagster's and MLflow's pages on the home, on this machine only."""
    from flywheel_assets.stores.models import Models

    home = current_home()
    if home.settings() is None:
        raise HomeError(
            expected=f"a home at {home.root}", found="none", remedy="run `make run` first"
        )
    models = Models(home.mlflow)
    models.client()
    environment = os.environ | {
        "DAGSTER_HOME": str(home.dagster),
        "FLYWHEEL_HOME": str(home.root),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    workspace = (
        ["-w", "workspace.yaml"]
        if Path("workspace.yaml").exists()
        else [
            "-m",
            "flywheel_assets.definitions",
        ]
    )
    commands = (
        [_tool("dagster"), "dev", *workspace, "-h", "127.0.0.1", "-p", str(port)],
        [
            _tool("mlflow"),
            "server",
            "--backend-store-uri",
            models.uri,
            "--host",
            "127.0.0.1",
            "--port",
            str(mlflow_port),
            "--workers",
            "1",
        ],
    )
    console.print(f"Dagster: http://127.0.0.1:{port}   MLflow: http://127.0.0.1:{mlflow_port}")
    console.print("Ctrl-C ends both. Neither asks who you are: keep them on this machine.")
    servers = [subprocess.Popen(command, env=environment) for command in commands]  # noqa: S603
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for server in servers:
            server.wait()
    except KeyboardInterrupt:
        console.print("Ending both.")
    finally:
        for server in servers:
            server.send_signal(signal.SIGINT)
        for server in servers:
            server.wait()


@app.command()
def api(host: str = "127.0.0.1", port: int = 8700) -> None:
    """Serve the API: observations in, decisions out. Off this machine it takes keys."""
    from flywheel_assets.api.service import serve
    from flywheel_assets.flywheels import FLYWHEELS

    serve(current_home(), FLYWHEELS, host, port)


@app.command()
def log(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="Observations, a JSON object a line; - is stdin.")
    ],
    url: Annotated[str | None, typer.Option(help="A service; this home without one.")] = None,
    key: Annotated[str | None, typer.Option(envvar="FLYWHEEL_API_KEY")] = None,
) -> None:
    """Log observations from a file, and say which were not accepted and why."""
    from flywheel_assets.api.client import Local, Remote, log_lines
    from flywheel_assets.flywheels import FLYWHEELS

    client = Remote(url, key) if url else Local(current_home(), FLYWHEELS)
    told = log_lines(client, file, lambda line: typer.echo(line, err=True))
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
    from flywheel_assets.flywheels import FLYWHEELS

    declared = [o.name for o in catalog(FLYWHEELS).observations]
    rights = [right for right, given in zip(RIGHTS, (read, write), strict=True) if given]
    secret, made = key_store(current_home()).add(
        producer, rights, kind or (), declared=declared, records_per_second=rate
    )
    typer.echo(f"Key {made.id} of {producer}; no one can show it again:", err=True)
    typer.echo(secret)


@keys.command("list")
def list_keys() -> None:
    """List the keys: whose they are and what they may, not the keys themselves."""
    from flywheel_assets.api.service import key_store

    table = Table("id", "producer", "rights", "kinds", "records/s", "made", "revoked")
    for key in key_store(current_home()).all():
        rights, kinds = " ".join(key.rights), " ".join(key.kinds) or "all"
        rate, revoked = f"{key.records_per_second:g}", key.revoked_at or ""
        table.add_row(key.id, key.producer, rights, kinds, rate, key.created_at, revoked)
    console.print(table)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Take a key back, at once, also from a server that runs."""
    from flywheel_assets.api.service import key_store

    key_store(current_home()).revoke(key_id)
    typer.echo(f"Key {key_id} opens nothing any more.")


def _replay(home: Home, flywheel: Flywheel, first: date, last: date, source: Path | None) -> None:
    from flywheel_assets.dagster_assets.turn import Turner, replay
    from flywheel_assets.flywheels import FLYWHEELS

    observation = flywheel.views[0].fact.observation.name
    sources = {observation: str(source.resolve())} if source else {}
    _check_range(first, last)
    ongoing = last >= _today() - DAY
    home.extend(first, last, sources, ongoing=ongoing, demo=False)
    turner = Turner(home, FLYWHEELS)
    runs = list(replay(flywheel, first, last))
    with _progress(sum(_weight(r) for r in runs)) as step:
        turner.turn(runs, step)
    _summary(turner, flywheel, last)


def _closed_loop(home: Home, flywheel: Flywheel, first: date, last: date) -> None:
    from flywheel_assets.dagster_assets.closed_loop import prepare, turn_with
    from flywheel_assets.dagster_assets.selection import whole
    from flywheel_assets.dagster_assets.turn import Run, Turner
    from flywheel_assets.flywheels import FLYWHEELS
    from flywheel_assets.worlds.shop import ShopConfig

    _check_range(first, last)
    settings = home.extend(first, last, {}, ongoing=True, demo=True)
    shop = prepare(home, flywheel, ShopConfig(start=settings.start))
    turner = Turner(home, FLYWHEELS)
    total = _weight(Run(tuple(whole(flywheel)), first, last))
    with _progress(total) as step:
        turn_with(shop, turner, flywheel, first, last, progress=step)
    _summary(turner, flywheel, last)
    _reward(shop, flywheel, last)


def _simulated(home: Home, flywheel: Flywheel, source: Path | None) -> bool:
    settings = home.settings()
    if settings is not None:
        return settings.demo and source is None
    observation = flywheel.views[0].fact.observation
    if observation.source is None:
        return False
    declared = home.source_path(observation.name, observation.source.path)
    return source is None and flywheel.name == "repurchase" and not declared.exists()


def _summary(turner: "Turner", flywheel: Flywheel, last: date) -> None:
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.closed_loop import row_counts
    from flywheel_assets.dagster_assets.model import champion_as_of
    from flywheel_assets.stages.model import MODEL_SCHEMA

    build = build_for(turner.home)
    table = Table("table", "rows")
    for key, rows in row_counts(turner.home, flywheel).items():
        table.add_row(key, f"{rows:,}")
    console.print(table)
    version = champion_as_of(build, flywheel, last)
    if version is None:
        console.print("Champion: none yet; the bootstrap rule decides.")
    else:
        trained = build.tables.read(f"{flywheel.name}/model", MODEL_SCHEMA).collect()
        row = trained.filter(version=version).row(0, named=True)
        console.print(
            f"Champion: {flywheel.model.name} version {version}, "
            f"{row['metric']} {row['value']:.4f} on {row['n_holdout']:,} newer decisions."
        )
    _time(turner.clock)
    console.print(f"Tables: {turner.home.lakehouse}", soft_wrap=True)
    console.print("Look at it: make ui")


def _time(clock: "Clock") -> None:
    console.print(
        f"{clock.runs} runs in {clock.wall:.0f} s ({clock.skipped} were done before); "
        f"orchestration took {clock.orchestration:.0%} of it."
    )


def _reward(shop: "Shop", flywheel: Flywheel, last: date) -> None:
    from flywheel_assets.dagster_assets.closed_loop import compare

    earned = compare(shop, flywheel, last)
    gain = earned.oracle - earned.bootstrap
    share = f", {(earned.flywheel - earned.bootstrap) / gain:.0%} of the way" if gain > 0 else ""
    console.print(
        f"Revenue: flywheel £{earned.flywheel:,.0f}; bootstrap rule £{earned.bootstrap:,.0f}; "
        f"oracle £{earned.oracle:,.0f}{share}; no contacts £{earned.nobody:,.0f}."
    )


@contextmanager
def _progress(total: int) -> "Iterator[Callable[[Run], None]]":
    """Show a bar on a terminal, and a line for each run elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    if not console.is_terminal:
        yield lambda run: console.print(f"{run.first} to {run.last}: {_what(run)}")
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("asset days"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("turning", total=total)
        yield lambda run: bar.update(
            task, advance=_weight(run), description=f"{run.last} {_what(run)}"
        )


def _what(run: "Run") -> str:
    return run.assets[0] if len(run.assets) == 1 else f"{run.assets[0]} to {run.assets[-1]}"


def _weight(run: "Run") -> int:
    return len(run.assets) * ((run.last - run.first).days + 1)


def _check_range(first: date, last: date) -> None:
    if last < first or last >= _today():
        raise HomeError(
            expected="a first day, and a last day not before it that has closed",
            found=f"{first} to {last}, and today is {_today()} (UTC)",
            remedy="correct --from and --to",
        )


def _find(name: str) -> Flywheel:
    from flywheel_assets.flywheels import FLYWHEELS

    for flywheel in FLYWHEELS:
        if flywheel.name == name:
            return flywheel
    names: Sequence[str] = [f.name for f in FLYWHEELS]
    raise HomeError(expected="a declared flywheel", found=name, remedy=nearest(name, names))


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _today() -> date:
    return datetime.now(UTC).date()


if __name__ == "__main__":
    main()
