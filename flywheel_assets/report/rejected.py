"""What was rejected lately, why, and what to do about it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.rules import OTHER_CONTENT, PARTITION
from flywheel_assets.errors import many
from flywheel_assets.report.wording import percent
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import REJECTED_SCHEMA
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

LOOKED_BACK = timedelta(days=28)
MANY = 0.05
"""From which share of an observation's records on their rejection may need attention."""
RISEN = 2
"""It does where the share is so many times what it was before: what always was so is known."""
_LOGGED = "api"
"""What stands for the file of a record that came through the API."""


@dataclass(frozen=True)
class Rejected:
    """A reason for which records were rejected, and how many.

    Parameters
    ----------
    n_logged : int
        How many of them came through the API.
    """

    observation: str
    reason: str
    n_records: int
    n_logged: int
    since: date
    until: date

    @property
    def is_conflict(self) -> bool:
        """Whether another record has their id, which no contract changes."""
        return self.reason.endswith(OTHER_CONTENT)

    @property
    def n_read(self) -> int:
        """How many of them a source told."""
        return self.n_records - self.n_logged


@dataclass(frozen=True)
class Rejections:
    """What of an observation was rejected on some days.

    Parameters
    ----------
    flywheel : str
        One that is made of it.
    collected : int
        Records of the same days that were not.
    reasons : tuple of Rejected
        What was rejected most often first.
    newest : date
        The last day that was collected.
    before : float
        Which share was rejected of as many days before; 0 where nothing was collected then.

    Examples
    --------
    >>> day = date(2026, 1, 31)
    >>> one = Rejected("visit", "n: expected 1 or more", 9, 0, day, day)
    >>> found = Rejections("visit", "tea", day - DAY, day, 91, (one,), day)
    >>> found.said.partition(" were ")[2]
    'rejected, most by n: expected 1 or more'
    >>> found.to_do.partition("; then ")[2]
    'flywheel run tea --again --from 2026-01-31 --to 2026-01-31'
    """

    observation: str
    flywheel: str
    first: date
    last: date
    collected: int
    reasons: tuple[Rejected, ...]
    newest: date
    before: float = 0.0

    @property
    def share(self) -> float:
        """Which share of all was rejected; 0 of none."""
        return _share(self.n_rejected, self.collected)

    @property
    def n_rejected(self) -> int:
        """How many were rejected."""
        return sum(one.n_records for one in self.reasons)

    @property
    def need_attention(self) -> bool:
        """Whether they are many of all, and were not before."""
        return self.share >= max(MANY, RISEN * self.before)

    @property
    def said(self) -> str:
        """Say how many of all they are, of which days, and why."""
        total = self.n_rejected + self.collected
        days = f"{self.first} to {self.last}"
        if not self.reasons:
            return f"none of {many(total, 'record')} of {self.observation}, {days}, was rejected"
        return (
            f"{percent(self.share)} of {many(total, 'record')} of {self.observation}, "
            f"{days}, were rejected, most by {self.reasons[0].reason}"
        )

    @property
    def to_do(self) -> str:
        """Say what mends them, by where they came from: what the API refused it has kept."""
        conflicts = [one for one in self.reasons if one.is_conflict]
        broken = [one for one in self.reasons if not one.is_conflict]
        logged = any(one.n_logged for one in broken)
        told = [one for one in broken if one.n_read]
        found = []
        if told:
            since = min(one.since for one in told)
            found.append(
                "mend the source, or widen the contract; then flywheel run "
                f"{self.flywheel} --again --from {since} --to {self.newest}"
            )
        if logged:
            found.append(
                "what was logged: have it sent again as the contract has it, or widen the "
                "contract and run flywheel replay-rejected"
            )
        if any(one.n_read for one in conflicts):
            found.append(
                "what has the id of another: mend the record that was collected, then flywheel run "
                f"{self.flywheel} --again --from its day --to {self.newest}; or log a correction "
                "through the API: what it corrects, no source can say"
            )
        if any(one.n_logged for one in conflicts):
            found.append(
                "what was logged with the id of another: have it sent again with an id of its own, "
                "and with corrects where it is a correction"
            )
        return "; ".join(found)


def rejections(
    home: Home,
    flywheels: Iterable[Flywheel],
    first: date | None = None,
    last: date | None = None,
) -> Iterator[Rejections]:
    """Look at what was rejected of each observation that was collected.

    Parameters
    ----------
    first, last : date, optional
        Of which days; without them of the newest 28 that were collected.
    """
    tables, seen = Tables(home.lakehouse), set()
    for flywheel in flywheels:
        for observation in catalog([flywheel]).observations:
            if observation.name not in seen:
                seen.add(observation.name)
                yield from _of(tables, observation, flywheel, first, last)


def _of(
    tables: Tables,
    observation: Observation,
    flywheel: Flywheel,
    first: date | None,
    last: date | None,
) -> Iterator[Rejections]:
    table = f"collect/{observation.name}"
    made = tables.days(table) if tables.exists(table) else []
    aside = f"{table}_rejected"
    made += tables.days(aside) if tables.exists(aside) else []
    if not made:
        return
    newest = max(made)
    last = last or newest
    first = first or last - LOOKED_BACK + DAY
    earlier = (first - (last - first) - DAY, first - DAY)
    yield Rejections(
        observation=observation.name,
        flywheel=flywheel.name,
        first=first,
        last=last,
        collected=_n_rows(tables, table, first, last),
        reasons=_reasons(tables, observation, first, last),
        newest=newest,
        before=_share(_n_rows(tables, aside, *earlier), _n_rows(tables, table, *earlier)),
    )


def _n_rows(tables: Tables, table: str, first: date, last: date) -> int:
    return sum(tables.count_days(table, first, last).values())


def _share(n_rejected: int, n_collected: int) -> float:
    return n_rejected / (n_rejected + n_collected) if n_rejected else 0.0


def _reasons(
    tables: Tables, observation: Observation, first: date, last: date
) -> tuple[Rejected, ...]:
    rows = tables.read(f"collect/{observation.name}_rejected", REJECTED_SCHEMA, first, last)
    day = pl.col(PARTITION)
    grouped = rows.group_by(told(pl.col("reason")).alias("reason")).agg(
        pl.len().alias("n"),
        (pl.col("file") == _LOGGED).sum().alias("n_logged"),
        day.min().alias("since"),
        day.max().alias("until"),
    )
    ordered = grouped.sort("n", "reason", descending=[True, False]).collect()
    return tuple(Rejected(observation.name, *row) for row in ordered.iter_rows())


def told(reason: pl.Expr) -> pl.Expr:
    """Keep of a reason what was expected first: what was found may be somebody's.

    Examples
    --------
    >>> said = pl.DataFrame({"reason": ["age: expected 0 or more, found -7; name: required, ..."]})
    >>> said.select(told(pl.col("reason"))).item()
    'age: expected 0 or more'
    """
    return reason.str.replace(r"(?s), found .*$", "")
