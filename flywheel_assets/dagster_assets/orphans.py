"""Runs that a kill left as started."""

import os
import time

import dagster as dg

PROCESS = "flywheel/process"
"""Which process executes a run, so that the next one can tell whether it still does."""

SILENT_S = 24 * 3600
"""A run that Dagster's own processes execute and that said nothing for so long is looked at."""


def orphans(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Find runs that are started, by a process of ours that is gone."""
    return [
        run
        for run in instance.get_runs(filters=_unfinished())
        if PROCESS in run.tags and not _alive(int(run.tags[PROCESS]))
    ]


def silent(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Find runs that Dagster launched and that have said nothing for a day."""
    oldest = time.time() - SILENT_S
    return [
        record.dagster_run
        for record in instance.get_run_records(filters=_unfinished())
        if PROCESS not in record.dagster_run.tags and record.update_timestamp.timestamp() < oldest
    ]


def settle(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """End a run that nobody executes, and give back the pools that it holds."""
    instance.report_run_failed(run, "the process that executed it was killed")
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _unfinished() -> dg.RunsFilter:
    return dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])


def _alive(process: int) -> bool:
    if process == os.getpid():  # which executes none while it looks: its number is used again
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
