"""What is wrong with the tables of a home, and how to mend it.

Nothing is deleted in mending: what is in the way is moved to a folder beside the lakehouse.
"""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import unquote

import polars as pl

from flywheel_assets.stores import delta_log, disk
from flywheel_assets.stores.data_files import intact
from flywheel_assets.stores.delta_log import LOG, POINTER
from flywheel_assets.stores.home import Home

SETTLED_S = 3600
"""A file that nothing refers to is left alone for so long: a run may be about to commit it."""

_ENTRY = re.compile(r"(\d{20})\.json")
_DAY = re.compile(r"partition_date=(\d{4}-\d{2}-\d{2})/")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    where, what, remedy : str
        The table or file, what is the matter with it, and what to do.
    mend : callable, optional
        Does it; None where it is for a person to do.
    """

    where: str
    what: str
    remedy: str
    mend: Callable[[], None] | None = None


def examine_stores(home: Home) -> list[Finding]:
    """Look at every table, at the inbox and at MLflow's database; change nothing."""
    found: list[Finding] = []
    for log in sorted(home.lakehouse.rglob(LOG)):
        found += _Table(home, log.parent).findings()
    for file in (home.root / "inbox" / "inbox.sqlite", home.mlflow / "mlflow.db"):
        if file.exists():
            found += _database(home, file)
    return found


def rematerialize(home: Home, table: str, days: Sequence[str]) -> str:
    """Give the command that makes partitions of a table again, from any shell in the project.

    Examples
    --------
    >>> home = Home(Path("/srv/shop"))
    >>> print(rematerialize(home, "repurchase/promotions", ["2026-01-31"]).split("--select ")[1])
    'key:"repurchase/model"' --partition 2026-01-31
    """
    stem = (
        re.sub(r"_(rejected|accounts|in_dump)$", "", table)
        if table.startswith("collect/")
        else table
    )
    keys = [re.sub(r"/promotions$", "/model", stem)]
    if table.startswith("collect/") and table != "collect/decision":
        keys.append(f"{stem}_rejected")
    chosen = " or ".join(f'key:"{key}"' for key in keys)
    # Without them Dagster would look at a home of its own, in which nothing was ever made.
    where = f"FLYWHEEL_HOME={quote(str(home.root))} DAGSTER_HOME={quote(str(home.dagster))}"
    start = f"{where} dagster asset materialize -m flywheel_assets.definitions --select '{chosen}'"
    return "; ".join(
        f"{start} --partition {a}" if a == b else f'{start} --partition-range "{a}...{b}"'
        for a, b in _ranges(days)
    )


class _Table:
    def __init__(self, home: Home, folder: Path) -> None:
        self.home, self.folder, self.log = home, folder, folder / LOG
        self.name = folder.relative_to(home.lakehouse).as_posix()
        self.versions = sorted(int(m[1]) for f in self.log.iterdir() if (m := _entry(f)))
        self.entries: dict[int, list[dict[str, Any]]] = {}

    def findings(self) -> list[Finding]:
        found = [*self._entries(), *self._checkpoints()]
        # Without its log nobody knows which data files a table has.
        whole = bool(self.versions) and len(self.entries) == self.versions[-1] + 1
        found += self._files() if whole else []
        return found or self._opens()

    def _entries(self) -> Iterator[Finding]:
        last = max(self.versions, default=0)
        for version in range(last + 1):
            file = self.log / delta_log.entry_name(version)
            try:
                self.entries[version] = _actions(file)
            except FileNotFoundError:
                yield self._lost(version, "is missing")
            except ValueError as error:
                yield self._torn(file, version, str(error), newest=version == last and version > 0)

    def _torn(self, file: Path, version: int, why: str, *, newest: bool) -> Finding:
        if not newest:
            return self._lost(version, why)
        mend = partial(self._set_aside, file)
        # Its data files are the only ones that no other entry refers to.
        days = sorted({m[1] for f in self._orphans(0) if (m := _DAY.search(f"{f}"))})
        then = f", then {rematerialize(self.home, self.name, days)}" if days else ""
        return self._finding(
            f"log entry {version}, the newest, {why}", f"move it aside{then}", mend
        )

    def _lost(self, version: int, why: str) -> Finding:
        remedy = "restore it from a backup, or move the table's folder away and run: "
        days = sorted({f.parent.name.removeprefix("partition_date=") for f in self._data()})
        return self._finding(
            f"log entry {version} {why}", remedy + rematerialize(self.home, self.name, days)
        )

    def _checkpoints(self) -> Iterator[Finding]:
        pointer = self.log / POINTER
        whole = len(self.entries) == max(self.versions, default=-1) + 1
        standing = delta_log.checkpoints(self.log)
        bad = {v for v, file in standing.items() if not self._sums(v, file)}
        for version in sorted(bad):
            remedy = "move it aside: the log is complete without it"
            mend = partial(self._set_aside, standing[version], pointer)
            yield self._finding(
                f"checkpoint {version} is broken or differs from the log",
                remedy if whole else "restore the log first",
                mend if whole else None,
            )
        target = _pointer(pointer)
        if pointer.exists() and (target is None or target not in standing):
            yield self._finding(
                f"{POINTER} points to no checkpoint",
                "move it aside",
                partial(self._set_aside, pointer),
            )

    def _sums(self, version: int, file: Path) -> bool:
        try:
            frame = pl.read_parquet(file)
            paths = set(frame["add"].drop_nulls().struct.field("path").drop_nulls())
        except BaseException as error:  # noqa: BLE001  a panic of Polars is not an Exception
            _give_way(error)
            return False
        if not self.entries.keys() >= set(range(version + 1)):
            return True
        return paths == set(self._active(version))

    def _active(self, version: int) -> dict[str, dict[str, Any]]:
        active: dict[str, dict[str, Any]] = {}
        for number in range(version + 1):
            for action in self.entries[number]:
                if "remove" in action:
                    active.pop(unquote(action["remove"]["path"]), None)
                if "add" in action:
                    active[unquote(action["add"]["path"])] = action["add"]
        return active

    def _files(self) -> Iterator[Finding]:
        current = self._active(self.versions[-1])
        known = {f.relative_to(self.folder).as_posix(): f for f in self._data()}
        referred = self._referred() & known.keys()
        with ThreadPoolExecutor(2) as pool:
            same = dict(zip(referred, pool.map(intact, map(known.get, referred)), strict=True))
        for path in sorted({*current, *referred}):
            if path not in known or not same[path]:
                yield self._damaged(path, path in known, path in current)
        for file in self._orphans(SETTLED_S):
            yield self._finding(
                f"{file.relative_to(self.folder)} is in no version of the table",
                "move it aside: a killed run left it",
                partial(self._set_aside, file),
            )

    def _damaged(self, path: str, there: bool, current: bool) -> Finding:  # noqa: FBT001
        what = f"data file {path} " + ("has changed" if there else "is missing")
        if not current:
            return self._finding(
                f"{what}; only old versions have it", "restore it from a backup if those matter"
            )
        day = _DAY.search(path)
        again = rematerialize(self.home, self.name, [day[1]]) if day else "write the table again"
        return self._finding(what, f"restore it from a backup, or run: {again}")

    def _data(self) -> list[Path]:
        return [f for f in self.folder.rglob("*.parquet") if LOG not in f.parts]

    def _referred(self) -> set[str]:
        return {
            unquote(action["add"]["path"])
            for actions in self.entries.values()
            for action in actions
            if "add" in action
        }

    def _orphans(self, age_s: float) -> list[Path]:
        latest = time.time() - age_s
        referred = self._referred()
        files = [f for f in self._data() if f.relative_to(self.folder).as_posix() not in referred]
        files += self.folder.rglob(".*.tmp")
        return sorted(f for f in files if f.stat().st_mtime <= latest)

    def _opens(self) -> list[Finding]:
        from deltalake import DeltaTable

        if not self.versions:
            return []
        try:
            DeltaTable(str(self.folder))
        except BaseException as error:  # noqa: BLE001  a panic of deltalake is not an Exception
            _give_way(error)
            return [self._finding(f"cannot be opened: {error}"[:300], "restore it from a backup")]
        return []

    def _finding(self, what: str, remedy: str, mend: Callable[[], None] | None = None) -> Finding:
        return Finding(self.name, what, remedy, mend)

    def _set_aside(self, *files: Path) -> None:
        for file in files:
            if file.exists():
                relative = file.relative_to(self.home.root)
                target = self.home.root / "set_aside" / str(time.time_ns()) / relative
                target.parent.mkdir(parents=True)
                file.replace(target)
                disk.sync_folder(file.parent)


def _entry(file: Path) -> re.Match[str] | None:
    return _ENTRY.fullmatch(file.name)


def _actions(file: Path) -> list[dict[str, Any]]:
    """Read a log entry; a ValueError says what is the matter with it."""
    content = file.read_bytes()
    if not content.strip(b"\0 \n"):
        raise ValueError("is empty")
    try:
        actions = [json.loads(line) for line in content.splitlines() if line]
    except ValueError:
        raise ValueError("is truncated or changed") from None
    if not all(isinstance(action, dict) for action in actions):
        raise ValueError("holds something else than actions")
    return actions


def _pointer(file: Path) -> int | None:
    try:
        return int(json.loads(file.read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _database(home: Home, file: Path) -> list[Finding]:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            said = [row[0] for row in database.execute("PRAGMA quick_check")]
    except sqlite3.DatabaseError as error:
        said = [str(error)]
    if said == ["ok"]:
        return []
    remedy = (
        f"stop what writes it and restore it from a backup; what can still be read: "
        f"sqlite3 {file} .recover | sqlite3 recovered.db"
    )
    return [Finding(file.relative_to(home.root).as_posix(), f"is damaged: {said[0]}", remedy)]


def _give_way(error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error


def _ranges(days: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Join days that follow each other."""
    start = last = None
    for day in sorted(set(days)):
        now = date.fromisoformat(day)
        if last is not None and now - last > timedelta(days=1):
            yield str(start), str(last)
            start = now
        start, last = start or now, now
    if start is not None:
        yield str(start), str(last)
