"""<flywheel>/drift: each day against what the model that decided it was trained on."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.features import read_snapshots
from flywheel_assets.dagster_assets.plots import WIDTH, draws, plot
from flywheel_assets.dagster_assets.table_asset import counts, report, span, stage_asset
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF, PARTITION
from flywheel_assets.report import figures, multiples
from flywheel_assets.report.drifting import worst
from flywheel_assets.stages import drift as stage
from flywheel_assets.stages.checks import Check
from flywheel_assets.stages.clock import days
from flywheel_assets.stages.decisions import DECIDED_AT, decision_schema
from flywheel_assets.stages.distance import Profile
from flywheel_assets.stages.drift import (
    DRIFT_COLUMNS,
    DRIFT_SCHEMA,
    PROFILE_SCHEMA,
    Measured,
    profiles,
)
from flywheel_assets.stages.seen import seen, spine_schema
from flywheel_assets.stages.training_set import LABEL, training_schema
from flywheel_assets.stores.registry import registered_name

LOOKED_BACK = timedelta(days=60)
SHIFT, CALIBRATION = ("psi", "ks"), ("calibration_error",)


def drift_asset(build: Build, flywheel: Flywheel) -> dg.AssetsDefinition:
    """Compile the measuring of drift."""
    key = f"{flywheel.name}/drift"
    sources = [f"{flywheel.name}/decisions", f"{flywheel.name}/training_set"]
    views = [f"features/{view.name}" for view in flywheel.views]

    @stage_asset(
        [
            build.spec(
                key,
                stage="drift",
                owners=flywheel.model.owners,
                description="How far each day's decisions, and the outcomes that matured on it, "
                "are from what the model was trained on.",
                schema=DRIFT_SCHEMA,
                columns=DRIFT_COLUMNS,
                deps=[before(source) for source in (*sources, *views)],
            )
        ],
        "drift",
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        for source in (*sources, *views):
            build.require(context, source, first, last)
        known: dict[int, dict[str, Profile]] = {}
        measured = [_measure(build, flywheel, day, known) for day in days(first, last)]
        frame = pl.concat([one.rows for one in measured])
        build.tables.replace(key, frame, DRIFT_SCHEMA, first, last)
        # All of it: since when something is off is the same however many days a run makes.
        history = build.tables.read(key, DRIFT_SCHEMA, None, last).collect()
        found = _checks(flywheel, history, last)
        drifts = not all(check.passed for check in found)
        shown: dict[str, dg.MarkdownMetadataValue] = {}
        if drifts or draws(first, last):
            recent = history.filter(pl.col(PARTITION) >= first - LOOKED_BACK)
            shown["over_time"] = over_time(recent, flywheel)
        # A dozen plots take as long as a day's measuring: not again each day that a drift lasts.
        begins = any(one.since >= first for one in stage.drifted(history, last, SHIFT))
        if begins or draws(first, last):
            shown["features_against_training"] = against_training(measured, flywheel)
        furthest = frame.filter(measure="psi").group_by(PARTITION).agg(pl.col("value").max())
        by_day = {day: {"largest_psi": value} for day, value in furthest.iter_rows()}
        yield report(context, build, key, counts(frame), found, by_day=by_day, **shown)

    return body


def over_time(history: pl.DataFrame, flywheel: Flywheel) -> dg.MarkdownMetadataValue:
    """Draw the five columns that are furthest off, over time."""
    psi, bars = worst(history), flywheel.model.drift
    if psi.is_empty():
        return dg.MetadataValue.md("No model has decided yet.")
    return plot(figures.drift(psi, bars.psi_warn, bars.psi_error, WIDTH), "PSI over time")


def against_training(measured: Sequence[Measured], flywheel: Flywheel) -> dg.MarkdownMetadataValue:
    """Draw the features of the newest day that a model decided over those of its training rows."""
    features = set(stage.watched(flywheel))
    for one in reversed(measured):
        shares = {name: found for name, found in one.shares.items() if name in features}
        if shares:
            spec = multiples.distributions(shares, WIDTH)
            return plot(spec, "Features decided on, over those trained on")
    return dg.MetadataValue.md("No model has decided on any feature yet.")


def _measure(
    build: Build, flywheel: Flywheel, day: date, known: dict[int, dict[str, Profile]]
) -> Measured:
    name = flywheel.name
    decided = build.tables.read(f"{name}/decisions", decision_schema(flywheel), day, day).collect()
    matured = build.tables.read(f"{name}/training_set", training_schema(flywheel), day, day)
    version = decided["model_version"].max() if decided.height else None
    references: dict[str, Profile] = {}
    if isinstance(version, int):
        if version not in known:
            known[version] = _references(build, flywheel, version)
        references = known[version]
    spine = decided.select(
        *(column for column in spine_schema(flywheel) if column != AS_OF),
        pl.col(DECIDED_AT).alias(AS_OF),
    )
    saw = seen(spine, read_snapshots(build, flywheel, day, day), flywheel)
    saw = saw.with_columns(decided[stage.SCORE])
    version = version if isinstance(version, int) else None
    return stage.drift(saw, matured.collect(), references, flywheel, version, day)


def _references(build: Build, flywheel: Flywheel, version: int) -> dict[str, Profile]:
    versions = build.registry.versions(registered_name(flywheel))
    if version not in versions:
        return {}
    day = versions[version].trained
    rows = build.tables.read(f"{flywheel.name}/profile", PROFILE_SCHEMA, day, day)
    return profiles(rows.filter(version=version).collect())


def _checks(flywheel: Flywheel, history: pl.DataFrame, day: date) -> list[Check]:
    until = history.filter(pl.col(PARTITION) <= day)
    column = pl.col("column")
    views = ", ".join(f"features/{view.name}" for view in flywheel.views)
    model = f"{flywheel.name}/model trains again: {flywheel.model.retrain}"
    back = f"flywheel rollback {flywheel.name} --why ... returns to the champion before, if any"
    return [
        _check(
            "feature_drift",
            until.filter(~column.is_in([stage.SCORE, LABEL])),
            day,
            SHIFT,
            f"look at what feeds {views}; if the world has changed, {model}",
        ),
        _check(
            "score_drift",
            until.filter(column == stage.SCORE),
            day,
            SHIFT,
            f"look at feature_drift; if no feature explains it, {back}",
        ),
        _check(
            "label_drift",
            until.filter(column == LABEL),
            day,
            SHIFT,
            f"look at organize/fct_{flywheel.outcome.fact.name}; if the world has changed, {model}",
        ),
        _check(
            "calibration",
            until.filter(column == stage.SCORE),
            day,
            CALIBRATION,
            f"thresholds on the score no longer mean what they say: {model}; or declare a "
            f"calibration; or {back}",
        ),
    ]


def _check(
    name: str, history: pl.DataFrame, day: date, measures: tuple[str, ...], remedy: str
) -> Check:
    found = stage.drifted(history, day, measures)
    blank = [] if measures == CALIBRATION else stage.not_measured(history, day)
    gap = (
        f"not measured: {', '.join(blank)}; the model's version has no profile of its training "
        "rows, or decisions do not see them any longer: train again"
    )
    if not found:
        well = "nothing beyond the declared levels"
        return Check(name=name, passed=not blank, message=gap if blank else well, warns=bool(blank))
    said = "; ".join(
        f"{d.column}: {d.measure} {d.value:.3f} ({d.level}) since {d.since}" for d in found[:3]
    )
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""  # noqa: PLR2004  as many are named
    serious = found[0].level == stage.ERROR
    message = f"{said}{more}; {remedy}" + (f"; {gap}" if blank else "")
    return Check(name=name, passed=False, message=message, warns=not serious)
