"""Sensors that tell the owners of what failed, and of what is downstream."""

from collections.abc import Iterator

import dagster as dg

from flywheel_assets.changes import Lineage, lineage, owners
from flywheel_assets.declare.flywheel import Catalog
from flywheel_assets.stores.notifier import Notice, notifier


def sensors(things: Catalog) -> list[dg.SensorDefinition]:
    """Give the sensors of a code location: failed runs, and checks that failed in sound ones."""
    graph, whose = lineage(things.flywheels), owners(things.flywheels)

    @dg.run_failure_sensor(
        name="failed_runs",
        description="Tells the owners of the tables that a run failed at, and of those downstream.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        for notice in _failures(context, graph, whose):
            notifier()(notice)

    @dg.run_status_sensor(
        name="failed_checks",
        run_status=dg.DagsterRunStatus.SUCCESS,
        description="Tells the same people of ERROR checks that failed without stopping the run.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def failed_checks(context: dg.RunStatusSensorContext) -> None:
        for notice in _checks(context.instance, context.dagster_run.run_id, graph, whose):
            notifier()(notice)

    return [failed_runs, failed_checks]


def _failures(
    context: dg.RunFailureSensorContext, graph: Lineage, whose: dict[str, tuple[str, ...]]
) -> Iterator[Notice]:
    run_id = context.dagster_run.run_id
    stopped = list(_checks(context.instance, run_id, graph, whose))
    yield from stopped
    told = {notice.table for notice in stopped}
    for event in context.get_step_failure_events():
        key = str(event.step_key)
        tables = [t for t in whose if t.replace("/", "_") == key and t not in told]
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        what = error.message.strip() if error is not None else "failed"
        yield from (_notice(table, what, run_id, graph, whose) for table in tables)


def _checks(
    instance: dg.DagsterInstance, run_id: str, graph: Lineage, whose: dict[str, tuple[str, ...]]
) -> Iterator[Notice]:
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    for record in records:
        event = record.event_log_entry.dagster_event
        verdict = event.asset_check_evaluation_data if event is not None else None
        if verdict is None or verdict.passed or verdict.severity is dg.AssetCheckSeverity.WARN:
            continue
        table = "/".join(verdict.asset_key.path)
        what = f"check {verdict.check_name} failed, {verdict.description}"
        yield _notice(table, what, run_id, graph, whose)


def _notice(
    table: str, what: str, run_id: str, graph: Lineage, whose: dict[str, tuple[str, ...]]
) -> Notice:
    below = dict.fromkeys(c.table for c in graph.downstream(graph.columns(table)))
    affected = {name: whose[name] for name in below if name != table}
    return Notice(table, what, run_id, whose.get(table, ()), affected)
