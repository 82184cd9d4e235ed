"""Who decided, since when and why; and what became of the newest trainings."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.challenge import MODEL_SCHEMA
from flywheel_assets.stages.importance import IMPORTANCE_SCHEMA
from flywheel_assets.stores.promotions import Champion, Ledger
from flywheel_assets.stores.tables import Tables


@dataclass(frozen=True)
class Champions:
    """The line of champions.

    Parameters
    ----------
    entries : list of dict
        Of the ledger, the newest first.
    version : int, optional
        Who decides now; None for the bootstrap rule.
    trainings : list of dict
        Rows of ``<flywheel>/model`` that trained, or tried to, the newest first.
    important : DataFrame
        ``feature``, ``importance``, ``metric``, ``version``: the champion's if it was measured,
        else that of the version that was judged last; the most important first.
    """

    entries: list[dict[str, Any]]
    version: int | None
    since: date | None
    trainings: list[dict[str, Any]]
    important: pl.DataFrame

    @property
    def n_refused(self) -> int:
        """How many trainings in a row, the newest included, were not promoted."""
        for number, row in enumerate(self.trainings):
            if row["promoted"]:
                return number
        return len(self.trainings)


def champions(tables: Tables, flywheel: Flywheel, last: date) -> Champions:
    """Read the ledger and the trainings up to a partition."""
    ledger = Ledger(tables, flywheel.name)
    entries = ledger.entries(last)
    standing = ledger.champion(last)
    rows = tables.read(f"{flywheel.name}/model", MODEL_SCHEMA, None, last)
    tried = pl.col("trained") | pl.col("metric").is_not_null()
    trainings = rows.filter(tried).sort(PARTITION, descending=True).collect()
    return Champions(
        entries=entries.reverse().to_dicts(),
        version=standing.version if standing else None,
        since=standing.since if standing else None,
        trainings=trainings.to_dicts(),
        important=important(tables, flywheel, standing, last),
    )


def important(
    tables: Tables, flywheel: Flywheel, standing: Champion | None, last: date | None = None
) -> pl.DataFrame:
    """Give what the features of the champion are worth: see `Champions.important`."""
    rows = tables.read(f"{flywheel.name}/importance", IMPORTANCE_SCHEMA, None, last).collect()
    order = ["importance", "feature"]
    newest = rows.filter(pl.col(PARTITION) == pl.col(PARTITION).max())
    mine = rows.filter(version=standing.judged_version) if standing else newest
    return (mine if mine.height else newest).sort(order, descending=[True, False])
