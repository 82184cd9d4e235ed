"""How fresh each table is, how much is in it, whose it is, and what was rejected."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from flywheel_assets.changes.owners import on_call, owners
from flywheel_assets.declare.flywheel import STAGES, Flywheel, catalog
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.collect import REJECTED_SCHEMA
from flywheel_assets.stores.declared import Declared
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

LOOKED_BACK = timedelta(days=28)
NAMED = 8
"""How many reasons of rejection are named."""
_AFTER = (*STAGES, "performance", "drift")


@dataclass(frozen=True)
class Table:
    """One table.

    Parameters
    ----------
    newest : date, optional
        Its newest partition, with rows or without.
    behind : int
        How many days before the flywheel's newest that is.
    rows : tuple of int
        Of each of the newest 28 days of the flywheel, oldest first.
    """

    name: str
    stage: str
    owners: tuple[str, ...]
    newest: date | None
    behind: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Rejected:
    """A reason for which records were rejected lately, and how many."""

    observation: str
    reason: str
    n_records: int
    since: date
    until: date


@dataclass(frozen=True)
class Flow:
    """What flows through the stages.

    Parameters
    ----------
    last : date, optional
        The newest partition of any table; None where nothing was made.
    collected : int
        Records of the newest 28 days, beside which `rejected` stands.
    missed : int
        Days that have closed since, in a home that goes on.
    """

    last: date | None
    tables: list[Table]
    rejected: list[Rejected]
    collected: int
    missed: int = 0

    def newest(self, table: str) -> date | None:
        """Give the newest partition of a table."""
        return next(one.newest for one in self.tables if one.name == table)

    @property
    def n_rejected(self) -> int:
        """Records that were rejected in the newest 28 days."""
        return sum(one.n_records for one in self.rejected)

    @property
    def on_call(self) -> list[str]:
        """Owners that can be written to."""
        return sorted(set(on_call(name for table in self.tables for name in table.owners)))


def flow(home: Home, flywheel: Flywheel, closed: date | None = None) -> Flow:
    """Look at every table of a flywheel.

    Parameters
    ----------
    closed : date, optional
        The day that closed last, to which a home that goes on should have come.
    """
    tables, declared = Tables(home.lakehouse), Declared(home.declared)
    whose = owners([flywheel])
    del whose[f"{flywheel.name}/promotions"]  # not a partition a day
    made = {name: _made(tables, declared, name) for name in whose}
    last = max((day for day in made.values() if day), default=None)
    if last is None:
        blank = [Table(n, _stage(n), o, None, 0, ()) for n, o in whose.items()]
        return Flow(None, _ordered(blank), [], 0)
    first = last - LOOKED_BACK + DAY
    found = []
    for name, names in whose.items():
        newest = made[name]
        counts = _counts(tables, name, first, last)
        found.append(
            Table(
                name=name,
                stage=_stage(name),
                owners=names,
                newest=newest,
                behind=(last - newest).days if newest else 0,
                rows=tuple(counts.get(day, 0) for day in days(first, last)),
            )
        )
    mine = {f"collect/{o.name}" for o in catalog([flywheel]).observations}
    return Flow(
        last=last,
        tables=_ordered(found),
        rejected=sorted(
            _rejected(tables, flywheel, first, last),
            key=lambda one: (-one.n_records, one.observation, one.reason),
        ),
        collected=sum(sum(t.rows) for t in found if t.name in mine),
        missed=max((closed - last).days, 0) if closed else 0,
    )


def _ordered(found: list[Table]) -> list[Table]:
    order = {stage: place for place, stage in enumerate(_AFTER)}
    return sorted(found, key=lambda table: order.get(table.stage, len(order)))


def _stage(table: str) -> str:
    first, second = table.split("/")
    return first if first in STAGES else second


def _made(tables: Tables, declared: Declared, name: str) -> date | None:
    epochs = declared.epochs(name)
    if epochs:
        return epochs[-1].last
    there = tables.days(name) if tables.exists(name) else []
    return there[-1] if there else None


def _counts(tables: Tables, name: str, first: date, last: date) -> dict[date, int]:
    rows = tables.read(name, {PARTITION: pl.Date()}, first, last)
    return dict(rows.group_by(PARTITION).len().collect().iter_rows())


def told(reason: pl.Expr) -> pl.Expr:
    """Keep of a reason what was expected first: what was found may be somebody's.

    Examples
    --------
    >>> said = pl.DataFrame({"reason": ["age: expected 0 or more, found -7; name: required, ..."]})
    >>> said.select(told(pl.col("reason"))).item()
    'age: expected 0 or more'
    """
    return reason.str.replace(r"(?s), found .*$", "")


def _rejected(tables: Tables, flywheel: Flywheel, first: date, last: date) -> Iterator[Rejected]:
    day = pl.col(PARTITION)
    for observation in catalog([flywheel]).observations:
        rows = tables.read(f"collect/{observation.name}_rejected", REJECTED_SCHEMA, first, last)
        grouped = rows.group_by(told(pl.col("reason"))).agg(
            pl.len().alias("n"), day.min().alias("since"), day.max().alias("until")
        )
        for reason, n, since, until in grouped.collect().iter_rows():
            yield Rejected(observation.name, str(reason), n, since, until)
