"""Where the data of a flywheel's observations is, as --source says."""

from collections.abc import Mapping
from pathlib import Path

from flywheel_assets.declare.collect import DailyFiles, DeltaSource, Observation, TableFile
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import HomeError
from flywheel_assets.stores.sources import listed_files


def sources(flywheel: Flywheel, place: Path) -> dict[str, str]:
    """Say where each observation's source is: what in a folder is called like it, else the whole.

    Parameters
    ----------
    place : Path
        A file, or a folder: of daily files, or of several observations' sources.
    """
    named = {o.name: there for o in catalog([flywheel]).observations if (there := _in(place, o))}
    if named:
        return named
    return {flywheel.views[0].fact.observation.name: str(place)}


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


def require_sources(flywheel: Flywheel, given: Mapping[str, str]) -> None:
    """Refuse a --source that has no file of an observation, before anything is begun.

    Raises
    ------
    HomeError
        Where a folder of daily files has none, or a folder stands for a file.
    """
    for observation in catalog([flywheel]).observations:
        source = observation.source
        if observation.name not in given or source is None:
            continue
        place = Path(given[observation.name])
        if isinstance(source, DailyFiles) and not (place.is_dir() and listed_files(source, place)):
            raise HomeError(
                expected=f"in --source a folder with files of {observation.name!r}, named "
                f"{source.pattern}",
                found=f"none at {place}",
                remedy="correct --source, or pattern= of the source; nothing was begun",
            )
        if isinstance(source, TableFile) and place.is_dir():
            ending = Path(source.path).suffix
            raise HomeError(
                expected=f"in --source a file of {observation.name!r}",
                found=f"the folder {place}",
                remedy="name the file; in a folder of several observations it is called "
                f"{observation.name}{ending}; nothing was begun",
            )
