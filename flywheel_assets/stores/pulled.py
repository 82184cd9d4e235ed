"""What was read from a database, as it was: a partition is made of it, not of the database."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import polars as pl

from flywheel_assets.declare.collect import Observation, SqlSource
from flywheel_assets.declare.rules import FILE, FILE_DAY, LINE, PARTITION, PROBLEM, RAW
from flywheel_assets.stores.sources import needed
from flywheel_assets.stores.sql import CURSOR
from flywheel_assets.stores.tables import Tables

DAY = timedelta(days=1)
PULLED_SCHEMA: dict[str, Any] = {
    PARTITION: pl.Date(),
    "until": pl.Date(),
    "cursor": pl.String(),
    "record": pl.String(),
}
"""``until`` is the day up to which was read. Each read adds a row without a record."""


class At(NamedTuple):
    """Where the last read ended."""

    until: date
    cursor: str | None


@dataclass(frozen=True)
class Pulled:
    """The table ``collect/<observation>_pulled``."""

    tables: Tables
    observation: Observation
    start: date

    @property
    def table(self) -> str:
        """Its name."""
        return f"collect/{self.observation.name}_pulled"

    def newest(self) -> At | None:
        """Say where the last read ended; None before the first."""
        reads = self.tables.read(self.table, PULLED_SCHEMA).filter(pl.col("record").is_null())
        last = reads.sort("until").last().collect()
        return None if last.is_empty() else At(last["until"][0], last["cursor"][0])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else pull meanwhile, from finding where the last read ended to keeping.

        Between processes of one machine; a killed one lets go. Not to be nested.
        """
        folder = self.tables.path("collect")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f".{self.observation.name}_pulled.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def keep(self, rows: pl.DataFrame, known: pl.Series, last: date) -> None:
        """Keep what was read, in one commit: each row on the day on which it became known.

        Parameters
        ----------
        rows : DataFrame
            What `read_rows` gave.
        known : Series
            The day that each row says; on days that had been read before it is the first after.
        last : date
            The day up to which this was read.
        """
        source = self.observation.source
        assert isinstance(source, SqlSource)  # noqa: S101  who pulls has one
        at = self.newest()
        first = self.start if at is None else at.until + DAY
        begun = at.cursor if at else None
        cursor = rows[CURSOR][-1] if rows.height else begun
        new = pl.DataFrame(
            {
                PARTITION: known.fill_null(first).clip(first),
                "until": pl.repeat(last, rows.height, dtype=pl.Date(), eager=True),
                "cursor": rows[CURSOR],
                "record": _records(rows, needed(self.observation, source)),
            },
            schema=PULLED_SCHEMA,
        )
        # Rows at the cursor come again.
        again = pl.col("cursor") == pl.lit(begun, dtype=pl.String)
        seen = self.tables.read(self.table, PULLED_SCHEMA).filter(again).collect()
        new = new.join(seen, on=["cursor", "record"], how="anti")
        read = pl.DataFrame([[last, last, cursor, None]], schema=PULLED_SCHEMA, orient="row")
        whole = pl.concat([new, read])
        begin, end = whole[PARTITION].min(), whole[PARTITION].max()
        assert isinstance(begin, date)  # noqa: S101  there is a row
        assert isinstance(end, date)  # noqa: S101  there is a row
        standing = self.tables.read(self.table, PULLED_SCHEMA, begin, end).collect()
        merged = pl.concat([standing, whole])
        self.tables.replace(self.table, merged, PULLED_SCHEMA, begin, end)


def read_pulled(tables: Tables, observation: Observation, first: date, last: date) -> pl.DataFrame:
    """Lay out what was read as raw records, of a range of days on which it became known."""
    source = observation.source
    assert isinstance(source, SqlSource)  # noqa: S101  who pulled has one
    columns = needed(observation, source)
    rows = tables.read(f"collect/{observation.name}_pulled", PULLED_SCHEMA, first, last)
    found = rows.drop_nulls("record").sort(PARTITION, "cursor", "record").collect()
    told = found["record"].str.json_decode(pl.Struct(dict.fromkeys(columns, pl.String())))
    nothing = pl.lit(None, dtype=pl.String)
    return (
        told.struct.unnest()
        .with_columns(
            found[PARTITION].alias(FILE_DAY),
            pl.lit(source.table or "query").alias(FILE),
            nothing.alias(PROBLEM),
            nothing.alias(RAW),
        )
        # Counted within its day: the same, however many days are collected at once.
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(FILE_DAY).alias(LINE))
    )


def _records(rows: pl.DataFrame, columns: list[str]) -> pl.Series:
    return rows.select(pl.struct(columns).struct.json_encode()).to_series()
