"""Collecting a range of days: files and inbox in, three tables out. Needs no Dagster."""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import polars as pl

from flywheel_assets.declare.collect import (
    DailyFiles,
    DeltaSource,
    Observation,
    SqlSource,
    TableFile,
)
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import EmptyReplaceError, many
from flywheel_assets.stages.checks import Check, comes_in
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import (
    ACCOUNT_SCHEMA,
    REJECTED_SCHEMA,
    Collected,
    dump_schema,
    in_dump,
    known_days,
    observation_schema,
    parsed,
    settle,
    validate,
)
from flywheel_assets.stages.received import API, as_raw, repeats
from flywheel_assets.stages.silence import LOOKED_BACK, USUAL
from flywheel_assets.stores.forgetting.suppressed import Suppressed
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox
from flywheel_assets.stores.pulled import Pulled, read_pulled
from flywheel_assets.stores.received import RECEIVED_SCHEMA, drain, forget, received_table
from flywheel_assets.stores.sources import listed_files, needed, read_source
from flywheel_assets.stores.sql import read_rows
from flywheel_assets.stores.tables import Tables

WHOLE = (TableFile, DeltaSource)
"""Sources that are read as a whole, whatever days are asked for."""


@dataclass(frozen=True)
class Collecting:
    """What collecting an observation needs.

    What it writes is a function of the files and of what was received, so whoever is killed
    between any two writes, or is not alone, has only to do it again.
    """

    observation: Observation
    home: Home
    settings: Settings

    @property
    def tables(self) -> Tables:
        """The lakehouse."""
        return Tables(self.home.lakehouse)

    def collect(self, first: date, last: date) -> tuple[Collected, int]:
        """Collect a range no longer than ``duplicates_within``, and write it.

        Returns
        -------
        tuple of Collected and int
            What was written, and how many records there were.
        """
        kind, horizon = self.observation.name, self.observation.duplicates_within
        with closing(Inbox(self.home.inbox)) as inbox:
            start, suppressed = self.settings.start, Suppressed.of(self.home)
            drain(inbox, self.tables, kind, first, last, start=start, suppressed=suppressed)
            result, received = self._settle(first, last)
            emptied = self._emptied(result, first, last)
            self._write(result, first, last, emptied=emptied)
            forget(inbox, kind, last, horizon)
        return result, received

    def _settle(self, first: date, last: date) -> tuple[Collected, int]:
        observation, horizon = self.observation, self.observation.duplicates_within
        read = self.tables.read
        received = read(received_table(observation.name), RECEIVED_SCHEMA, first, last).collect()
        told = self._from_source(first, last)
        ours = [frame.filter(pl.col(PARTITION).is_between(first, last)) for frame in told]
        checked = pl.concat([*ours, self._from_api(received)])
        checked = Suppressed.of(self.home).in_collected(checked)
        schema = observation_schema(observation)
        known = read(f"collect/{observation.name}", schema, first - horizon, first - DAY).collect()
        again = repeats(received)
        settled = replace(settle(checked, known, observation, again), ends=self._ends(told))
        return settled, checked.height + int(again["copies"].sum())

    def _from_source(self, first: date, last: date) -> list[pl.DataFrame]:
        """Read what the source tells of these days, and what of others it tells with them."""
        observation, start = self.observation, self.settings.start
        # The simulated product of a demo reports through the API alone.
        if observation.source is None or self.settings.demo:
            return []
        if isinstance(observation.source, SqlSource):
            pulled = Pulled(self.tables, observation, self.settings.start)
            with pulled.held():
                self._pull(pulled, observation.source, last)
            raw = read_pulled(self.tables, observation, first, last)
        else:
            path = self.home.source_path(observation.name, observation.source.path)
            found = read_source(observation, path, first, last, start=start)
            if found is None:
                return []
            raw = found
            if isinstance(observation.source, DailyFiles) and observation.source.full_dump:
                self._keep_dump(raw, observation.source, first, last)
        # What no time dates belongs to the day of the record above it; what was known before the
        # home began belongs to its first day.
        day = pl.col(PARTITION).forward_fill().fill_null(start)
        return [
            validate(raw, observation, observation.source).with_columns(
                pl.max_horizontal(day, pl.lit(start)).alias(PARTITION)
            )
        ]

    def _ends(self, told: list[pl.DataFrame]) -> date | None:
        """Say where a source ends that was read as a whole."""
        if not told or not isinstance(self.observation.source, WHOLE):
            return None
        sound = told[0].filter(pl.col("reason").is_null())
        ends: date | None = sound.select(pl.col(PARTITION).max()).item()
        return ends

    def comes_in(self, first: date, last: date, ends: date | None) -> Check:
        """Check that the source says as much as it used to, on some days and before the last."""
        name, start = self.observation.name, self.settings.start
        back = min(first - USUAL, last - LOOKED_BACK)
        counts = self.tables.count_days(f"collect/{name}", back, last)
        # What the API received is none of the source's.
        received = self.tables.count_days(received_table(name), last - LOOKED_BACK, last)
        told = max(counts.keys() - received.keys(), default=None)
        return comes_in(counts, start, first, last, ends, told)

    def _keep_dump(self, raw: pl.DataFrame, source: DailyFiles, first: date, last: date) -> None:
        there = in_dump(raw, self.observation, source)
        there = there.filter(
            pl.col(PARTITION).is_between(first, last), ~Suppressed.of(self.home).rows(there)
        )
        table = f"collect/{self.observation.name}_in_dump"
        self.tables.replace(table, there, dump_schema(self.observation), first, last)

    def _pull(self, pulled: Pulled, source: SqlSource, last: date) -> None:
        at = pulled.newest()
        if at is not None and at.until >= last:
            return
        rows = read_rows(source, needed(self.observation, source), at.cursor if at else None)
        # Rows at the cursor are read again, of those who were forgotten since, too.
        told = parsed(rows, self.observation, source)
        rows = rows.filter(~Suppressed.of(self.home).rows(told))
        now = datetime.now(UTC) + self.observation.clock_tolerance
        pulled.keep(rows, known_days(rows, source, now), last)

    def _from_api(self, received: pl.DataFrame) -> pl.DataFrame:
        checked = validate(as_raw(received, self.observation), self.observation, API)
        start = pl.lit(self.settings.start)
        return checked.with_columns(pl.max_horizontal(PARTITION, start).alias(PARTITION))

    def _emptied(self, result: Collected, first: date, last: date) -> bool:
        """Say whether days that had records have none, as a file says that is there for them.

        Raises
        ------
        EmptyReplaceError
            Where nothing says so: a file that is gone is no empty day.
        """
        name, source = self.observation.name, self.observation.source
        counts = self.tables.count_days(f"collect/{name}", first, last)
        told = result.accounts.filter(pl.col("received") > 0)[PARTITION]
        emptied = counts.keys() - set(told)
        there: set[date] = set()
        if emptied and isinstance(source, DailyFiles) and not self.settings.demo:
            there = {
                day for day, _ in listed_files(source, self.home.source_path(name, source.path))
            }
        if gone := sorted(emptied - there):
            more = "" if len(gone) == 1 else f", and of {many(len(gone) - 1, 'later day')}"
            raise EmptyReplaceError(
                expected=f"the {counts[gone[0]]:,} records of {gone[0]}{more} that collect/{name} "
                "has, told again",
                found="none on that day",
                remedy="put back what the source had of it; nothing was deleted. Where there was "
                "nothing after all, a day's file of its header alone says so",
            )
        return bool(emptied)

    def _write(self, result: Collected, first: date, last: date, *, emptied: bool) -> None:
        key, schema = f"collect/{self.observation.name}", observation_schema(self.observation)
        replace = self.tables.replace
        replace(key, result.observations, schema, first, last, empty=emptied)
        replace(f"{key}_rejected", result.rejected, REJECTED_SCHEMA, first, last)
        replace(f"{key}_accounts", result.accounts, ACCOUNT_SCHEMA, first, last)
