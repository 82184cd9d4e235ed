"""<flywheel>/model and the promotions ledger."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.table_asset import counts, report, span, stage_asset
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import PublishedError
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import days
from flywheel_assets.stages.model import (
    MODEL_SCHEMA,
    PROMOTION_SCHEMA,
    judge,
    rows_digest,
    scorer,
    shortage,
    split,
    train,
    trained_on,
    trains_on,
    window,
)
from flywheel_assets.stages.predicted import Scorer
from flywheel_assets.stages.training_set import training_schema


def registered_name(flywheel: Flywheel) -> str:
    """Name a flywheel's model in the registry."""
    return f"{flywheel.name}.{flywheel.model.name}"


def champion_as_of(build: Build, flywheel: Flywheel, day: date) -> int | None:
    """Give the version that decides when a partition closes, by the promotions ledger."""
    ledger = build.tables.read(f"{flywheel.name}/promotions", PROMOTION_SCHEMA, None, day)
    versions = ledger.sort(PARTITION).select("version").collect().to_series()
    return int(versions[-1]) if len(versions) else None


def champion_scorer(build: Build, flywheel: Flywheel, version: int | None) -> Scorer | None:
    """Load a champion; None where there is none yet."""
    if version is None:
        return None
    name, trusted = registered_name(flywheel), flywheel.model.trusted_types
    return scorer(build.models.load(name, version, trusted), flywheel)


def model_asset(build: Build, flywheel: Flywheel) -> dg.AssetsDefinition:
    """Compile a model: trained where the cadence says so, judged, registered, promoted."""
    key, model = f"{flywheel.name}/model", flywheel.model
    source = f"{flywheel.name}/training_set"

    @stage_asset(
        [
            build.spec(
                key,
                stage="model",
                owners=model.owners,
                description=f"{model.description} Retrained: {model.retrain}.",
                schema=MODEL_SCHEMA,
                columns=MODEL_COLUMNS,
                version=fingerprint(model),
                deps=[before(source, model.training_window)],
                kinds=("mlflow", "scikitlearn"),
            )
        ],
        "model",
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        rows = []
        for day in days(first, last):
            row = _skipped(f"not a training day: {model.retrain}")
            if trains_on(model, day):
                oldest, newest = window(model, day)
                build.require(context, source, oldest, newest)
                row = _train(build, flywheel, day)
                context.log.info("%s: %s", day, row["verdict"])
            rows.append({PARTITION: day, **row})
        frame = pl.DataFrame(rows, schema=MODEL_SCHEMA)
        _promote(build, flywheel, frame)
        build.tables.replace(key, frame, MODEL_SCHEMA, first, last, empty=False)
        version = champion_as_of(build, flywheel, last)
        verdicts = [f"{r[PARTITION]}: {r['verdict']}" for r in rows if r["trained"]]
        yield report(
            context,
            build,
            key,
            counts(frame),
            checks.model(frame),
            champion=version if version is not None else "none: the bootstrap rule decides",
            verdict="; ".join(verdicts) or rows[-1]["verdict"],
            mlflow=build.models.uri,
        )

    return body


MODEL_COLUMNS = {
    "trained": "Whether the cadence had a training on this day, and there was data for it.",
    "version": "The registered version.",
    "n_rows": "Matured decisions trained on.",
    "n_holdout": "Newer matured decisions that it was judged on.",
    "metric": "What it was judged by.",
    "value": "The challenger's metric.",
    "champion_version": "Whom it was held against.",
    "champion_value": "The champion's metric on the same rows.",
    "promoted": "Whether it decides from this partition on.",
    "verdict": "Why.",
}


def _skipped(reason: str) -> dict[str, Any]:
    blank = dict.fromkeys(MODEL_SCHEMA)
    del blank[PARTITION]
    return blank | {"trained": False, "promoted": False, "verdict": reason}


def _train(build: Build, flywheel: Flywheel, day: date) -> dict[str, Any]:
    model = flywheel.model
    columns = training_schema(flywheel)
    needed = {c: columns[c] for c in (*trained_on(flywheel), "propensity")}
    rows = build.tables.read(f"{flywheel.name}/training_set", needed, *window(model, day))
    older, holdout = split(rows.collect().sort(PARTITION, "decision_id"), model, day)
    lacking = shortage(older, holdout)
    if lacking:
        return _skipped(lacking)
    estimator = train(older, flywheel)
    standing = champion_as_of(build, flywheel, _day_before(day))
    champion = champion_scorer(build, flywheel, standing)
    verdict = judge(flywheel, holdout, scorer(estimator, flywheel), champion)
    if verdict.value is None:
        return _skipped(verdict.reason)
    version = build.models.register(
        registered_name(flywheel),
        estimator,
        experiment=flywheel.name,
        day=day.isoformat(),
        fingerprint=f"{rows_digest(older, flywheel)}:{fingerprint(model)}",
        metrics={model.metric: verdict.value, "n_rows": older.height},
        params={"estimator": estimator, "training_window": model.training_window},
        trusted=model.trusted_types,
    )
    return {
        "trained": True,
        "version": version,
        "n_rows": older.height,
        "n_holdout": holdout.height,
        "metric": model.metric,
        "value": verdict.value,
        "champion_version": standing,
        "champion_value": verdict.champion_value,
        "promoted": verdict.promoted,
        "verdict": verdict.reason,
    }


def _day_before(day: date) -> date:
    return date.fromordinal(day.toordinal() - 1)


def _promote(build: Build, flywheel: Flywheel, trained: pl.DataFrame) -> None:
    """Write promotions into the ledger, which is history: what was decided by stays."""
    key = f"{flywheel.name}/promotions"
    for row in trained.filter("trained").iter_rows(named=True):
        day = row[PARTITION]
        entry = {**row, "reason": row["verdict"], "by": "gate"}
        new = [{c: entry[c] for c in PROMOTION_SCHEMA}] if row["promoted"] else []
        frame = pl.DataFrame(new, schema=PROMOTION_SCHEMA)
        old = build.tables.read(key, PROMOTION_SCHEMA, day, day).collect()
        decided = build.tables.read(f"{flywheel.name}/decisions", {PARTITION: pl.Date()}, day, day)
        if not old.equals(frame) and decided.head(1).collect().height:
            raise PublishedError(
                expected=f"the promotion of {day} by which {flywheel.name} has already decided",
                found=f"{frame.to_dicts()} instead of {old.to_dicts()}",
                remedy="train on a later day; promotions that were decided by are history",
            )
        build.tables.replace(key, frame, PROMOTION_SCHEMA, day, day)
        newest = champion_as_of(build, flywheel, date.max)
        if newest is not None:
            build.models.crown(registered_name(flywheel), newest)
