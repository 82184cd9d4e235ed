"""<flywheel>/training_set."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.collect import DECISION_SCHEMA
from flywheel_assets.dagster_assets.coming_back import require_back
from flywheel_assets.dagster_assets.features import inputs, read_snapshots
from flywheel_assets.dagster_assets.table_asset import table_asset
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import AS_OF, PARTITION
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.decisions import DECIDED_AT
from flywheel_assets.stages.features import reach
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.seen import seen_again, spine_schema
from flywheel_assets.stages.training_set import (
    ahead,
    decided_on,
    followed_schema,
    training_schema,
    training_set,
)


def training_set_asset(build: Build, flywheel: Flywheel) -> dg.AssetsDefinition:
    """Compile a training set."""
    outcome = flywheel.outcome
    schema = training_schema(flywheel)

    def check(frame: pl.DataFrame) -> list[checks.Check]:
        return checks.training_set(frame, _again(build, flywheel, frame))

    return table_asset(
        build,
        build.spec(
            f"{flywheel.name}/training_set",
            stage="training_set",
            owners=outcome.owners,
            description=f"Decisions whose outcome has matured. {outcome.description}",
            schema=schema,
            columns={**outcome.fact.descriptions, **flywheel.descriptions},
            deps=_deps(flywheel),
        ),
        schema,
        stage="training_set",
        needs=lambda first, last: _needs(flywheel, first, last),
        make=lambda first, last: _assemble(build, flywheel, first, last),
        check=check,
        empty=True,  # what was decided has to have come back: it was decided again about nobody
    )


def _needs(flywheel: Flywheel, first: date, last: date) -> Iterator[tuple[str, date, date]]:
    decided, newest = decided_on(flywheel, first), decided_on(flywheel, last)
    yield "organize/fct_decision", decided + DAY, newest + DAY
    yield from ((f"features/{view.name}", decided, newest) for view in flywheel.views)
    for fact in _followers(flywheel):
        yield f"organize/fct_{fact.name}", decided - ahead(fact), last


def _assemble(build: Build, flywheel: Flywheel, first: date, last: date) -> pl.DataFrame:
    decided, newest = decided_on(flywheel, first), decided_on(flywheel, last)
    require_back(build, flywheel, decided, newest)
    decisions = build.tables.read(
        "organize/fct_decision", DECISION_SCHEMA, decided + DAY, newest + DAY
    )
    outcome = flywheel.outcome.fact
    followed = [
        build.tables.read(
            f"organize/fct_{fact.name}",
            followed_schema(flywheel) if fact is outcome else fact_schema(fact),
            decided - ahead(fact),
            last,
        )
        for fact in _followers(flywheel)
    ]
    made, facts, *exposures = pl.collect_all(
        [decisions.filter(flywheel=flywheel.name).sort("observation_id"), *followed]
    )
    snapshots = read_snapshots(build, flywheel, decided, newest)
    return training_set(made, snapshots, facts, flywheel, *exposures)


def _again(build: Build, flywheel: Flywheel, rows: pl.DataFrame) -> pl.DataFrame:
    """Compute what decisions saw once more, from facts and dimensions as they are now."""
    spine = rows.select(
        *(name for name in spine_schema(flywheel) if name != AS_OF), pl.col(DECIDED_AT).alias(AS_OF)
    )
    if rows.is_empty():
        return spine
    matured = rows[PARTITION].unique().sort().to_list()
    first, last = decided_on(flywheel, matured[0]), decided_on(flywheel, matured[-1])
    made_of = {view: inputs(build, view, first, last) for view in flywheel.views}
    return seen_again(spine, made_of, flywheel, _unseen(build, flywheel, first, last))


def _unseen(build: Build, flywheel: Flywheel, first: date, last: date) -> dict[str, list[date]]:
    """Name the features that snapshots of some days were made without: declared later."""
    found: dict[str, list[date]] = {}
    for view in flywheel.views:
        key = f"features/{view.name}"
        called = build.meanings[key].old_names if key in build.meanings else {}
        for epoch in build.declared.epochs(key):
            made = list(days(max(first, epoch.first), min(last, epoch.last)))
            for name in view.descriptions:
                if made and epoch.meaning.columns.keys().isdisjoint((name, *called.get(name, ()))):
                    found.setdefault(name, []).extend(made)
    return found


def _followers(flywheel: Flywheel) -> tuple[Fact, ...]:
    """Name the facts that say what followed."""
    outcome = flywheel.outcome
    return (outcome.fact, outcome.exposure) if outcome.exposure else (outcome.fact,)


def _deps(flywheel: Flywheel) -> Iterator[dg.AssetDep]:
    """Depend on the decisions, on what they saw, and on what that was made of and what followed."""
    matures = flywheel.outcome.matures_after
    yield before("organize/fct_decision", matures - DAY, matures - DAY)
    reaches: dict[str, timedelta | None] = {}
    for view in flywheel.views:
        yield before(f"features/{view.name}", matures, matures)
        back = reach(view)
        _widen(reaches, f"organize/fct_{view.fact.name}", back and matures + back)
    for fact in _followers(flywheel):
        _widen(reaches, f"organize/fct_{fact.name}", matures + ahead(fact))
    yield from (before(key, back) for key, back in reaches.items())
    dimensions = dict.fromkeys(d.name for view in flywheel.views for d in view.dimensions)
    yield from (before(f"organize/dim_{name}") for name in dimensions)


def _widen(reaches: dict[str, timedelta | None], key: str, back: timedelta | None) -> None:
    known = reaches.get(key, back)
    reaches[key] = None if back is None or known is None else max(back, known)
