"""What of a home needs attention, the most pressing first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

import dagster as dg

from flywheel_assets.changes import owners
from flywheel_assets.dagster_assets.build import Build, build_for, today
from flywheel_assets.dagster_assets.compile import compile_flywheels
from flywheel_assets.dagster_assets.epochs import BESIDE
from flywheel_assets.dagster_assets.event_log import instance_of
from flywheel_assets.dagster_assets.failures import failures
from flywheel_assets.dagster_assets.lost import lost
from flywheel_assets.dagster_assets.planning import turning
from flywheel_assets.dagster_assets.promotions import champion_as_of, ledger_of
from flywheel_assets.dagster_assets.verdicts import verdicts
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report.rejected import rejections
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stores.forgetting.receipts import Receipts
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.moved import elsewhere
from flywheel_assets.stores.registry import registered_name


class Urgency(IntEnum):
    """How much a table asks for; the higher, the sooner."""

    FINE = 0
    LATE = 1
    """Its newest partition is older than the day that closed last."""
    HOLES = 2
    """Days between its first and its newest were never made."""
    WARNED = 3
    """A check warned."""
    FAILED = 4
    """A check failed, or the table is gone."""


@dataclass(frozen=True)
class TableStatus:
    """One table.

    Parameters
    ----------
    newest : date or None
        Its newest partition; None for a table that was never made.
    days_behind : int
        How many days have closed since.
    holes : tuple of date
        Days that were never made, between its first and its newest.
    failed, warned : tuple of str
        Checks whose newest verdict is a failure, each with its message; that a table is gone, or
        its newest run failed, too.
        A model that was trained on somebody who was forgotten is warned of, while it decides; so
        is an observation of which many records were rejected lately.
    """

    table: str
    owners: tuple[str, ...]
    newest: date | None
    days_behind: int
    holes: tuple[date, ...]
    failed: tuple[str, ...]
    warned: tuple[str, ...]

    @property
    def urgency(self) -> Urgency:
        """The most pressing of what is wrong with it."""
        if self.failed:
            return Urgency.FAILED
        if self.warned:
            return Urgency.WARNED
        if self.holes:
            return Urgency.HOLES
        return Urgency.LATE if self.days_behind or self.newest is None else Urgency.FINE


def status(home: Home, flywheels: Sequence[Flywheel]) -> list[TableStatus]:
    """Look at every table of the flywheels that have decided here, the most pressing first."""
    build, flywheels = build_for(home), turning(home, flywheels)
    instance = instance_of(home)
    graph = compile_flywheels(build, flywheels).resolve_asset_graph()
    whose, said = owners(flywheels), verdicts(instance, list(graph.asset_check_keys))
    for gone in lost(build, flywheels):
        said.setdefault(gone.where, []).append((f"{gone.what}; {gone.remedy}", False))
    for table, why in failures(instance, whose).items():
        said.setdefault(table, []).append((f"its newest run failed: {why}", False))
    for name, there in elsewhere(home.mlflow).items():
        text = f"MLflow leads to {there}, another home: flywheel doctor says what to do"
        said.setdefault(f"{name}/model", []).append((text, False))
    for table, text in _saw_forgotten(build, flywheels):
        said.setdefault(table, []).append((text, True))
    for one in rejections(home, flywheels):
        if one.need_attention:
            text = f"rejected: {one.said}: {one.to_do}; flywheel rejected shows them"
            said.setdefault(f"collect/{one.observation}", []).append((text, True))
    last = min(build.settings.end or today() - DAY, today() - DAY)
    found = []
    for table, names in whose.items():
        wheel, _, stage = table.rpartition("/")
        if stage in BESIDE and table not in said:
            continue
        made = _made(instance, f"{wheel}/{BESIDE.get(stage, stage)}")
        newest = max(made, default=None)
        # A flywheel may have begun after the home.
        expected = days(min(made), newest) if newest else ()
        found.append(
            TableStatus(
                table=table,
                owners=names,
                newest=newest,
                days_behind=(last - newest).days if newest and newest < last else 0,
                holes=tuple(day for day in expected if day not in made),
                failed=tuple(text for text, warns in said.get(table, ()) if not warns),
                warned=tuple(text for text, warns in said.get(table, ()) if warns),
            )
        )
    return sorted(found, key=lambda one: -one.urgency)


def _made(instance: dg.DagsterInstance, table: str) -> set[date]:
    keys = instance.get_materialized_partitions(dg.AssetKey(table.split("/")))
    return {date.fromisoformat(key) for key in keys}


def _saw_forgotten(build: Build, flywheels: Sequence[Flywheel]) -> Iterator[tuple[str, str]]:
    """Name the models that decide, and were trained on somebody who was forgotten since."""
    if not Receipts.of(build.home).all():
        return  # and MLflow need not be asked
    for flywheel in flywheels:
        version = champion_as_of(build, flywheel, date.max)
        if version is None:
            continue
        name, registry = registered_name(flywheel), build.registry
        receipts = registry.forgot(name, version)
        if receipts:
            known = registry.versions(name)
            # What the gate refused is registered, too, and never was in the line.
            line = [v for v in ledger_of(build, flywheel).line(date.max) if v in known]
            sound = [v for v in line if not registry.forgot(name, v)]
            instead = (
                f", or promote one that was not: flywheel promote {flywheel.name} {sound[-1]} "
                "--why ..."
                if sound
                else "; no version was trained without them and promoted"
            )
            said = (
                f"version {version} decides, and was trained on people who were forgotten since "
                f"(receipts {', '.join(receipts)}): train again, {flywheel.model.retrain}{instead}"
            )
            yield f"{flywheel.name}/model", said
