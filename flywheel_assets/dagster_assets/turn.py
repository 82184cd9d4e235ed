"""Turning the wheel over a range of days, as runs recorded in the home's Dagster instance."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import dagster as dg

from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.coming_back import not_back
from flywheel_assets.dagster_assets.compile import compile_flywheels
from flywheel_assets.dagster_assets.event_log import recorder
from flywheel_assets.dagster_assets.failures import reason
from flywheel_assets.dagster_assets.orphans import PROCESS, orphans, settle
from flywheel_assets.dagster_assets.promotions import ledger_of
from flywheel_assets.dagster_assets.selection import LOOP, downstream, upstream, whole
from flywheel_assets.dagster_assets.table_asset import chunks
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import FlywheelError
from flywheel_assets.stages.candidates import counts_back
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.model import trains_on
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.moved import require_here

UPSTREAM_CHUNK = timedelta(days=92)
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Run:
    """One Dagster run: some assets over a range of days."""

    assets: tuple[str, ...]
    first: date
    last: date


@dataclass
class Clock:
    """Where the time went, in seconds."""

    wall: float = 0.0
    steps: float = 0.0
    runs: int = 0
    skipped: int = 0
    by_asset: dict[str, float] = field(default_factory=dict)

    @property
    def orchestration(self) -> float:
        """The share of the wall time that was not spent inside a step's body."""
        return 1 - self.steps / self.wall if self.wall else 0.0


def replay(flywheel: Flywheel, first: date, last: date) -> Iterator[Run]:
    """Plan a range whose source does not react to decisions.

    Collect, organize and features run over months at once; the days from one training to the next
    are decided in one run, and then come back as observations in another. No run is as long as the
    outcome takes to mature, so that each training set finds its decisions. Where those of the day
    before are needed, by a frequency cap or an outcome of one day, each day waits for them.
    """
    for start, end in chunks(first, last, UPSTREAM_CHUNK):
        yield Run(tuple(upstream(flywheel)), start, end)
    matures = flywheel.outcome.matures_after
    if counts_back(flywheel.policy) is not None or matures == DAY:
        yield from (Run((*LOOP, *downstream(flywheel)), day, day) for day in days(first, last))
        return
    start = first
    while start <= last:
        end = start
        limit = start + matures - 2 * DAY
        while end < min(last, limit) and not trains_on(flywheel.model, end + DAY):
            end += DAY
        yield Run(tuple(downstream(flywheel)), start, end)
        # The day after the block knows its last decisions; it comes with the next block.
        yield Run(LOOP, start, end)
        start = end + DAY


def day_by_day(flywheel: Flywheel, first: date, last: date) -> Iterator[Run]:
    """Plan a range whose source reacts to decisions: one turn of the wheel a day."""
    for day in days(first, last):
        yield Run(tuple(whole(flywheel)), day, day)


class Turner:
    """Executes runs in this process, and skips those whose every partition is there already.

    Parameters
    ----------
    again : bool
        Whether nothing is skipped: what is there is made again.
    decide_again : bool
        Whether published decisions that come out different are replaced, too; and promotions,
        where all that was decided since is among the runs.

    Raises
    ------
    HomeError
        For a copied home, of which MLflow would write into the one that it was copied from.
    """

    def __init__(
        self,
        home: Home,
        flywheels: Sequence[Flywheel],
        *,
        again: bool = False,
        decide_again: bool = False,
    ) -> None:
        require_here(home.mlflow)
        os.environ["FLYWHEEL_HOME"] = str(home.root)
        self.home, self.again, self.decide_again = home, again or decide_again, decide_again
        self.instance = recorder(home)
        self.clock, self._until = Clock(), date.min
        self._build, self.flywheels = build_for(home), flywheels
        definitions = compile_flywheels(self._build, flywheels)
        self._job = definitions.resolve_implicit_global_asset_job_def()
        for run in orphans(self.instance):
            settle(self.instance, run)

    def turn(
        self, runs: Sequence[Run], progress: Callable[[Run], None], until: date | None = None
    ) -> Clock:
        """Execute runs in order; stop at the first that fails.

        Parameters
        ----------
        until : date, optional
            The last day that will have been turned, where more runs follow than these.

        Raises
        ------
        FlywheelError
            When a step or a blocking check fails; what was written before stays.
        """
        begun = time.perf_counter()
        self._until = until or max((run.last for run in runs), default=date.min)
        for run in runs:
            if not self.again and self.done(run):
                self.clock.skipped += 1
            else:
                self._execute(run)
            progress(run)
        self.clock.wall += time.perf_counter() - begun
        return self.clock

    def force(self, run: Run) -> None:
        """Execute a run whatever is there already.

        Raises
        ------
        FlywheelError
            When a step or a blocking check fails.
        """
        begun = time.perf_counter()
        self._execute(run)
        self.clock.wall += time.perf_counter() - begun

    def has(self, key: str) -> bool:
        """Say whether there is an asset of this key."""
        return dg.AssetKey(key.split("/")) in self._job.asset_layer.executable_asset_keys

    def done(self, run: Run) -> bool:
        """Say whether every asset of a run has every day of it, and the loop all decisions."""
        wanted = {day.isoformat() for day in days(run.first, run.last)}
        there = all(
            wanted <= self.instance.get_materialized_partitions(dg.AssetKey(key.split("/")))
            for key in run.assets
        )
        if not there or set(LOOP).isdisjoint(run.assets):
            return there
        span = (run.first - DAY, run.last - DAY)
        return not any(not_back(self._build, flywheel, *span) for flywheel in self.flywheels)

    def _execute(self, run: Run) -> None:
        keys = {dg.AssetKey(key.split("/")) for key in run.assets}
        tags = {PROCESS: str(os.getpid())}
        if run.first != run.last:
            tags |= {FIRST: run.first.isoformat(), LAST: run.last.isoformat()}
        result = self._job.get_subset(asset_selection=keys).execute_in_process(
            instance=self.instance,
            partition_key=run.first.isoformat() if run.first == run.last else None,
            tags=tags,
            run_config=self._config(run),
            raise_on_error=False,
        )
        self.clock.runs += 1
        for event in result.all_events:
            if event.is_step_success:
                took = event.step_success_data.duration_ms / 1000
                name = str(event.step_key)
                self.clock.steps += took
                self.clock.by_asset[name] = self.clock.by_asset.get(name, 0.0) + took
        if not result.success:
            if _interrupted(result):
                raise KeyboardInterrupt
            raise FlywheelError(
                expected=f"{', '.join(run.assets)} from {run.first} to {run.last}",
                found=_why(result),
                remedy="mend that and run the same command again: it goes on where it was",
            )

    def _config(self, run: Run) -> dict[str, Any]:
        config: dict[str, Any] = {
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        }
        if self.decide_again:
            again = {
                f"{wheel.name}_{stage}": {"config": {"decide_again": yes}}
                for wheel in self.flywheels
                for stage, yes in (("model", self._reaches_the_end(wheel)), ("decisions", True))
                if f"{wheel.name}/{stage}" in run.assets
            }
            config["ops"] = again
        return config

    def _reaches_the_end(self, flywheel: Flywheel) -> bool:
        """Say whether no decision of later days than are turned would keep another champion."""
        first = ledger_of(self._build, flywheel).first_undecided()
        return first is None or first - DAY <= self._until


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Say whether somebody wanted the run to end: Ctrl-C comes to a step as an error."""
    return any(e.is_step_failure and reason(e) is None for e in result.all_events)


def _why(result: dg.ExecuteInProcessResult) -> str:
    """Say which checks stopped it, in their own words, else which step failed and of what."""
    stopped = [
        f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}: "
        f"{evaluation.description}"
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and not (evaluation := event.asset_check_evaluation_data).passed
        and evaluation.blocking
        and evaluation.severity is dg.AssetCheckSeverity.ERROR
    ]
    if stopped:
        return "; ".join(stopped)
    for event in result.all_events:
        if event.is_step_failure:
            return f"{event.step_key} failed: {reason(event)}"
    return "a run that failed"
