"""The promotions ledger: which version decides from when on, why, and who said so.

A Delta table, ``<flywheel>/promotions``. The gate writes at most one entry a day; those of people
come after it and outrank it on their day. What published decisions were decided by stays.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import HomeError, PublishedError
from flywheel_assets.stores.tables import Tables

GATE, PROMOTE, ROLLBACK = "gate", "promote", "rollback"
PROMOTION_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "entry": pl.Int64(),
    "action": pl.String(),
    "version": pl.Int64(),
    "judged_version": pl.Int64(),
    "by": pl.String(),
    "reason": pl.String(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "champion_version": pl.Int64(),
    "champion_value": pl.Float64(),
    "gain": pl.Float64(),
    "gain_lower": pl.Float64(),
    "gain_upper": pl.Float64(),
    "calibration_error": pl.Float64(),
    "policy_gain": pl.Float64(),
    "policy_gain_lower": pl.Float64(),
}
PROMOTION_COLUMNS = {
    "entry": "Its place on the day: 0 for the gate's, then those of people, which outrank it.",
    "action": "promote or rollback.",
    "version": "The registered version that decides from this partition on.",
    "by": "Who said so.",
    "reason": "Why.",
}
"""Those that a training's row has, too, mean what they mean there."""
_SETTLES = ("version", "judged_version")


@dataclass(frozen=True)
class Champion:
    """Who decides.

    Parameters
    ----------
    version : int
    judged_version : int
        The version that the gate looked at: itself, unless it was trained again on everything.
    since : date
        The first partition that it decides.
    """

    version: int
    judged_version: int
    since: date


@dataclass(frozen=True)
class Ledger:
    """The ledger of one flywheel.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> ledger = Ledger(Tables(Path(tempfile.mkdtemp())), "repurchase")
    >>> day = date(2026, 1, 31)
    >>> ledger.promoted_by_gate(day, {"version": 1, "judged_version": 1, "reason": "the first"})
    >>> ledger.champion(day - timedelta(days=1)), ledger.champion(day).version
    (None, 1)
    """

    tables: Tables
    flywheel: str

    @property
    def key(self) -> str:
        """The table."""
        return f"{self.flywheel}/promotions"

    def entries(self, last: date | None = None) -> pl.DataFrame:
        """Read the entries that take effect up to a partition, in the order in which they count."""
        rows = self.tables.read(self.key, PROMOTION_SCHEMA, None, last)
        return rows.with_columns(pl.col("entry").fill_null(0)).sort(PARTITION, "entry").collect()

    def champion(self, day: date) -> Champion | None:
        """Say who decides when a partition closes; None for the bootstrap rule."""
        rows = self.entries(day)
        if rows.is_empty():
            return None
        row = rows.row(-1, named=True)
        judged = row["judged_version"]
        version = row["version"]
        return Champion(version, version if judged is None else judged, row[PARTITION])

    def line(self, day: date) -> list[int]:
        """Give the versions a rollback can return to, the champion last.

        A promotion adds to the line, a rollback takes from its end what it takes back.
        """
        found: list[int] = []
        for row in self.entries(day).iter_rows(named=True):
            version = row["version"]
            if row["action"] == ROLLBACK and version in found:
                del found[len(found) - found[::-1].index(version) :]
            elif not found or found[-1] != version:
                found.append(version)
        return found

    def first_undecided(self) -> date | None:
        """Give the day after the last that was decided; None if none was."""
        decided = self.tables.days(f"{self.flywheel}/decisions")
        return decided[-1] + timedelta(days=1) if decided else None

    def lost(self) -> tuple[date, date] | None:
        """Give the first and last day of which a ledger that is not there any more had to say.

        Trainings say what the gate promoted, decisions which version made them.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> Ledger(Tables(Path(tempfile.mkdtemp())), "repurchase").lost()
        """
        if self.tables.exists(self.key):
            return None
        read, name, day = self.tables.read, self.flywheel, {PARTITION: pl.Date()}
        promoted = read(f"{name}/model", day | {"promoted": pl.Boolean()}).filter("promoted")
        decided = read(f"{name}/decisions", day | {"model_version": pl.Int64()})
        told = [promoted, decided.drop_nulls("model_version")]
        days = pl.concat([rows.select(PARTITION) for rows in told]).collect()[PARTITION].sort()
        return None if days.is_empty() else (days[0], days[-1])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else write to the ledger, or decide by it, meanwhile.

        Between processes of one machine; a killed one lets go. Not to be nested.
        """
        folder = self.tables.path(self.flywheel)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".promotions.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def promoted_by_gate(
        self, day: date, entry: Mapping[str, Any] | None, *, again: bool = False
    ) -> None:
        """Write what the gate promoted on a day, in place of what it had promoted before.

        Parameters
        ----------
        entry : mapping, optional
            Columns of the ledger; None where the gate kept the champion.
        again : bool
            Whether all that was decided since is decided again: it may be another promotion.

        Raises
        ------
        PublishedError
            When the day was decided by another promotion.
        """
        with self.held():
            standing = self.entries(day).filter(partition_date=day)
            kept = standing.filter(pl.col("entry") > 0)
            new = [] if entry is None else [{"action": PROMOTE, "by": GATE, **entry, "entry": 0}]
            frame = pl.concat([self._frame(day, new), kept])
            self._replace(day, standing, frame, again=again)

    def entered_by_hand(self, day: date, entry: Mapping[str, Any]) -> None:
        """Add what a person decided, from a partition on that nobody has decided yet.

        Raises
        ------
        PublishedError
            When the day, or a later one, was decided already.
        """
        with self.held():
            standing = self.entries(day).filter(partition_date=day)
            number = max(standing["entry"].to_list(), default=0) + 1
            frame = pl.concat([standing, self._frame(day, [{**entry, "entry": number}])])
            first = self.first_undecided()
            if first is not None and day < first:
                raise PublishedError(
                    expected=f"a promotion in {self.flywheel} from {first} on, the first day that "
                    "is not decided yet",
                    found=f"{day}, whose decisions are published",
                    remedy="leave --from out: what decisions were made by is history",
                )
            self._replace(day, standing, frame)

    def _frame(self, day: date, entries: list[dict[str, Any]]) -> pl.DataFrame:
        blank = dict.fromkeys(PROMOTION_SCHEMA)
        rows = [{**blank, **entry, PARTITION: day} for entry in entries]
        return pl.DataFrame(
            [{c: row[c] for c in PROMOTION_SCHEMA} for row in rows], schema=PROMOTION_SCHEMA
        )

    def _replace(
        self, day: date, standing: pl.DataFrame, frame: pl.DataFrame, *, again: bool = False
    ) -> None:
        first = None if again else self.first_undecided()
        if first is not None and day < first and not _settle_alike(standing, frame):
            raise PublishedError(
                expected=f"the promotion of {day} by which {self.flywheel} has already decided, "
                f"version {_versions(standing)}",
                found=f"version {_versions(frame)}",
                remedy="train on a later day; promotions that were decided by are history, unless "
                f"all is decided again since: flywheel run {self.flywheel} --from {day} --to "
                f"{first - timedelta(days=1)} --decide-again",
            )
        self.tables.replace(self.key, frame, PROMOTION_SCHEMA, day, day)


def earlier(line: list[int], flywheel: str) -> int:
    """Give the version before the champion.

    Raises
    ------
    HomeError
        When there was none.

    Examples
    --------
    >>> earlier([1, 3], "repurchase")
    1
    """
    if len(line) < 2:  # noqa: PLR2004  the champion and one before it
        raise HomeError(
            expected=f"an earlier champion of {flywheel} to return to",
            found="none" if not line else f"only version {line[0]}",
            remedy="name a registered version: --to VERSION",
        )
    return line[-2]


def _settle_alike(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    return one.select(_SETTLES).equals(other.select(_SETTLES))


def _versions(entries: pl.DataFrame) -> str:
    return ", ".join(map(str, entries["version"].to_list())) or "none"
