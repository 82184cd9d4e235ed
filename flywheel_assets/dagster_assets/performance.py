"""<flywheel>/performance."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.model import ledger_scorer
from flywheel_assets.dagster_assets.plots import WIDTH, draws, plot
from flywheel_assets.dagster_assets.promotions import ledger_of
from flywheel_assets.dagster_assets.table_asset import counts, report, span, stage_asset
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import UnfitModelError
from flywheel_assets.report import figures
from flywheel_assets.report.worth import NAMES, worth
from flywheel_assets.stages import checks
from flywheel_assets.stages.alternatives import (
    ALTERNATIVES_SCHEMA,
    BOOTSTRAP,
    LOGGED,
    alternatives,
)
from flywheel_assets.stages.clock import closes
from flywheel_assets.stages.performance import (
    PERFORMANCE_COLUMNS,
    PERFORMANCE_SCHEMA,
    SCORE,
    performance,
    pooled,
)
from flywheel_assets.stages.predicted import Predicted
from flywheel_assets.stages.training_set import decided_on, training_schema
from flywheel_assets.stores.registry import registered_name


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
        _log_steps(build, flywheel, frame)
        shown = _over_time(build, flywheel, last) if draws(first, last) else {}
        yield report(
            context,
            build,
            key,
            counts(frame),
            checks.performance(frame, matured.height),
            by_day=_numbers(frame, beside),
            pooled=dg.MetadataValue.md(markdown(figures)),
            alternatives=dg.MetadataValue.md(markdown(_newest(beside))),
            **shown,
        )

    return body


_STEPS = ("roc_auc", "precision_at_capacity", "outcome_rate", "reward")


def _numbers(frame: pl.DataFrame, beside: pl.DataFrame) -> dict[date, dict[str, float]]:
    """Give numbers of each day under the names that they always have."""
    found: dict[date, dict[str, float]] = {}
    for row in frame.filter(ranking=SCORE).iter_rows(named=True):
        named = {name: row[name] for name in ("acted", *_STEPS)}
        found[row[PARTITION]] = {n: v for n, v in named.items() if v is not None}
    earned = beside.filter(pl.col("supported"), pl.col("value").is_finite())
    for day, policy, value in earned.select(PARTITION, "policy", "value").iter_rows():
        found.setdefault(day, {})[f"reward_per_decision_{policy}"] = value
    return found


def _log_steps(build: Build, flywheel: Flywheel, frame: pl.DataFrame) -> None:
    """Log what came of a version's decisions on its MLflow run; a step is a day of deciding."""
    mine = frame.filter(pl.col("ranking") == SCORE, pl.col("model_version").is_not_null())
    if mine.is_empty():
        return
    name = registered_name(flywheel)
    known = build.registry.versions(name)
    for (version,), rows in mine.partition_by("model_version", as_dict=True).items():
        if version not in known:
            continue
        trained = known[int(version)].trained
        steps = {
            f"matured_{metric}": {
                (decided_on(flywheel, day) - trained).days: value
                for day, value in rows.select(PARTITION, metric).iter_rows()
                if value is not None
            }
            for metric in _STEPS
        }
        build.registry.log_steps(name, int(version), steps, closes(trained))


def _over_time(build: Build, flywheel: Flywheel, last: date) -> dict[str, dg.MarkdownMetadataValue]:
    """Draw reward over time, promotions marked."""
    earned = worth(build.tables, flywheel, last).per_decision
    if earned.is_empty():
        return {}
    entries = ledger_of(build, flywheel).entries(last)
    promoted = [
        (day, f"v{version}") for day, version in entries.select(PARTITION, "version").rows()
    ]
    policies = {name: NAMES[name] for name in (LOGGED, BOOTSTRAP)}
    picture = figures.turning(earned, promoted, policies, WIDTH)
    return {"reward_over_time": plot(picture, "Reward per decision")}


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
