"""By what each partition of a table was made, as a plan looks at it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from flywheel_assets.changes.meaning import Meaning
from flywheel_assets.stores.declared import Declared, Epoch
from flywheel_assets.stores.tables import Tables

BESIDE: Mapping[str, str] = MappingProxyType({"promotions": "model"})
"""What has no runs of its own, and the stage that it is written with."""
NOTHING_KNOWN = Meaning(columns={})


def epochs_of(kept: Declared, tables: Tables, table: str, *, is_declared: bool) -> list[Epoch]:
    """Give the partitions of a table; of one that is gone and declared nothing is known.

    What is retired by now was announced, whatever the days before it were made by.
    """
    lost = kept.lost(table, tables) if is_declared else []
    if lost:
        return [Epoch(lost[0].first, lost[-1].last, NOTHING_KNOWN)]
    held = kept.epochs(table) or _unknown(tables, table)
    retired = held[-1].meaning.retired if held else ()
    return [
        replace(e, meaning=replace(e.meaning, retired=e.meaning.retired or retired)) for e in held
    ]


def stage_of(table: str) -> str:
    """Give the stage of a table that is a flywheel's own.

    Examples
    --------
    >>> stage_of("repurchase/model")
    'model'
    """
    return table.rsplit("/", maxsplit=1)[-1]


def _unknown(tables: Tables, table: str) -> list[Epoch]:
    if stage_of(table) in BESIDE or not tables.exists(table):
        return []
    days = tables.days(table)
    return [Epoch(days[0], days[-1], NOTHING_KNOWN)] if days else []
