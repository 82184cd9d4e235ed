"""Out of a source's files, where those lie below the home; those outside are never touched."""

import csv
import glob
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from flywheel_assets.declare.collect import (
    DailyFiles,
    DeltaSource,
    Observation,
    SqlSource,
    TableFile,
)
from flywheel_assets.stores import disk
from flywheel_assets.stores.decoding import byte_order_mark
from flywheel_assets.stores.forgetting.sought import Sought
from flywheel_assets.stores.home import Home

_SQLITE = "sqlite:///"


def below(home: Home, observations: Sequence[Observation]) -> dict[Path, Observation]:
    """Find the files of declared sources that lie below a home."""
    found: dict[Path, Observation] = {}
    for observation in observations:
        source = observation.source
        if source is None or isinstance(source, DeltaSource | SqlSource):
            continue
        path = home.source_path(observation.name, source.path)
        if isinstance(source, DailyFiles):
            path /= source.pattern.format(day="*")
        files = map(Path, glob.glob(str(path)))  # noqa: PTH207  the path may be absolute
        # A link may lead out of the home.
        inside = (f for f in files if home.root.resolve() in f.resolve().parents)
        found |= dict.fromkeys(inside, observation)
    return found


def databases_below(home: Home, observations: Sequence[Observation]) -> set[Path]:
    """Find the SQLite files of declared sources; they are a team's, and only named, never touched.

    Of a source whose environment variable is not set nobody can say where it is.
    """
    found: set[Path] = set()
    for observation in observations:
        if isinstance(observation.source, SqlSource):
            url = os.environ.get(observation.source.url, "")
            if url.startswith(_SQLITE):
                found.add(Path(url.removeprefix(_SQLITE).partition("?")[0]).resolve())
    return {file for file in found if home.root.resolve() in file.parents}


def count(file: Path, observation: Observation, sought: Sought) -> int:
    """Count somebody's records in a source's file."""
    return _without(file, observation, sought)[1]


def erase(file: Path, observation: Observation, sought: Sought) -> int:
    """Take somebody's records out of a source's file; the others stay byte for byte, if it is CSV.

    Returns
    -------
    int
        How many records are gone.
    """
    rest, gone = _without(file, observation, sought)
    if gone:
        disk.overwrite(file, rest)
    return gone


def _without(file: Path, observation: Observation, sought: Sought) -> tuple[bytes, int]:
    source = observation.source
    assert isinstance(source, DailyFiles | TableFile)  # noqa: S101  whose file it is
    if file.suffix == ".parquet":
        frame = pl.read_parquet(file, hive_partitioning=False)
        named = frame.rename({source.source_column(k): k for k in sought.keys}, strict=False)
        theirs = named.select(sought.rows(named.schema)).to_series()
        buffer = io.BytesIO()
        frame.filter(~theirs).write_parquet(buffer)
        return buffer.getvalue(), int(theirs.sum())
    records = list(_records(file.read_bytes().decode(source.encoding), source, sought))
    rest = "".join(raw for raw, hers in records if not hers)
    return rest.encode(source.encoding), sum(hers for _, hers in records)


def _records(
    text: str, source: DailyFiles | TableFile, sought: Sought
) -> Iterator[tuple[str, bool]]:
    """Give each record as it is written, and whether it is theirs; the header is nobody's."""
    lines = list(io.StringIO(text, newline=""))
    mark = byte_order_mark(text)
    csv.field_size_limit(max(len(text) + 1, csv.field_size_limit()))  # an open quote takes the rest
    reader = csv.reader(iter(lines), delimiter=source.separator)
    header, at = next(reader, []), reader.line_num
    if header:
        header[0] = header[0].removeprefix(mark).strip('"' if mark else "")
    yield "".join(lines[:at]), False
    places = {k: header.index(c) for k in sought.keys if (c := source.source_column(k)) in header}
    keyed = set(places.values())
    for record in reader:
        raw, at = "".join(lines[at : reader.line_num]), reader.line_num
        if len(record) != len(header):
            yield raw, sought.in_raw(raw)
            continue
        same = len(places) == len(sought.keys) and all(
            _same(record[i], sought.keys[k], source if k in sought.integers else None)
            for k, i in places.items()
        )
        beside = (sought.mentioned(text) for i, text in enumerate(record) if i not in keyed)
        yield raw, same or any(beside)


def _same(written: str, value: str, numbers: DailyFiles | TableFile | None) -> bool:
    """Hold a field against a key; of a key that is a number, as its source writes numbers."""
    if written.strip() == value:
        return True
    if numbers is None:
        return False
    for mark, plain in ((numbers.thousands, ""), (numbers.decimal, ".")):
        written = written.replace(mark, plain) if mark else written
    with suppress(ValueError):
        return float(written) == int(value)
    return False
