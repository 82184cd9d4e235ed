"""How fresh each table is, how much is in it, whose it is, and what was rejected."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from flywheel_assets.changes.owners import on_call, owners
from flywheel_assets.declare.flywheel import STAGES, Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.report.rejected import LOOKED_BACK, Rejected, Rejections, rejections
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stores.declared import Declared
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

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
class Flow:
    """What flows through the stages.

    Parameters
    ----------
    last : date, optional
        The newest partition of any table; None where nothing was made.
    rejections : tuple of Rejections
        By observation.
    missed : int
        Days that have closed since, in a home that goes on.
    """

    last: date | None
    tables: list[Table]
    rejections: tuple[Rejections, ...] = ()
    missed: int = 0

    def newest(self, table: str) -> date | None:
        """Give the newest partition of a table."""
        return next(one.newest for one in self.tables if one.name == table)

    @property
    def rejected(self) -> list[Rejected]:
        """Why records were rejected in the newest 28 days, the most frequent reason first."""
        found = [one for rejections in self.rejections for one in rejections.reasons]
        return sorted(found, key=lambda one: (-one.n_records, one.observation, one.reason))

    @property
    def n_rejected(self) -> int:
        """Records that were rejected in the newest 28 days."""
        return sum(one.n_rejected for one in self.rejections)

    @property
    def collected(self) -> int:
        """Records of the same days that were not."""
        return sum(one.collected for one in self.rejections)

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
        return Flow(None, _ordered(blank))
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
    return Flow(
        last=last,
        tables=_ordered(found),
        rejections=tuple(rejections(home, [flywheel])),
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
