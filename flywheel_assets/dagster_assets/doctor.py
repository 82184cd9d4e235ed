"""What is wrong with a home: its stores, its runs, and aliases against the promotions ledger."""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial

from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.event_log import instance_of
from flywheel_assets.dagster_assets.lost import lost
from flywheel_assets.dagster_assets.orphans import orphans, settle, silent
from flywheel_assets.dagster_assets.promotions import champion_as_of
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError
from flywheel_assets.stores import moved
from flywheel_assets.stores.doctor import Finding, examine_stores
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.registry import registered_name

SETTINGS = "home.json"


def examine(home: Home, flywheels: Sequence[Flywheel]) -> list[Finding]:
    """Look at everything in a home; change nothing."""
    found = [*_settings(home), *examine_stores(home)]
    if found and found[0].where == SETTINGS:  # without them nobody knows what else there is to be
        return found
    found += lost(build_for(home), flywheels)
    broken = {finding.where for finding in found}
    found += _runs(home) if (home.dagster / "dagster.yaml").exists() else _begun_anew(home)
    if "mlflow/mlflow.db" not in broken:
        found += _moved(home)
        ledgers = [f for f in flywheels if f"{f.name}/promotions" not in broken]
        found += _aliases(home, ledgers)
    return found


def _settings(home: Home) -> Iterator[Finding]:
    try:
        home.require_settings()
    except HomeError as error:
        yield Finding(SETTINGS, error.found.removeprefix("that it "), error.remedy)


def _moved(home: Home) -> Iterator[Finding]:
    for there in sorted(set(moved.elsewhere(home.mlflow).values())):
        lacking = moved.not_copied(home.mlflow)
        yield Finding(
            "mlflow/mlflow.db",
            f"leads to {there}, as the home was copied or moved: a run would write there",
            f"copy what is there to {lacking[0]}; then flywheel doctor --mend"
            if lacking
            else "let its paths lead here",
            None if lacking else partial(moved.lead_here, home.mlflow),
        )


def _begun_anew(home: Home) -> Iterator[Finding]:
    settings = home.settings()
    if settings is not None:
        yield Finding(
            "dagster",
            "is gone, or its dagster.yaml is: what was made when, and what checks said, is in it",
            "begin it anew, where no backup is put back; flywheel run then makes the days again, "
            "and what comes out the same changes nothing",
            partial(home.save, settings),
        )


def _runs(home: Home) -> Iterator[Finding]:
    instance = instance_of(home)
    for run in orphans(instance):
        yield Finding(
            f"run {run.run_id}",
            "is started, and the process that executed it is gone",
            "end it and give back what it holds; then run the same command again",
            partial(settle, instance, run),
        )
    for run in silent(instance):
        yield Finding(
            f"run {run.run_id}",
            "is started, and has said nothing for a day",
            "if nothing executes it: Dagster's page, Runs, Terminate, Force",
        )


def _aliases(home: Home, flywheels: Sequence[Flywheel]) -> Iterator[Finding]:
    build = build_for(home)
    for flywheel in flywheels:
        if not build.tables.exists(f"{flywheel.name}/promotions"):
            continue
        ledger = champion_as_of(build, flywheel, date.max)
        name = registered_name(flywheel)
        if ledger is not None and not build.registry.has(name, ledger):
            yield Finding(
                f"model {name}",
                f"version {ledger} decides, by the promotions ledger, and MLflow does not have it",
                "put mlflow/ back from a backup: what was trained is history, and nothing else "
                "brings it back",
            )
            continue
        alias = build.registry.alias(name, "champion")
        if ledger is not None and alias != ledger:
            yield Finding(
                f"model {name}",
                f"the alias champion is at version {alias}, the promotions ledger at {ledger}",
                "let the alias follow the ledger",
                partial(build.registry.point, name, "champion", ledger),
            )
