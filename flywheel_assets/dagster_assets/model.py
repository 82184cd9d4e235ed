"""<flywheel>/model: trained where the cadence says so, judged, registered, promoted."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.importance import keep_importance, shown_importance
from flywheel_assets.dagster_assets.plots import as_markdown
from flywheel_assets.dagster_assets.promotions import alias_check, follow, ledger_of
from flywheel_assets.dagster_assets.table_asset import counts, report, span, stage_asset
from flywheel_assets.dagster_assets.tracking import (
    describe_version,
    draw_judged,
    register_version,
    run_pages,
)
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import UnfitModelError
from flywheel_assets.stages import checks
from flywheel_assets.stages.challenge import MODEL_COLUMNS, MODEL_SCHEMA, challenge, split, window
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.drift import PROFILE_SCHEMA, profile
from flywheel_assets.stages.importance import importance
from flywheel_assets.stages.model import rows_digest, scorer, training_digest, trains_on
from flywheel_assets.stages.policy import draw
from flywheel_assets.stages.predicted import Floats, Predicted, Scorer
from flywheel_assets.stages.training_set import training_schema
from flywheel_assets.stores.promotions import PROMOTION_SCHEMA
from flywheel_assets.stores.registry import TrainingRows, registered_name

if TYPE_CHECKING:
    from flywheel_assets.stages.learners import Trained


class DecideConfig(dg.Config):
    """What a run may ask for.

    Parameters
    ----------
    decide_again : bool
        Replace decisions that were published, and promotions that were decided by, although they
        come out different.
    """

    decide_again: bool = False


def version_scorer(build: Build, flywheel: Flywheel, version: int) -> Scorer:
    """Load a version."""
    name = registered_name(flywheel)
    return scorer(build.models.load(name, version, flywheel.model.trusted_types), flywheel)


def ledger_scorer(build: Build, flywheel: Flywheel, version: int, since: date) -> Scorer:
    """Load a version that the ledger has from a day on when it is first asked.

    It raises `UnfitModelError` then, if it does not fit what is declared by now: also where the
    model was called otherwise, and the number names nothing, or something newer than its entry.
    """

    def score(seen: pl.DataFrame) -> Predicted:
        name = registered_name(flywheel)
        known = build.registry.versions(name)
        if version not in known or known[version].trained > since:
            raise UnfitModelError(
                expected=f"version {version} of {name}, in the ledger since {since}",
                found="that the model had another name then",
                remedy="name it so again, or train again",
            )
        return version_scorer(build, flywheel, version)(seen)

    return score


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
                deps=[before(source, model.training_window)],
                kinds=("mlflow", "scikitlearn"),
            )
        ],
        "model",
    )
    def body(
        context: dg.AssetExecutionContext, config: DecideConfig
    ) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require_table(ledger_of(build, flywheel).key)
        rows: list[dict[str, Any]] = []
        pictures: dict[str, str] = {}
        aliases = alias_check(build, flywheel)
        for day in days(first, last):
            row = _skipped(f"not a training day: {model.retrain}")
            if trains_on(model, day):
                oldest, newest = window(flywheel, day)
                build.require(context, source, oldest, newest)
                row, drawn = _train(build, flywheel, day)
                context.log.info("%s: %s", day, row["verdict"])
                _promote(build, flywheel, day, row, again=config.decide_again)
                pictures = drawn or pictures
            rows.append({PARTITION: day, **row})
        frame = pl.DataFrame(rows, schema=MODEL_SCHEMA)
        build.tables.replace(key, frame, MODEL_SCHEMA, first, last, empty=False)
        follow(build, flywheel)
        told = build.tables.read(key, MODEL_SCHEMA, None, last)
        # Of trainings from before it was said nothing is known.
        said = told.select(PARTITION, "failed", "verdict").drop_nulls("failed").sort(PARTITION)
        attempts = {
            day: (failed, verdict)
            for day, failed, verdict in said.collect().iter_rows()
            if trains_on(model, day)
        }
        standing = ledger_of(build, flywheel).champion(last)
        verdicts = [
            f"{r[PARTITION]}: {r['verdict']}" for r in rows if trains_on(model, r[PARTITION])
        ]
        yield report(
            context,
            build,
            key,
            counts(frame),
            [checks.trains(attempts), *checks.model(frame), aliases],
            champion=standing.version if standing else "none: the bootstrap rule decides",
            verdict="; ".join(verdicts) or rows[-1]["verdict"],
            by_day=_numbers(frame, model.metric),
            mlflow=build.models.uri,
            **run_pages(build, flywheel, standing, rows[-1]["version"]),
            **{name: dg.MetadataValue.md(as_markdown(svg, name)) for name, svg in pictures.items()},
            **shown_importance(build, flywheel, last, drawn=bool(pictures)),
        )

    return body


_NO_FIGURES = frozenset({"promoted", "reason", "failed", "value"})
"""Of a verdict, what is no metric of its own on a version's run."""


def _skipped(reason: str) -> dict[str, Any]:
    blank = dict.fromkeys(MODEL_SCHEMA)
    del blank[PARTITION]
    return blank | {"trained": False, "promoted": False, "failed": False, "verdict": reason}


def _numbers(frame: pl.DataFrame, metric: str) -> dict[date, dict[str, float]]:
    """Give numbers of each training under the names that they always have."""
    names = {"value": metric, "champion_value": f"{metric}_of_champion"}
    names |= {n: n for n in ("gain", "calibration_error", "policy_gain", "n_rows", "n_holdout")}
    return {
        row[PARTITION]: {said: row[name] for name, said in names.items() if row[name] is not None}
        for row in frame.filter("trained").iter_rows(named=True)
    }


def _train(build: Build, flywheel: Flywheel, day: date) -> tuple[dict[str, Any], dict[str, str]]:
    """Train, judge and register a challenger: the row that says what came of it, and pictures."""
    table, (first, last) = f"{flywheel.name}/training_set", window(flywheel, day)
    read = build.tables.version(table) or 0
    rows = build.tables.read(table, training_schema(flywheel), first, last, version=read)
    standing = ledger_of(build, flywheel).champion(day - DAY)
    registered: list[int] = []
    sources: dict[int, TrainingRows] = {}
    loaded_as: list[Scorer] = []
    matured = rows.collect()
    holdout, pictures = split(matured, flywheel, day)[1], {}

    def admit(trained: "Trained", used: pl.DataFrame) -> Scorer:
        source = TrainingRows(
            table=table,
            delta_version=read,
            first=used.select(pl.col(PARTITION).min()).item(),
            last=used.select(pl.col(PARTITION).max()).item(),
            n_rows=used.height,
            sha256=rows_digest(used, flywheel),
            declaration=training_digest(flywheel),
        )
        version = register_version(build, flywheel, day, trained, source, used, registered)
        registered.append(version)
        sources[version] = source
        loaded = version_scorer(build, flywheel, version)
        loaded_as.append(loaded)
        # Of what was trained again on everything too: it has no rows that it did not learn from.
        score = draw(holdout, loaded_as[0](holdout), flywheel).score
        _keep_profile(build, flywheel, day, version, used, score)
        return loaded

    champion = None
    if standing is not None:
        champion = ledger_scorer(build, flywheel, standing.judged_version, standing.since)
    made = challenge(matured, flywheel, day, champion, admit)
    if made.verdict.value is not None:
        keep_importance(
            build, flywheel, importance(holdout, loaded_as[0], flywheel, registered[0], day)
        )
        pictures = draw_judged(build, flywheel, day, registered[0], holdout, loaded_as[0])
    verdict, n_rows = asdict(made.verdict), made.n_rows
    if registered:
        n_rows = sources[registered[0]].n_rows
        figures = {k: v for k, v in verdict.items() if k not in _NO_FIGURES}
        figures |= {flywheel.model.metric: verdict["value"], "n_rows": n_rows}
        for version in registered:
            build.registry.log_metrics(registered_name(flywheel), version, figures)
    row = _skipped(verdict.pop("reason")) | {
        **verdict,
        "trained": bool(registered),
        "version": registered[-1] if registered else None,
        "judged_version": registered[0] if registered else None,
        "n_rows": n_rows,
        "n_holdout": made.n_holdout,
        "metric": flywheel.model.metric,
        "champion_version": standing.version if standing else None,
    }
    for version, source in sources.items():
        describe_version(build, flywheel, version, source, row)
    return row, pictures


def _keep_profile(  # noqa: PLR0913, PLR0917  whose profile it is, and of what
    build: Build, flywheel: Flywheel, day: date, version: int, rows: pl.DataFrame, score: Floats
) -> None:
    """Keep what drift is measured against: training rows, and scores of rows that came after."""
    key = f"{flywheel.name}/profile"
    old = build.tables.read(key, PROFILE_SCHEMA, day, day).filter(pl.col("version") != version)
    new = profile(rows, score, flywheel, version, day)
    build.tables.replace(key, pl.concat([old.collect(), new]), PROFILE_SCHEMA, day, day)


def _promote(
    build: Build, flywheel: Flywheel, day: date, row: dict[str, Any], *, again: bool
) -> None:
    """Write the gate's word into the ledger."""
    columns = {c: row[c] for c in PROMOTION_SCHEMA if c in row}
    entry = {**columns, "reason": row["verdict"]} if row["promoted"] else None
    if entry is not None or build.tables.exists(ledger_of(build, flywheel).key):
        ledger_of(build, flywheel).promoted_by_gate(day, entry, again=again)
