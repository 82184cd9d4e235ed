"""<flywheel>/performance."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.model import ledger_scorer
from flywheel_assets.dagster_assets.promotions import ledger_of
from flywheel_assets.dagster_assets.table_asset import counts, report, span, stage_asset
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import UnfitModelError
from flywheel_assets.stages import checks
from flywheel_assets.stages.alternatives import ALTERNATIVES_SCHEMA, alternatives
from flywheel_assets.stages.performance import (
    PERFORMANCE_COLUMNS,
    PERFORMANCE_SCHEMA,
    performance,
    pooled,
)
from flywheel_assets.stages.predicted import Predicted
from flywheel_assets.stages.training_set import decided_on, training_schema


def performance_asset(build: Build, flywheel: Flywheel) -> dg.AssetsDefinition:
    """Compile what the decisions were worth."""
    key, source = f"{flywheel.name}/performance", f"{flywheel.name}/training_set"

    @stage_asset(
        [
            build.spec(
                key,
                stage="performance",
                owners=flywheel.owners,
                description="What matured decisions were worth, beside simpler rankings.",
                schema=PERFORMANCE_SCHEMA,
                columns=PERFORMANCE_COLUMNS,
                deps=[before(source)],
            )
        ],
        "performance",
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require(context, source, first, last)
        matured = build.tables.read(source, training_schema(flywheel), first, last).collect()
        frame = performance(matured, flywheel)
        build.tables.replace(key, frame, PERFORMANCE_SCHEMA, first, last)
        beside = _alternatives(build, flywheel, matured)
        others = f"{flywheel.name}/alternatives"
        build.tables.replace(others, beside, ALTERNATIVES_SCHEMA, first, last)
        figures = pooled(matured, flywheel) if matured.height else pl.DataFrame()
        yield report(
            context,
            build,
            key,
            counts(frame),
            checks.performance(frame, matured.height),
            pooled=dg.MetadataValue.md(markdown(figures)),
            alternatives=dg.MetadataValue.md(markdown(_newest(beside))),
        )

    return body


def _alternatives(build: Build, flywheel: Flywheel, matured: pl.DataFrame) -> pl.DataFrame:
    """Estimate each day's alternatives: the versions that the ledger had when it was decided."""
    found = [pl.DataFrame(schema=ALTERNATIVES_SCHEMA)]
    ledger = ledger_of(build, flywheel)
    for day in matured.sort(PARTITION).partition_by(PARTITION, maintain_order=True):
        decided = decided_on(flywheel, day[PARTITION][0])
        by_model = day["model_version"].max() is not None
        line = ledger.line(decided) if by_model else []
        deciding, previous = (
            _predicted(build, flywheel, number, decided, day)
            for number in (line[-1] if line else None, line[-2] if len(line) > 1 else None)
        )
        found.append(alternatives(day, flywheel, deciding, previous))
    return pl.concat(found)


def _predicted(
    build: Build, flywheel: Flywheel, version: int | None, decided: date, day: pl.DataFrame
) -> tuple[int, Predicted | str] | None:
    if version is None:
        return None
    try:
        return version, ledger_scorer(build, flywheel, version, decided)(day)
    except UnfitModelError as error:
        return version, str(error)


def _newest(beside: pl.DataFrame) -> pl.DataFrame:
    columns = ("policy", "model_version", "value", "lower", "upper", "diagnosis")
    return beside.filter(pl.col(PARTITION) == pl.col(PARTITION).max()).select(*columns)


def markdown(figures: pl.DataFrame) -> str:
    """Show figures as a table."""
    with pl.Config(
        tbl_formatting="MARKDOWN", tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True
    ):
        return str(figures)
