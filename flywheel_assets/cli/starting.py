"""Start one's own: write a project, check a declaration before it runs."""

from dataclasses import asdict
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flywheel_assets.cli.app import START, AsJson, Name, app, console, escaped, print_json, say
from flywheel_assets.cli.rows import show_rows
from flywheel_assets.declare.collect import Observation, SqlSource
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import many
from flywheel_assets.stores.home import Home, current_home

if TYPE_CHECKING:
    from flywheel_assets.starting.validating import Sample


@app.command(rich_help_panel=START)
def new(
    name: Annotated[str, typer.Argument(help="Of the folder, its package and its flywheel.")],
    where: Annotated[Path, typer.Option("--in", help="The folder to make it in.")] = Path(),
) -> None:
    """Write a project of one's own: a commented declaration, its test, a sample of its data."""
    from flywheel_assets.starting.new import write_project

    for file in write_project(name, where):
        console.print(file, highlight=False, soft_wrap=True)
    say(f"\nGo on there: cd {where / name}; flywheel validate; pytest; see README.md")


@app.command(rich_help_panel=START)
def validate(
    name: Name = None,
    source: Annotated[
        Path | None,
        typer.Option(help="Where the data is, as of `run`; else where it is declared to be."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a declaration, and whether its sources fit its contracts, before anything is made.

    Exit status: 1 for what cannot mean anything, for a source that cannot be read, and for records
    that do not fit; nothing of them would be lost, but kept apart with their reasons.
    """
    from flywheel_assets.cli.sources import sources
    from flywheel_assets.dagster_assets.build import build_for
    from flywheel_assets.dagster_assets.compile import compile_flywheels
    from flywheel_assets.project import declared, named
    from flywheel_assets.starting.validating import check

    flywheels = declared()
    chosen = flywheels if name is None and source is None else (named(flywheels, name),)
    for flywheel in chosen:
        check(flywheel)
    home = current_home()
    compile_flywheels(build_for(home), flywheels)
    given = sources(chosen[0], source.resolve()) if source else {}
    samples = _sampled(home, chosen, given)
    if as_json:
        declared_names = [flywheel.name for flywheel in chosen]
        print_json({"flywheels": declared_names, "sources": [asdict(one) for one in samples]})
    else:
        _show(home, chosen, samples)
    if any(one.misfits for one in samples):
        raise typer.Exit(1)


def _sampled(home: Home, flywheels: tuple[Flywheel, ...], given: dict[str, str]) -> "list[Sample]":
    """Look at the sources that are there; one whose place was named must be."""
    from flywheel_assets.starting.validating import sample

    found = []
    for observation in catalog(flywheels).observations:
        if observation.source is None or isinstance(observation.source, SqlSource):
            continue
        if observation.name in given:
            found.append(sample(observation, Path(given[observation.name])))
            continue
        declared = Path(observation.source.path)
        path = home.source_path(observation.name, str(declared))
        # What is to stand below the home may come later; another place is there, or mistyped.
        named = declared.is_absolute() or path != home.root / declared
        if named or path.exists() or glob(str(path)):  # noqa: PTH207  path may be absolute
            found.append(sample(observation, path))
    return found


def _unsampled(observation: Observation, home: Home) -> str:
    if isinstance(observation.source, SqlSource):
        return f"a database in ${observation.source.url}, read when it is collected"
    if observation.source is None:
        return "no source: the API alone"
    path = home.source_path(observation.name, observation.source.path)
    return f"no data yet at {path}; --source names another place"


def _show(home: Home, flywheels: tuple[Flywheel, ...], samples: "list[Sample]") -> None:
    looked_at = {one.observation for one in samples}
    for flywheel in flywheels:
        say(f"{flywheel.name}: the declaration is sound.")
    for observation in catalog(flywheels).observations:
        if observation.name not in looked_at:
            say(f"{observation.name}: {_unsampled(observation, home)}.")
    rows = []
    for one in samples:
        if not one.n_records:
            among = "the newest files of " if one.path.is_dir() else ""
            say(escaped(f"{one.observation}: no records yet in {among}{one.path}."))
            continue
        fits = one.n_records - sum(misfit.n_records for misfit in one.misfits)
        newest = f" in the newest {one.n_read} of {many(one.n_files, 'file')}"
        among = newest if one.n_read < one.n_files else ""
        say(f"{one.observation}: {fits:,} of {many(one.n_records, 'record')}{among} fit.")
        for m in one.misfits:
            told = (m.expected, m.found, f"{m.n_records:,}", m.place, m.remedy)
            rows.append((one.observation, *map(escaped, told)))
    if rows:
        show_rows(("source", "expected", "found", "records", "first at", "remedy"), rows)
