"""Where the data of a flywheel's observations is, as --source says."""

import glob
from collections.abc import Mapping
from pathlib import Path

from flywheel_assets.declare.collect import DailyFiles, DeltaSource, Observation, TableFile
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import HomeError
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.sources import listed_files


def sources(flywheel: Flywheel, place: Path) -> dict[str, str]:
    """Say where each observation's source is: what in a folder is called like it, else the whole.

    Parameters
    ----------
    place : Path
        A file, or a folder: of daily files, or of several observations' sources.

    Raises
    ------
    HomeError
        Where there is nothing.
    """
    first = flywheel.views[0].fact.observation
    if not place.exists() and not glob.glob(str(place)):  # noqa: PTH207  place may be absolute
        wanted = "a file" if isinstance(first.source, TableFile) else "a folder"
        raise HomeError(
            expected=f"{wanted} of {first.name} in --source",
            found=f"nothing at {place}",
            remedy="correct --source; nothing was begun",
        )
    named = {o.name: there for o in catalog([flywheel]).observations if (there := _in(place, o))}
    if named:
        return named
    return {first.name: str(place)}


def _in(folder: Path, observation: Observation) -> str | None:
    """Find an observation's folder, or its file by its own name or by that of the declared one."""
    source = observation.source
    if isinstance(source, DailyFiles | DeltaSource):
        there = folder / observation.name
        return str(there) if there.is_dir() else None
    if not isinstance(source, TableFile):
        return None
    declared = Path(source.path)
    files = (folder / f"{observation.name}{declared.suffix}", folder / declared.name)
    return next((str(file) for file in files if file.is_file()), None)


def require_sources(home: Home, flywheel: Flywheel, given: Mapping[str, str]) -> None:
    """Refuse to begin where the files of an observation are not there.

    Raises
    ------
    HomeError
        Where there is neither a file nor a folder, a folder of daily files has none although
        --source named it, or a folder stands for a file.
    """
    for observation in catalog([flywheel]).observations:
        source, name = observation.source, observation.name
        if not isinstance(source, DailyFiles | TableFile):
            continue
        named = given.get(name)
        place = Path(named) if named else home.source_path(name, source.path)
        if _is_there(source, place, named=bool(named)):
            continue
        wanted = f"files named {source.pattern}" if isinstance(source, DailyFiles) else "one file"
        called = name if isinstance(source, DailyFiles) else f"{name}{Path(source.path).suffix}"
        raise HomeError(
            expected=f"data of {name!r}, {wanted}",
            found=f"{'a folder' if place.is_dir() else 'nothing'} at {place}, "
            f"{'which --source names' if named else 'where it is declared'}",
            remedy=f"put it there, or name its place with --source, or a folder in which it is "
            f"called {called}; nothing was begun",
        )


def _is_there(source: DailyFiles | TableFile, place: Path, *, named: bool) -> bool:
    if isinstance(source, TableFile):
        return not place.is_dir() and bool(glob.glob(str(place)))  # noqa: PTH207  may be absolute
    # Where it is declared, a folder may be waiting for its first file.
    return place.is_dir() and (not named or bool(listed_files(source, place)))
