"""Which sources hold somebody, and would bring them back if they were not kept out."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from flywheel_assets.dagster_assets.build import build_for, today
from flywheel_assets.dagster_assets.table_asset import chunks
from flywheel_assets.declare.collect import DailyFiles, Observation, SqlSource
from flywheel_assets.errors import FlywheelError
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import validate
from flywheel_assets.stores.forgetting.sought import Sought
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.sources import read_source
from flywheel_assets.stores.tables import Tables


def brought_back(
    home: Home, observations: Sequence[Observation], sought: Sought
) -> Iterator[dict[str, object]]:
    """Read every source that was collected from and name those with records of theirs.

    Yields
    ------
    dict
        ``observation``, ``path``, and either ``records``, how many, or ``unread``, why not.
    """
    settings = build_for(home).settings
    if settings.demo:  # its simulated product reports through the API alone
        return
    last = min(settings.end or today() - DAY, today() - DAY)
    for observation in observations:
        collected = Tables(home.lakehouse).exists(f"collect/{observation.name}")
        if observation.source is None or not collected:
            continue
        if isinstance(observation.source, SqlSource):
            yield {
                "observation": observation.name,
                "path": f"${observation.source.url}",
                "unread": "a database is not searched: delete their rows there, too",
            }
            continue
        path = home.source_path(observation.name, observation.source.path)
        told: dict[str, object] = {"observation": observation.name, "path": str(path)}
        try:
            records = _count(observation, path, settings.start, last, sought)
        except (FlywheelError, OSError) as error:
            yield told | {"unread": str(error)}
            continue
        if records:
            yield told | {"records": records}


def _count(observation: Observation, path: Path, first: date, last: date, sought: Sought) -> int:
    source = observation.source
    assert source is not None  # noqa: S101  asked above
    spans = chunks(first, last) if isinstance(source, DailyFiles) else iter([(first, last)])
    seen: set[tuple[str | None, int | None]] = set()
    for start, end in spans:
        raw = read_source(observation, path, start, end, start=first)
        if raw is None:
            continue
        checked = validate(raw, observation, source)
        theirs = checked.filter(sought.rows(checked.schema))
        # A file may be read for the days on both sides of a span's edge.
        seen.update(theirs.select("file", "line").iter_rows())
    return len(seen)
