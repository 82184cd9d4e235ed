"""How far the newest days are from what the model was trained on."""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.drift import DRIFT_SCHEMA, Drifted, drifted, not_measured
from flywheel_assets.stores.tables import Tables

LOOKED_BACK = timedelta(days=60)
SHOWN = 5
_MEASURES = ("psi", "ks", "calibration_error")


@dataclass(frozen=True)
class Drifting:
    """The newest state, and how it came about.

    Parameters
    ----------
    psi : DataFrame
        ``day``, ``column``, ``value``: of the columns that are furthest off.
    found : list of Drifted
        On the newest day, the worst first.
    blank : list of str
        Columns that could not be measured.
    """

    day: date | None
    psi: pl.DataFrame
    found: list[Drifted]
    blank: list[str]

    @property
    def columns(self) -> list[list[Drifted]]:
        """What was found, one list for each column, the worst first."""
        by_column: dict[str, list[Drifted]] = {}
        for one in self.found:
            by_column.setdefault(one.column, []).append(one)
        return list(by_column.values())


def drifting(tables: Tables, flywheel: Flywheel, last: date) -> Drifting:
    """Read what was measured up to a partition."""
    rows = tables.read(f"{flywheel.name}/drift", DRIFT_SCHEMA, None, last)
    history = rows.sort(PARTITION, "column", "measure").collect()
    newest = history.select(pl.col(PARTITION).max()).item()
    return Drifting(
        day=newest,
        psi=worst(history.filter(pl.col(PARTITION) >= last - LOOKED_BACK)),
        found=drifted(history, newest, _MEASURES) if newest else [],
        blank=not_measured(history, newest) if newest else [],
    )


def worst(history: pl.DataFrame) -> pl.DataFrame:
    """Keep the population stability index of the columns that are furthest off.

    Parameters
    ----------
    history : DataFrame
        Rows of ``<flywheel>/drift``.

    Returns
    -------
    DataFrame
        ``day``, ``column``, ``value``.
    """
    psi = history.filter(measure="psi")
    top = psi.group_by("column").agg(pl.col("value").max()).sort("value", "column")["column"]
    chosen = psi.filter(pl.col("column").is_in(top[-SHOWN:].implode()))
    return chosen.select(pl.col(PARTITION).alias("day"), "column", "value").sort("day", "column")
