"""The tables of a home: what there is, and what stood in one at a version or as of a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from flywheel_assets.changes.described import described
from flywheel_assets.changes.owners import owners
from flywheel_assets.declare.columns import SYSTEM
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import KNOWN_AT, PARTITION
from flywheel_assets.errors import HomeError, nearest
from flywheel_assets.notebook.moments import When, moment_of
from flywheel_assets.notebook.showing import html_table, text_table
from flywheel_assets.stages.challenge import MODEL_COLUMNS
from flywheel_assets.stages.collect import REJECTED_COLUMNS
from flywheel_assets.stages.drift import DRIFT_COLUMNS
from flywheel_assets.stages.importance import IMPORTANCE_COLUMNS
from flywheel_assets.stages.performance import PERFORMANCE_COLUMNS
from flywheel_assets.stores.promotions import PROMOTION_COLUMNS
from flywheel_assets.stores.tables import Tables

_WORDS = {
    "model": MODEL_COLUMNS,
    "performance": PERFORMANCE_COLUMNS,
    "drift": DRIFT_COLUMNS,
    "importance": IMPORTANCE_COLUMNS,
    "promotions": MODEL_COLUMNS | PROMOTION_COLUMNS,
}


@dataclass(frozen=True)
class Table:
    """One table that is there.

    Parameters
    ----------
    newest : date or None
        Its newest partition.
    n_rows : int
        By the table's log; no data is read.
    version : int
        Of its newest commit.
    """

    name: str
    newest: date | None
    n_rows: int
    version: int
    owners: tuple[str, ...]
    description: str


class Listing(Sequence[Table]):
    """Tables, shown as one."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tuple(tables)

    def __getitem__(self, index: Any) -> Any:
        return self._tables[index]

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return text_table(*self._shown())

    def _repr_html_(self) -> str:
        return html_table(*self._shown())

    def _shown(self) -> tuple[list[str], list[list[Any]]]:
        names = ["table", "newest", "rows", "version", "owners", "description"]
        return names, [
            [t.name, t.newest, t.n_rows, t.version, ", ".join(t.owners), t.description]
            for t in self._tables
        ]


def listing(tables: Tables, flywheels: Sequence[Flywheel]) -> Listing:
    """List what is there: in the order of the loop, and what is no longer declared at the end."""
    words, whose, there = described(flywheels), owners(flywheels), tables.names()
    order = {name: place for place, name in enumerate(words)}
    found = []
    for name in sorted(there, key=lambda n: (order.get(n, len(order)), n)):
        days = tables.days(name)
        found.append(
            Table(
                name=name,
                newest=days[-1] if days else None,
                n_rows=tables.count(name),
                version=tables.version(name) or 0,
                owners=whose.get(name) or whose.get(_beside(name), ()),
                description=words.get(name, ("Not declared any more.", {}))[0],
            )
        )
    return Listing(found)


def read(tables: Tables, name: str, version: int | None, as_of: When | None) -> pl.LazyFrame:
    """Scan a table: as it is, as it was at a version, or what of it was known by a moment.

    Raises
    ------
    HomeError
        For a table or a version that is not there.
    """
    there = tables.names()
    if name not in there:
        raise HomeError(
            expected="a table that was made in this home",
            found=repr(name),
            remedy=nearest(name, there),
        )
    newest = tables.version(name) or 0
    if version is not None and not 0 <= version <= newest:
        raise HomeError(
            expected=f"a version of {name}, from 0 to {newest}",
            found=str(version),
            remedy="leave it out for what stands there now",
        )
    if version is not None and (freed := tables.freed(name, version)):
        raise HomeError(
            expected=f"the files of version {version} of {name}",
            found=f"that {freed} of them were freed by `flywheel vacuum`",
            remedy="name a newer version, or one that a model was trained on",
        )
    frame = tables.scan(name, version)
    if as_of is None:
        return frame
    moment, columns = moment_of(as_of), frame.collect_schema().names()
    if KNOWN_AT in columns:
        known = (pl.col(KNOWN_AT) < moment) & (pl.col(PARTITION) <= moment.date())
        return frame.filter(known)
    return frame.filter(pl.col(PARTITION) <= (moment - timedelta(days=1)).date())


def columns(tables: Tables, flywheels: Sequence[Flywheel], name: str) -> pl.DataFrame:
    """Give a table's columns: ``column``, ``dtype``, ``description``."""
    schema = read(tables, name, None, None).collect_schema()
    said = described(flywheels).get(name, ("", {}))[1]
    stage = name.rsplit("/", 1)[-1]
    extra = REJECTED_COLUMNS if stage.endswith("_rejected") else _WORDS.get(stage, {})
    words = {**SYSTEM, **said, **extra}
    rows = [(column, str(dtype), words.get(column, "")) for column, dtype in schema.items()]
    return pl.DataFrame(
        rows, schema=dict.fromkeys(("column", "dtype", "description"), pl.String), orient="row"
    )


def _beside(name: str) -> str:
    """Name the table that one is written beside: it has the same owners."""
    for end in ("_rejected", "_accounts", "_in_dump", "_received", "_pulled"):
        name = name.removesuffix(end)
    folder, _, stage = name.rpartition("/")
    beside = {"alternatives": "performance", "profile": "model", "importance": "model"}
    return f"{folder}/{beside.get(stage, stage)}"
