"""The daily turn of each flywheel, and the turn that retrains."""

from datetime import UTC
from typing import Any

import dagster as dg

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.reporting import report_key
from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.declare.flywheel import Catalog, Flywheel
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.model import trains_on


def schedules(build: Build, things: Catalog) -> tuple[list[Any], list[dg.ScheduleDefinition]]:
    """Give each flywheel its job and its two schedules."""
    jobs, ticks = [], []
    for flywheel in things.flywheels:
        job = dg.define_asset_job(
            flywheel.name,
            selection=dg.AssetSelection.assets(
                *(key.split("/") for key in (*whole(flywheel), report_key(flywheel)))
            ),
            description=f"One turn of the wheel, and its report. {flywheel.description}",
        )
        jobs.append(job)
        ticks.append(_schedule(build, flywheel, job, retrains=False))
        if flywheel.model.retrain != "daily":
            ticks.append(_schedule(build, flywheel, job, retrains=True))
    return jobs, ticks


def _schedule(
    build: Build,
    flywheel: Flywheel,
    job: Any,
    *,
    retrains: bool,
) -> dg.ScheduleDefinition:
    model = flywheel.model
    always = model.retrain == "daily"
    name = f"{flywheel.name}_{'retraining' if retrains else 'daily'}"

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule="10 0 * * *",
        execution_timezone="UTC",
        default_status=_status(build),
        description=(
            f"The turn that closes a {model.retrain} and trains the model."
            if retrains
            else "The whole flywheel for the day that closed, training days aside."
            if not always
            else "The whole flywheel for the day that closed."
        ),
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(UTC).date() - DAY
        if day < build.settings.start or (build.settings.end and day > build.settings.end):
            return dg.SkipReason(f"{day} is not a partition of this home")
        if not always and trains_on(model, day) != retrains:
            other = "daily" if retrains else "retraining"
            return dg.SkipReason(f"{day} belongs to the schedule {flywheel.name}_{other}")
        return dg.RunRequest(run_key=day.isoformat(), partition_key=day.isoformat())

    return tick


def _status(build: Build) -> dg.DefaultScheduleStatus:
    """Off in the demo home, where nobody else writes tomorrow's orders; on elsewhere."""
    if build.settings.demo:
        return dg.DefaultScheduleStatus.STOPPED
    return dg.DefaultScheduleStatus.RUNNING
