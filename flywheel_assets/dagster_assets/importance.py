"""Which features the models use, and how much: kept beside them, and shown."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.plots import WIDTH, as_markdown, draws_training
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.report import figures
from flywheel_assets.report.drawing import picture
from flywheel_assets.stages.importance import IMPORTANCE_SCHEMA
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.registry import registered_name
from flywheel_assets.stores.tables import Tables

FILE = "permutation_importance"
SHOWN = 20


def keep_importance(build: Build, flywheel: Flywheel, found: pl.DataFrame) -> None:
    """Keep what a judged version's features are worth, in a table and on its MLflow run."""
    if found.is_empty():
        return
    key, day, version = f"{flywheel.name}/importance", found[PARTITION][0], found["version"][0]
    build.tables.replace(key, found, IMPORTANCE_SCHEMA, day, day)
    name = registered_name(flywheel)
    worth = {f"importance_{row['feature']}": row["importance"] for row in found.to_dicts()}
    build.registry.log_metrics(name, version, worth)
    build.registry.log_file(name, version, found.drop(PARTITION).write_csv(), f"{FILE}.csv")
    if draws_training(flywheel.model.retrain, day):
        build.registry.log_file(name, version, _picture(found), f"plots/{FILE}.svg")


def newest_importance(home: Home, flywheel: Flywheel, last: date | None = None) -> pl.DataFrame:
    """Give what the features of the model that was judged last are worth, the most first."""
    rows = Tables(home.lakehouse).read(f"{flywheel.name}/importance", IMPORTANCE_SCHEMA, None, last)
    newest = rows.filter(pl.col(PARTITION) == pl.col(PARTITION).max()).collect()
    return newest.sort("importance", "feature", descending=[True, False])


def shown_importance(
    build: Build, flywheel: Flywheel, last: date, *, drawn: bool
) -> dict[str, Any]:
    """Show it on the model's page, as a table and, where a run draws, as a picture."""
    found = newest_importance(build.home, flywheel, last)
    if found.is_empty():
        return {}
    lines = [
        f"| {row['feature']} | {row['importance']:+.4f} | {row['deviation']:.4f} |"
        for row in found.to_dicts()
    ]
    said = f"version {found['version'][0]}, {found['metric'][0]} lost, {found['n_rows'][0]} rows"
    head = f"| feature | {said} | deviation |\n|---|---|---|\n"
    shown = f"\n\n{as_markdown(_picture(found), FILE)}" if drawn else ""
    return {FILE: dg.MetadataValue.md(head + "\n".join(lines) + shown)}


def _picture(found: pl.DataFrame) -> str:
    top = found.head(SHOWN)
    return picture(figures.bars(top, label="feature", value="importance", width=WIDTH))
