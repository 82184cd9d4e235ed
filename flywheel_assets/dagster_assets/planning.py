"""What a changed declaration asks of a home: partitions, rows, time; and carrying it out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import dagster as dg
import polars as pl

from flywheel_assets.changes.meaning import Meaning, meanings
from flywheel_assets.changes.plan import Change, Grade, plan
from flywheel_assets.dagster_assets.turn import FIRST, LAST, Run, Turner
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.model import trains_on
from flywheel_assets.stores.declared import Declared, Epoch
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

NEWEST = 50
"""How many events of a table its speed is estimated by."""
HISTORY = frozenset({"model", "promotions", "decisions"})
"""What was trained, promoted and published stays; from its next turn on it follows."""


BESIDE = frozenset({"promotions"})
"""What is written with another table, and has no runs of its own."""


@dataclass(frozen=True)
class Step:
    """What is to be done about one table.

    Parameters
    ----------
    ranges : tuple of (date, date)
        Partitions to be made again, both ends included; none where history stays.
    n_rows : int
        How many rows these hold now.
    seconds : float or None
        An estimate from the runs that made the table before; None without any.
    retrains : str, optional
        The model that is trained again.
    decides : str, optional
        The flywheel whose decisions come out different.
    since : date, optional
        The first partition of which that is so.
    """

    change: Change
    ranges: tuple[tuple[date, date], ...]
    n_rows: int
    seconds: float | None
    retrains: str | None = None
    decides: str | None = None
    since: date | None = None

    @property
    def is_history(self) -> bool:
        """Whether what is there stays as it was made."""
        return self.change.table.split("/")[-1] in HISTORY

    @property
    def n_days(self) -> int:
        """How many partitions are to be made again."""
        return sum((last - first).days + 1 for first, last in self.ranges)


def steps(
    home: Home, flywheels: Sequence[Flywheel], seconds_per_day: Mapping[str, float]
) -> list[Step]:
    """Hold what is declared against every partition of a home, in the order of the loop.

    A flywheel that has never decided here is not planned: `flywheel run` begins it. Partitions of
    which nothing is known, from before runs kept what they were made by, are made again.
    """
    kept, tables = Declared(home.declared), Tables(home.lakehouse)
    wheels = {wheel.name: wheel for wheel in turning(home, flywheels)}
    after, everything = meanings(wheels.values()), meanings(flywheels)
    epochs = {
        table: kept.epochs(table) or _unknown(tables, table)
        for table in dict.fromkeys([*after, *kept.tables()])
    }
    found = []
    for table, held in epochs.items():
        differing = [
            (epoch, change) for epoch in held for change in _change(table, epoch, after, everything)
        ]
        if not differing:
            continue
        change = _merged([change for _, change in differing])
        again = [e for e, c in differing if c.grade is not Grade.DESCRIPTION]
        ranges = tuple((e.first, e.last) for e in again) if table in after else ()
        step = Step(change, ranges, 0, None)
        if step.is_history:
            step = replace(step, ranges=())
            if change.recomputes and table in after:
                step = _from_now_on(step, wheels[table.split("/")[0]], held[-1].last)
        cost = seconds_per_day.get(table)
        found.append(
            replace(
                step,
                n_rows=sum(_rows(tables, table, first, last) for first, last in step.ranges),
                seconds=None if cost is None else cost * step.n_days,
            )
        )
    return found + _new(after, epochs)


def _from_now_on(step: Step, wheel: Flywheel, last: date) -> Step:
    """Say what is trained or decided otherwise after the last day that is there."""
    change, stage = step.change, step.change.table.split("/")[-1]
    moved = {*change.added, *change.changed, *change.touched}
    if stage == "model" and "version" in moved:
        ahead = (last + n * DAY for n in range(1, 8))
        first = next(day for day in ahead if trains_on(wheel.model, day))
        return replace(step, retrains=wheel.model.name, since=first)
    if stage == "decisions":
        return replace(step, decides=wheel.name, since=last + DAY)
    return step


def turning(home: Home, flywheels: Sequence[Flywheel]) -> list[Flywheel]:
    """Give the flywheels that have decided in a home."""
    tables = Tables(home.lakehouse)
    return [wheel for wheel in flywheels if tables.exists(f"{wheel.name}/decisions")]


def _unknown(tables: Tables, table: str) -> list[Epoch]:
    if table.rsplit("/", maxsplit=1)[-1] in BESIDE or not tables.exists(table):
        return []
    days = tables.days(table)
    return [Epoch(days[0], days[-1], Meaning(columns={}))] if days else []


def _new(after: Mapping[str, Meaning], epochs: Mapping[str, Sequence[Epoch]]) -> list[Step]:
    """List tables that are declared and have no partition yet, in a home that has some."""
    if not any(epochs.values()):
        return []
    return [
        Step(change, (), 0, None)
        for table in after
        if not epochs[table] and table.split("/")[-1] not in BESIDE
        for change in plan({}, {table: after[table]})
    ]


def _change(
    table: str, epoch: Epoch, after: Mapping[str, Meaning], everything: Mapping[str, Meaning]
) -> list[Change]:
    """Say what a table's partitions differ in; nothing, where all that is declared made them."""
    either = [
        plan({table: epoch.meaning}, {table: one[table]} if table in one else {})
        for one in (after, everything)
    ]
    return either[0] if all(either) else []


def _merged(changes: Sequence[Change]) -> Change:
    def names(part: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for c in changes for name in getattr(c, part)))

    return Change(
        changes[-1].table,
        max(change.grade for change in changes),
        **{part: names(part) for part in ("added", "changed", "removed", "touched")},
        owners=changes[-1].owners,
    )


def _rows(tables: Tables, table: str, first: date, last: date) -> int:
    scan = tables.read(table, {PARTITION: pl.Date()}, first, last)
    return int(scan.select(pl.len()).collect().item())


def apply(
    planned: Sequence[Step], turner: Turner, progress: Callable[[Run], None]
) -> Iterator[Step]:
    """Make the planned partitions again, a run for each range, in the order of the loop.

    However long a range is, it is one run: the table's asset holds a chunk of it in memory, and
    keeps what of it is done.

    Yields
    ------
    Step
        Each one when it is done. Stopped and planned anew it goes on where it was: what is done is
        no longer planned.

    Raises
    ------
    FlywheelError
        From the run that fails; what was done before stays.
    """
    for step in planned:
        for first, last in step.ranges:
            run = Run(_materialized_with(step.change.table, turner), first, last)
            turner.force(run)
            progress(run)
        yield step


def _materialized_with(table: str, turner: Turner) -> tuple[str, ...]:
    beside = f"{table}_rejected"
    return (table, beside) if turner.has(beside) else (table,)


def seconds_per_day(turner: Turner, tables: Iterable[str]) -> dict[str, float]:
    """Say how long each table took for one partition, by its newest runs."""
    found = {table: _speed(turner.instance, table) for table in tables}
    return {table: seconds for table, seconds in found.items() if seconds is not None}


def _speed(instance: dg.DagsterInstance, table: str) -> float | None:
    events = instance.fetch_materializations(dg.AssetKey(table.split("/")), limit=NEWEST).records
    steps = {event.run_id: event.event_log_entry for event in events}
    seconds, n_days = 0.0, 0
    for run_id, entry in steps.items():
        run = instance.get_run_by_id(run_id)
        stats = instance.get_run_step_stats(run_id, [str(entry.step_key)])
        if run is None or not stats or stats[0].end_time is None or stats[0].start_time is None:
            continue
        first = run.tags.get(FIRST, run.tags.get("dagster/partition"))
        last = run.tags.get(LAST, first)
        if first and last:
            seconds += stats[0].end_time - stats[0].start_time
            n_days += (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    return seconds / n_days if n_days else None
