"""What a changed declaration asks of a home: partitions, rows, time; and carrying it out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial

import polars as pl

from flywheel_assets.changes.meaning import Meaning, meanings
from flywheel_assets.changes.plan import Change, Grade, plan
from flywheel_assets.dagster_assets.carrying import carry, stricter
from flywheel_assets.dagster_assets.epochs import BESIDE, NOTHING_KNOWN, epochs_of, stage_of
from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.dagster_assets.speed import Speed
from flywheel_assets.dagster_assets.turn import Run, Turner
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.model import trains_on
from flywheel_assets.stores.declared import Declared, Epoch, is_history
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

PARTS = ("added", "changed", "removed", "touched", "carried")


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
    at_most : bool
        Whether those made one day each: days that are made together take less.
    carried : tuple of (date, date)
        Partitions that are kept as they are under the new declaration: at most columns get other
        names or types.
    retrains : str, optional
        The model that is trained again.
    decides : str, optional
        The flywheel whose decisions come out different.
    since : date, optional
        The first partition of which that is so.
    gone : bool
        Whether it is no longer declared.
    """

    change: Change
    ranges: tuple[tuple[date, date], ...]
    n_rows: int
    seconds: float | None
    carried: tuple[tuple[date, date], ...] = ()
    retrains: str | None = None
    decides: str | None = None
    since: date | None = None
    gone: bool = False
    at_most: bool = False

    @property
    def is_history(self) -> bool:
        """Whether what is there stays as it was made."""
        return is_history(self.change.table)

    @property
    def n_days(self) -> int:
        """How many partitions are to be made again."""
        return sum((last - first).days + 1 for first, last in self.ranges)


def steps(home: Home, flywheels: Sequence[Flywheel], speeds: Mapping[str, Speed]) -> list[Step]:
    """Hold what is declared against every partition of a home, in the order of the loop.

    A flywheel that has never decided here is not planned: `flywheel run` begins it. Partitions of
    which nothing is known, from before runs kept what they were made by, are made again, and so are
    all of a table that is not there any more. Of what was trained and decided only the newest
    counts: days before, that another declaration made, are history.
    """
    kept, tables = Declared(home.declared), Tables(home.lakehouse)
    wheels = {wheel.name: wheel for wheel in turning(home, flywheels)}
    after, everything = meanings(wheels.values()), cache(partial(meanings, flywheels))
    epochs = {
        table: epochs_of(kept, tables, table, is_declared=table in after)
        for table in dict.fromkeys([*after, *kept.tables()])
    }
    rules = stricter(tables, list(wheels.values()), after, epochs)
    declared = [after, meanings(wheels.values(), rules)] if rules else [after]
    found = []
    for table, held in epochs.items():
        differing = [
            (epoch, c)
            for epoch in held
            for c in _change(table, epoch, declared)
            if not _is_of(table, epoch, everything())
        ]
        if differing and table in after and is_history(table):
            standing = _standing(held, differing, wheels[table.split("/")[0]])
            differing = [(e, c) for e, c in differing if e is standing or not c.recomputes]
        if not differing:
            continue
        change = _merged([change for _, change in differing])
        step = Step(change, _spans(differing, recomputes=True), 0, None, gone=table not in after)
        if step.is_history or table not in after:
            step = replace(step, ranges=())
            if change.recomputes and table in after:
                step = _from_now_on(step, wheels[table.split("/")[0]], held[-1].last)
        if table in after:
            step = replace(step, carried=_spans(differing, recomputes=False))
        found.append(_measured(step, tables, speeds.get(table)))
    return found + _new(after, epochs)


def _measured(step: Step, tables: Tables, speed: Speed | None) -> Step:
    """Say how many rows it is about, and how long it will take."""
    n_rows = sum(_rows(tables, step.change.table, *span) for span in step.ranges)
    if speed is None:
        return replace(step, n_rows=n_rows)
    seconds = [speed.seconds((last - first).days + 1) for first, last in step.ranges]
    return replace(step, n_rows=n_rows, seconds=sum(seconds), at_most=speed.is_bound)


def unapplied(home: Home, flywheels: Sequence[Flywheel], turned: Flywheel) -> list[Change]:
    """Give the changes below which a run of a flywheel would build on days as they were made.

    They are of its tables, more than additions, and `apply` would carry them out: history, which
    stays whatever is declared, asks for nothing.
    """
    ours = set(whole(turned))
    return [
        step.change
        for step in steps(home, flywheels, {})
        if step.change.table in ours
        and step.change.grade > Grade.ADDITIVE
        and (step.ranges or step.carried)
    ]


def _spans(
    differing: Sequence[tuple[Epoch, Change]], *, recomputes: bool
) -> tuple[tuple[date, date], ...]:
    return tuple((e.first, e.last) for e, c in differing if c.recomputes is recomputes)


def _standing(
    held: Sequence[Epoch], differing: Sequence[tuple[Epoch, Change]], wheel: Flywheel
) -> Epoch:
    """Give the days that tell whether history goes on as declared: the newest.

    Of a model that is trained otherwise these are the newest on which one was trained.
    """
    newest = held[-1]
    for epoch in held:
        week = (epoch.last - n * DAY for n in range(min(7, epoch.n_days)))
        if any(trains_on(wheel.model, day) for day in week):
            newest = epoch
    otherwise = any(e is newest and _is_trained_otherwise(c) for e, c in differing)
    return newest if otherwise else held[-1]


def _is_trained_otherwise(change: Change) -> bool:
    moved = {*change.added, *change.changed, *change.touched}
    return stage_of(change.table) == "model" and "version" in moved


def _from_now_on(step: Step, wheel: Flywheel, last: date) -> Step:
    """Say what is trained or decided otherwise after the last day that is there."""
    if _is_trained_otherwise(step.change):
        ahead = (last + n * DAY for n in range(1, 8))
        first = next(day for day in ahead if trains_on(wheel.model, day))
        return replace(step, retrains=wheel.model.name, since=first)
    if stage_of(step.change.table) == "decisions":
        return replace(step, decides=wheel.name, since=last + DAY)
    return step


def turning(home: Home, flywheels: Sequence[Flywheel]) -> list[Flywheel]:
    """Give the flywheels that have decided in a home, also where their decisions are gone."""
    tables, kept = Tables(home.lakehouse), Declared(home.declared)
    decisions = {wheel.name: f"{wheel.name}/decisions" for wheel in flywheels}
    return [
        w for w in flywheels if tables.exists(decisions[w.name]) or kept.epochs(decisions[w.name])
    ]


def _new(after: Mapping[str, Meaning], epochs: Mapping[str, Sequence[Epoch]]) -> list[Step]:
    """List tables that are declared and have no partition yet, in a home that has some."""
    if not any(epochs.values()):
        return []
    return [
        Step(change, (), 0, None)
        for table in after
        if not epochs[table] and stage_of(table) not in BESIDE
        for change in plan({}, {table: after[table]})
    ]


def _change(table: str, epoch: Epoch, declared: Sequence[Mapping[str, Meaning]]) -> list[Change]:
    """Hold a table's partitions against what is declared, then against what means the same here."""
    found = [
        plan({table: epoch.meaning}, {table: after[table]} if table in after else {})
        for after in declared
    ]
    first, last = found[0], found[-1]
    if not first or not first[0].recomputes or any(c.recomputes for c in last):
        return first
    change = first[0]
    carried = (*change.carried, *change.added, *change.changed, *change.touched)
    return [replace(change, grade=Grade.ADDITIVE, carried=tuple(dict.fromkeys(carried)))]


def _is_of(table: str, epoch: Epoch, everything: Mapping[str, Meaning]) -> bool:
    """Say whether all that is declared made it, with those that have not decided here yet."""
    return table in everything and not plan({table: epoch.meaning}, {table: everything[table]})


def _merged(changes: Sequence[Change]) -> Change:
    def names(part: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for c in changes for name in getattr(c, part)))

    return Change(
        changes[-1].table,
        max(change.grade for change in changes),
        **{part: names(part) for part in PARTS},
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

    Those that need not be are kept: their columns get the names and types that they have now. A
    table that is no longer declared is let go: its data stays, and no plan speaks of it again.

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
    after, kept = meanings(turner.flywheels), Declared(turner.home.declared)
    for step in planned:
        table = step.change.table
        if table not in after:
            kept.let_go(table)
        if step.carried:
            carry(turner.home, turner.flywheels, after[table], table, step.carried)
        for first, last in step.ranges:
            if kept.lost(table, Tables(turner.home.lakehouse)):
                kept.record(table, first, last, NOTHING_KNOWN)
            run = Run(_materialized_with(table, turner), first, last)
            turner.force(run)
            progress(run)
        yield step


def _materialized_with(table: str, turner: Turner) -> tuple[str, ...]:
    beside = f"{table}_rejected"
    return (table, beside) if turner.has(beside) else (table,)
