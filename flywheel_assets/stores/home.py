"""The home: one folder that holds the lakehouse, MLflow's and Dagster's state, and its settings."""

import json
import os
import shutil
import tomllib
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from flywheel_assets.errors import HomeError
from flywheel_assets.stores import disk

DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
run_monitoring: {enabled: true}
concurrency:
  runs: {max_concurrent_runs: 2}
  pools: {default_limit: 1}
"""


@dataclass(frozen=True)
class Settings:
    """What a home was opened for.

    Parameters
    ----------
    start : date
        The first partition. What was known before it is collected into it.
    end : date, optional
        The last partition of a replay of history; partitions go on daily without it.
    sources : dict
        Observation name -> path that stands in for the declared one.
    demo : bool
        Whether the simulated shop writes the source; its schedules are off until switched on.
    """

    start: date
    end: date | None = None
    sources: dict[str, str] = field(default_factory=dict)
    demo: bool = False


_FULL = ("No space left on device", "database or disk is full")
"""What the system and SQLite say of a disk without room, in whatever error it reaches us."""
_NO_ROOM = 1 << 20
"""Bytes: with less, what SQLite calls an I/O error is that its journal found no room."""
_ESCAPED = '%#?<>"{}`^'


@dataclass(frozen=True)
class Home:
    """Where everything is.

    Examples
    --------
    >>> Home(Path("/data")).lakehouse.as_posix()
    '/data/lakehouse'
    """

    root: Path

    def __post_init__(self) -> None:
        """Refuse a path that Delta's tools write to and do not find again.

        They keep paths as addresses that escape such characters, and then look for the escapes.

        Raises
        ------
        HomeError
        """
        path = str(self.root)
        odd = sorted({c for c in path if c.isspace() or not c.isascii() or c in _ESCAPED})
        if odd:
            raise HomeError(
                expected="a home whose path has neither spaces nor accents nor any of " + _ESCAPED,
                found=f"{path!r}, with {', '.join(map(repr, odd))}",
                remedy="name another by FLYWHEEL_HOME, for example /srv/flywheel",
            )

    @property
    def lakehouse(self) -> Path:
        """The folder of Delta tables, one for each asset key."""
        return self.root / "lakehouse"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def dagster(self) -> Path:
        """Dagster's instance: what DAGSTER_HOME names."""
        return self.root / "dagster"

    @property
    def inbox(self) -> Path:
        """What was received and waits to be collected."""
        return self.root / "inbox"

    @property
    def declared(self) -> Path:
        """By which declaration each partition of each table was made."""
        return self.root / "declared"

    @property
    def _file(self) -> Path:
        return self.root / "home.json"

    def settings(self) -> Settings | None:
        """Read the settings; None for a home that nothing has run in.

        Raises
        ------
        HomeError
            For a file that does not hold them.
        """
        if not self._file.exists():
            return None
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            end = found["end"]
            return Settings(
                start=date.fromisoformat(found["start"]),
                end=date.fromisoformat(end) if end else None,
                sources=found["sources"],
                demo=found["demo"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise HomeError(
                expected=f"the settings of this home in {self._file}",
                found=f"that it cannot be read as such: {error!r}",
                remedy=self._anew(),
            ) from error

    def require(self) -> Settings:
        """Read the settings of a home in which something must have run.

        Raises
        ------
        HomeError
            For one that nothing has run in, or whose settings are gone.
        """
        self.require_settings()
        found = self.settings()
        if found is None:
            raise HomeError(
                expected=f"a home at {self.root}",
                found="none",
                remedy="run `flywheel run` or `flywheel demo` first, or set FLYWHEEL_HOME",
            )
        return found

    def require_settings(self) -> None:
        """Refuse a home whose settings are damaged, or gone while tables are there, made by them.

        Raises
        ------
        HomeError
        """
        if self.settings() is None and self._made():
            raise HomeError(
                expected=f"{self._file}, by which the tables of this home were made",
                found="that it is gone",
                remedy=self._anew(),
            )

    def _made(self) -> list[str]:
        return [folder.name for folder in self.lakehouse.glob("*/*/partition_date=*")]

    def _anew(self) -> str:
        """Say how settings come back."""
        made = self._made()
        if not made:
            return "put it back from a backup, or remove it: no table was made by it yet"
        start = date.fromisoformat(min(made).partition("=")[2])
        return (
            "put it back from a backup, or write it anew, with the place of each source that "
            '--source named under sources, "demo": true of a simulated shop: '
            + json.dumps(asdict(Settings(start=start)), default=str)
        )

    def save(self, settings: Settings) -> None:
        """Write the settings and prepare the folders, in one step for whoever reads them.

        Raises
        ------
        HomeError
            For a folder that cannot be made or written.
        """
        try:
            self._save(settings)
        except OSError as error:
            raise (self.full if self.is_of_a_full_disk(error) else self.unwritable)(
                error
            ) from error

    def unwritable(self, error: Exception) -> HomeError:
        """Say that nothing can be written here, and why."""
        return HomeError(
            expected=f"a home that can be written at {self.root}",
            found=str(error),
            remedy="make room there, or let this user write, as databases are opened for it even to"
            " be read; or set FLYWHEEL_HOME to a folder of yours",
        )

    def is_of_a_full_disk(self, error: Exception) -> bool:
        """Say whether an error came of a disk without room."""
        said = str(error)
        if any(words in said for words in _FULL):
            return True
        return "disk I/O error" in said and self._free() < _NO_ROOM

    def full(self, error: Exception) -> HomeError:
        """Say that the disk is full, and which."""
        place = getattr(error, "filename", None) or self.root
        said = str(error).partition("\n")[0]
        return HomeError(
            expected=f"room on the disk of {place}",
            found=f"none: {said}; {self._free() / 1e6:,.1f} MB are free at {self.root}",
            remedy="make room there and run the same command again: what was written stays, what "
            "was not is as before",
        )

    def _free(self) -> int:
        there = next(p for p in (self.root, *self.root.parents) if p.exists())
        return shutil.disk_usage(there).free

    def _save(self, settings: Settings) -> None:
        self.dagster.mkdir(parents=True, exist_ok=True)
        self.lakehouse.mkdir(exist_ok=True)
        self.mlflow.mkdir(exist_ok=True)
        configuration = self.dagster / "dagster.yaml"
        if not configuration.exists():
            disk.overwrite(configuration, DAGSTER_YAML.encode())
        content = json.dumps(asdict(settings), indent=2, default=date.isoformat)
        disk.overwrite(self._file, content.encode())

    def source_path(self, observation: str, declared: str) -> Path:
        """Say where an observation's source is: the settings' word, else the declaration's."""
        settings = self.settings()
        path = Path(settings.sources.get(observation, declared) if settings else declared)
        return path if path.is_absolute() else self.root / path

    def extend(
        self, first: date, last: date, sources: dict[str, str], *, ongoing: bool, demo: bool
    ) -> Settings:
        """Open the home for a range of days, or widen what it was opened for.

        Raises
        ------
        HomeError
            For days before the home's first, or a source other than that which it was collected
            from; and where the settings are gone, though not the tables.
        """
        self.require_settings()
        old = self.settings()
        if old is None:
            end = None if ongoing else last
            new = Settings(start=first, end=end, sources=sources, demo=demo)
        else:
            self._check(old, first, sources)
            end = None if ongoing or old.end is None else max(old.end, last)
            new = Settings(start=old.start, end=end, sources=old.sources | sources, demo=old.demo)
        if new != old:
            self.save(new)
        return new

    def _check(self, old: Settings, first: date, sources: dict[str, str]) -> None:
        if first < old.start:
            raise HomeError(
                expected=f"days from {old.start} on, with which {self.root} was started",
                found=str(first),
                remedy="run later days, or set FLYWHEEL_HOME to an empty folder",
            )
        for name, path in sources.items():
            if old.sources.get(name, path) != path and self._collected(name):
                raise HomeError(
                    expected=f"the source that {name} was collected from, {old.sources[name]}",
                    found=path,
                    remedy="leave --source out, or set FLYWHEEL_HOME to an empty folder",
                )

    def _collected(self, observation: str) -> bool:
        return (self.lakehouse / "collect" / observation / "_delta_log").exists()


def current_home() -> Home:
    """Find the home: ``FLYWHEEL_HOME``, else ``data`` in the project, or the working directory."""
    there = os.environ.get("FLYWHEEL_HOME")
    return Home(Path(there or (project_folder() or Path()) / "data").resolve())


def project_folder() -> Path | None:
    """Find the project: the working directory or the nearest above it that says it is one.

    That is a folder whose ``pyproject.toml`` has ``[tool.flywheel]``.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if project_settings(folder)), None)


def project_settings(folder: Path) -> dict[str, Any]:
    """Read ``[tool.flywheel]`` of a folder's ``pyproject.toml``; empty where there is none.

    Raises
    ------
    HomeError
        For a file that cannot be read.
    """
    file = folder / "pyproject.toml"
    if not file.is_file():
        return {}
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HomeError(
            expected=f"{file} in TOML", found=str(error), remedy="correct it"
        ) from error
    settings: dict[str, Any] = found.get("tool", {}).get("flywheel", {})
    return settings
