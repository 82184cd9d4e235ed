"""Reading a declared source: which files a range of days needs, and their records as they are."""

import glob
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from flywheel_assets.declare.collect import (
    DailyFiles,
    DeltaSource,
    Observation,
    Source,
    SqlSource,
    TableFile,
)
from flywheel_assets.declare.rules import FILE_DAY
from flywheel_assets.errors import SourceError
from flywheel_assets.stores.raw import Older, read_csv, read_delta, read_parquet

DAY = timedelta(days=1)


def read_source(
    observation: Observation, path: Path, first: date, last: date, *, start: date
) -> pl.DataFrame | None:
    """Read the raw records from which the partitions of a range are made.

    Parameters
    ----------
    path : Path
        Where the source is.
    first, last : date
        Partitions, both included.
    start : date
        The home's first partition, into which everything known before it goes.

    Returns
    -------
    DataFrame or None
        The source's columns as they are, and where each record stood. It may hold records of
        other days. None where there is no file at all, and for an observation without a source.

    Raises
    ------
    SourceError
        For a folder or file that is not there or cannot be read as declared.
    """
    source = observation.source
    if source is None or isinstance(source, SqlSource):
        return None
    columns = needed(observation, source)
    shapes = _older(observation, source)
    if isinstance(source, DailyFiles):
        frames = [
            _read_file(file, columns, source, shapes).with_columns(pl.lit(day).alias(FILE_DAY))
            for day, file in _daily_files(source, path, first, last, start)
        ]
    elif isinstance(source, DeltaSource):
        frames = [read_delta(path, columns, shapes).collect()]
    else:
        if path.is_dir():
            raise SourceError(
                expected=f"a file for observation {observation.name!r}, or a glob of files",
                found=f"the folder {path}",
                remedy="name the file, or declare the source as DailyFiles, a file for each day",
            )
        files = sorted(Path(f) for f in glob.glob(str(path)))  # noqa: PTH207  path may be absolute
        if not files:
            raise SourceError(
                expected=f"a file for observation {observation.name!r}",
                found=f"nothing at {path}",
                remedy="correct path= in the source, or name it with --source",
            )
        frames = [_read_file(file, columns, source, shapes) for file in files]
    # A column that a file lacks is null, whatever type it has in others.
    return pl.concat(frames, how="vertical_relaxed") if frames else None


def needed(observation: Observation, source: Source) -> list[str]:
    """Name the source columns that an observation is made of."""
    said = (source.event_time, source.known_at, source.decision_id)
    fields = map(source.source_column, observation.schema)
    return list(dict.fromkeys([*fields, *(c for c in said if c is not None)]))


def _older(observation: Observation, source: Source) -> Older:
    """Say what files of an older shape may call a column, and which they may lack."""
    return {
        source.source_column(f.name): (observation.told_as(f.name)[1:], f.may_lack)
        for f in observation.fields
        if f.may_lack or f.old_names
    }


def _read_file(
    file: Path, columns: list[str], source: DailyFiles | TableFile, older: Older
) -> pl.DataFrame:
    if file.suffix == ".parquet":
        return read_parquet(file, columns, older)
    return read_csv(
        file,
        columns,
        older=older,
        separator=source.separator,
        encoding=source.encoding,
        final_newline=source.final_newline,
        null_values=source.null_values,
    )


def _daily_files(
    source: DailyFiles, folder: Path, first: date, last: date, start: date
) -> Iterator[tuple[date, Path]]:
    if not folder.is_dir():
        raise SourceError(
            expected=f"a folder of files named {source.pattern}",
            found=f"no folder at {folder}",
            remedy="correct path= in the source, or name it with --source",
        )
    # A file's records are known on its day, on the next where its time zone is behind UTC, and
    # later by the declared delay.
    oldest = first - DAY - source.delay_in_days
    for day, file in listed_files(source, folder):
        if (first <= start and day < start) or oldest <= day <= last:
            yield day, file
    if source.every_day:
        for i in range((last - first).days + 1):
            file = folder / source.pattern.format(day=first + i * DAY)
            if not file.exists():
                raise SourceError(
                    expected=f"a file for every day, {file.name} among them",
                    found=f"none in {folder}",
                    remedy="wait for it, or declare every_day=False",
                )


def listed_files(source: DailyFiles, folder: Path) -> list[tuple[date, Path]]:
    """List a folder's files with their days, in order.

    Raises
    ------
    SourceError
        For a file that is called like one, and names no day.
    """
    prefix, suffix = source.pattern.split("{day}")
    found = []
    for file in sorted(folder.glob(source.pattern.format(day="????-??-??"))):
        try:
            day = date.fromisoformat(file.name.removeprefix(prefix).removesuffix(suffix))
        except ValueError:
            raise SourceError(
                expected=f"files named {source.pattern}",
                found=file.name,
                remedy="rename it, or move it out of the folder",
            ) from None
        found.append((day, file))
    return found
