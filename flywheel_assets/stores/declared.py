"""By which declaration each partition of each table was made, kept beside the tables."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO

from flywheel_assets.changes.meaning import Meaning
from flywheel_assets.stores import disk
from flywheel_assets.stores.tables import Tables

DAY = timedelta(days=1)
_HISTORY = frozenset({"model", "promotions", "decisions"})


def is_history(table: str) -> bool:
    """Say whether a table stays as it was made: what was trained, promoted and published.

    Examples
    --------
    >>> is_history("repurchase/decisions"), is_history("repurchase/training_set")
    (True, False)
    """
    return table.rsplit("/", maxsplit=1)[-1] in _HISTORY


def way_back(table: str) -> str:
    """Say how a table comes back whose folder is gone.

    Examples
    --------
    >>> way_back("organize/fct_visit")
    'put its folder back from a backup, or make it again: flywheel apply'
    """
    back = "put its folder back from a backup"
    if not is_history(table):
        return f"{back}, or make it again: flywheel apply"
    flywheel, _, stage = table.rpartition("/")
    on = (
        f"; without one, flywheel promote {flywheel} VERSION --why ... begins another, from the "
        "first undecided day on"
        if stage == "promotions"
        else ""
    )
    return f"{back}: it is history, and nothing else brings it back{on}"


@dataclass(frozen=True)
class Epoch:
    """Consecutive partitions that were made by the same declaration."""

    first: date
    last: date
    meaning: Meaning

    @property
    def n_days(self) -> int:
        """How many partitions."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class Declared:
    """One file of lines for each table, to which each run adds its own.

    A run that was killed after it wrote and before it said so has its partitions made again: that
    changes nothing.

    Examples
    --------
    >>> import tempfile
    >>> kept = Declared(Path(tempfile.mkdtemp()))
    >>> kept.record("demo", date(2026, 1, 1), date(2026, 1, 9), Meaning(columns={"n": "1"}))
    >>> kept.record("demo", date(2026, 1, 4), date(2026, 1, 5), Meaning(columns={"n": "2"}))
    >>> [(e.first.day, e.last.day, e.meaning.columns["n"]) for e in kept.epochs("demo")]
    [(1, 3, '1'), (4, 5, '2'), (6, 9, '1')]
    """

    root: Path

    def record(self, table: str, first: date, last: date, meaning: Meaning) -> None:
        """Say by which declaration a range of partitions, both ends included, was made."""
        text = json.dumps(asdict(meaning), sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        kept = self.root / "meanings" / f"{name}.json"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            disk.overwrite(kept, text.encode())
        line = json.dumps({"first": str(first), "last": str(last), "meaning": name})
        with self._file(table).open("a+b") as file:
            # One that a power cut tore has no end, and would take this one with it.
            file.write(b"\n" * _is_torn(file) + f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def epochs(self, table: str) -> list[Epoch]:
        """Give what was recorded last of each partition, in the order of days."""
        by_day: dict[date, str] = {}
        for first, last, name in self._lines(table):
            for i in range((last - first).days + 1):
                by_day[first + i * DAY] = name
        found: list[tuple[date, date, str]] = []
        for day, name in sorted(by_day.items()):
            if found and found[-1][1:] == (day - DAY, name):
                found[-1] = (found[-1][0], day, name)
            else:
                found.append((day, day, name))
        return [Epoch(first, last, self._meaning(name)) for first, last, name in found]

    def lost(self, table: str, tables: Tables) -> list[Epoch]:
        """Give what was recorded of a table that is not there any more; nothing for one that is.

        A table that is to be made again, of which only that is recorded, is not lost.
        """
        if tables.exists(table):
            return []
        made = self.epochs(table)
        return made if any(epoch.meaning.columns for epoch in made) else []

    def let_go(self, table: str) -> None:
        """Forget what made a table that is no longer declared; its data stays where it is."""
        self._file(table).unlink(missing_ok=True)

    def tables(self) -> list[str]:
        """Name the tables that anything was recorded of."""
        return [file.stem.replace(".", "/") for file in sorted(self.root.glob("*.jsonl"))]

    def _file(self, table: str) -> Path:
        return self.root / f"{table.replace('/', '.')}.jsonl"

    def _lines(self, table: str) -> Iterator[tuple[date, date, str]]:
        file = self._file(table)
        if not file.exists():
            return
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                said = json.loads(line)
            except json.JSONDecodeError:  # a line that a power cut tore: its days are made again
                continue
            first, last = date.fromisoformat(said["first"]), date.fromisoformat(said["last"])
            yield first, last, said["meaning"]

    def _meaning(self, name: str) -> Meaning:
        try:
            return Meaning(**json.loads((self.root / "meanings" / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):  # gone or damaged: nothing is known any more
            return Meaning(columns={})


def _is_torn(file: BinaryIO) -> bool:
    """Say whether the last line of a file has no end."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
