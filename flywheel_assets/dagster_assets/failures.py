"""Of which tables the newest run failed, and why."""

from collections.abc import Collection, Iterator

import dagster as dg
from dagster import DagsterEventType

from flywheel_assets import errors

LOOKED_BACK = 10
"""How many runs: whatever failed before so many others was tried again, or is late."""
_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__


def failures(instance: dg.DagsterInstance, tables: Collection[str]) -> dict[str, str]:
    """Say of tables whose newest run failed why it did; what a person stopped is left out."""
    unseen = {table.replace("/", "_"): table for table in tables}
    found = {}
    for run in instance.get_runs(limit=LOOKED_BACK):
        if not (run.is_finished and unseen):
            continue
        failed = dict(_failed(instance, run.run_id))
        for stats in instance.get_run_step_stats(run.run_id):
            why = failed.get(stats.step_key)
            stopped = stats.step_key in failed and why is None
            if stats.end_time is not None and not stopped and stats.step_key in unseen:
                table = unseen.pop(stats.step_key)
                if why is not None:
                    found[table] = why
    return found


def _failed(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[str, str | None]]:
    """Give each step of a run that failed, and why; None where somebody wanted the run to end."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is not None and event.step_key is not None:
            yield event.step_key, reason(event)


def reason(event: dg.DagsterEvent) -> str | None:
    """Say why a step failed, in the words of what was raised first; None for an interruption."""
    error = event.step_failure_data.error
    if error is not None and error.cls_name == _INTERRUPTED:
        return None
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "it does not say of what"
    return error.message.strip().removeprefix(f"{errors.__name__}.")
