"""Published decisions in memory: the newest partition of each flywheel, swapped whole."""

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from flywheel_assets.api.entities import Entities
from flywheel_assets.declare.entity_ids import SEPARATOR, part
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import DECISION_ID
from flywheel_assets.stages.decisions import (
    DECIDED_AT,
    ENTITY_ID,
    decision_schema,
    entity_id,
)
from flywheel_assets.stores.tables import Tables

LOOK_EVERY_SECONDS = 1.0
Row = Mapping[str, Any]
Found = Row | list[Row] | None
"""A decision, what an entity of pairs is shown, or nothing."""
_STILL_NS = 2_000_000_000
_log = logging.getLogger("flywheel.api")
_TOLD = (DECISION_ID, "action", "score", "rank", "model_version", DECIDED_AT)


class UnpublishedError(Exception):
    """There are no decisions to read: none by the moment asked for, or none at all."""

    def __init__(self, *, ever: bool) -> None:
        super().__init__(ever)
        self.ever = ever


@dataclass(frozen=True)
class Index:
    """One partition of decisions, sorted by entity; never changed, only replaced.

    A look-up is a binary search in a column of text: an index of a million entities is a few
    arrays, not a million objects.

    Parameters
    ----------
    keys : tuple of str
        The entity's.
    held : str or None
        The action that does not show an item.
    """

    version: int
    day: date
    ids: pl.Series
    rows: pl.DataFrame
    keys: tuple[str, ...]
    held: str | None

    def find(self, entity_id: str, keys: Row) -> Found:
        """Find an entity's decision; with the key of a slate alone, what is shown, best first."""
        if len(keys) < len(self.keys):
            return self._shown(entity_id, keys)
        at = bisect_left(self.ids, entity_id)
        if at < len(self.ids) and self.ids[at] == entity_id:
            return self.rows.row(at, named=True)
        return None

    def _shown(self, start: str, keys: Row) -> list[Row] | None:
        """List the shown of all items that were considered for it; None where none was."""
        at, considered = bisect_left(self.ids, start), False
        found: list[Row] = []
        while at < len(self.ids) and self.ids[at].startswith(start):
            row = self.rows.row(at, named=True)
            if all(row[name] == value for name, value in keys.items()):
                considered = True
                found += [row] if row["action"] != self.held else []
            at += 1
        return sorted(found, key=lambda row: int(row["rank"])) if considered else None


class Published:
    """The decisions of one flywheel, as they were published.

    Parameters
    ----------
    tables : Tables
        The lakehouse that ``<flywheel>/decisions`` is in.
    """

    def __init__(self, tables: Tables, flywheel: Flywheel) -> None:
        self._tables, self._flywheel = tables, flywheel
        self._table = f"{flywheel.name}/decisions"
        self._schema = decision_schema(flywheel)
        self._index: Index | None = None
        self._seen: int | None = None
        self.entities = Entities(flywheel)

    @property
    def flywheel(self) -> Flywheel:
        """Whose decisions these are."""
        return self._flywheel

    def held(self) -> int:
        """Count the decisions that are held."""
        return 0 if self._index is None else self._index.rows.height

    def held_version(self) -> int:
        """Give the table version that is held; -1 for none."""
        return -1 if self._index is None else self._index.version

    def refresh(self) -> bool:
        """Take what was published since; says whether there was anything.

        Whoever reads meanwhile reads the old partition or the new one, never parts of both.
        """
        changed_at, now = self._tables.log_changed_at(self._table), time.time_ns()
        if changed_at == self._seen:
            return False
        # Only what has been still for a while is known not to hide a second change.
        self._seen = changed_at if now - changed_at > _STILL_NS else None
        # Read before the data: what is committed in between is taken again next time.
        version = self._tables.version(self._table)
        if version is None:
            self._index = None
            return False
        if version == self.held_version():
            return False
        days = self._tables.days(self._table)
        if not days:
            return False
        frame = self._read(days[-1])
        self._index = self._indexed(version, days[-1], frame)
        return True

    def latest(self, wanted: Iterable[tuple[str, Row]]) -> tuple[date, list[Found]]:
        """Look entities up in the newest partition.

        Raises
        ------
        UnpublishedError
            When nothing was ever published.
        """
        index = self._newest()
        return index.day, [index.find(*entity) for entity in wanted]

    def as_of(
        self, moment: datetime, wanted: Sequence[tuple[str, Row]]
    ) -> tuple[date, list[Found]]:
        """Look entities up in the newest partition that was published by a moment, in UTC.

        Reads the table: slower, and holds nothing.

        Raises
        ------
        UnpublishedError
            When nothing had been published by then.
        """
        day = self._day_before(moment)
        index = self._indexed(-1, day, self._read(day, wanted))
        return day, [index.find(*entity) for entity in wanted]

    def best(
        self, actions: Sequence[str], limit: int, moment: datetime | None
    ) -> tuple[date, int, list[Row]]:
        """List those of some actions, best first, in the newest partition or as of a moment in UTC.

        Returns
        -------
        tuple of date, int and list of Row
            The partition, how many there are, and the first of them.

        Raises
        ------
        UnpublishedError
            When nothing had been published by then.
        """
        if moment is None:
            index = self._newest()
            day, rows = index.day, index.rows
        else:
            day = self._day_before(moment)
            rows = self._read(day)
        found = rows.filter(pl.col("action").cast(pl.String).is_in(actions))
        return (
            day,
            found.height,
            list(found.sort("rank", DECISION_ID).head(limit).iter_rows(named=True)),
        )

    def _newest(self) -> Index:
        if self._index is None:
            raise UnpublishedError(ever=False)
        return self._index

    def _day_before(self, moment: datetime) -> date:
        published = self._tables.days(self._table)
        # Partition D is decided at the midnight that ends it.
        days = [day for day in published if day < moment.date()]
        if not days:
            raise UnpublishedError(ever=bool(published))
        return days[-1]

    def _indexed(self, version: int, day: date, frame: pl.DataFrame) -> Index:
        held = self._flywheel.policy.held
        ids, keys = frame.get_column(ENTITY_ID), self._flywheel.entity.keys
        return Index(version, day, ids, frame.drop(ENTITY_ID), keys, held)

    def _read(self, day: date, wanted: Sequence[tuple[str, Row]] | None = None) -> pl.DataFrame:
        scan = self._tables.read(self._table, self._schema, day, day)
        keys, per = self._flywheel.entity.keys, self.entities.per
        if wanted is not None and per is not None:
            scan = scan.filter(pl.col(per).is_in([entity[per] for _, entity in wanted]))
        elif wanted is not None:
            # From its keys: days from before bars in them were told apart are found, too.
            scan = scan.filter(entity_id(self._flywheel).is_in([text for text, _ in wanted]))
        # What is read together lies together.
        first = [] if per is None else [part(pl.col(per).cast(pl.String))]
        whole = entity_id(self._flywheel)
        entity = pl.concat_str(*first, whole, separator=SEPARATOR).alias(ENTITY_ID)
        return (
            scan.select(entity, *keys, *_TOLD)
            .with_columns(pl.col("action").cast(pl.Categorical))
            .sort(ENTITY_ID, *keys)
            .collect()
        )


async def watch(published: Sequence[Published]) -> None:
    """Look for newly published decisions, for ever."""
    while True:
        for one in published:
            await asyncio.to_thread(refresh_logged, one)
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def refresh_logged(one: Published) -> None:
    """Refresh; a table that cannot be read is logged, and what was held goes on being served."""
    fields = {"flywheel": one.flywheel.name}
    try:
        if one.refresh():
            _log.info(
                "served", extra=fields | {"version": one.held_version(), "decisions": one.held()}
            )
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        _log.error("unreadable", extra=fields | {"error": type(error).__name__})
