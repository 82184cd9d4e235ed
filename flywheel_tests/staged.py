"""Real data through the stages' own functions, without Dagster."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.candidates import candidates
from flywheel_assets.stages.collect import observation_schema, settle, validate
from flywheel_assets.stages.decisions import DECISION_COLUMNS, candidate_type
from flywheel_assets.stages.features import features
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.organize import facts as modelled
from flywheel_assets.stages.policy import decide
from flywheel_assets.stages.seen import Snapshots
from flywheel_assets.stages.training_set import training_set
from flywheel_assets.stores.sources import read_source

Facts = Mapping[Fact, pl.DataFrame]


def organized(
    flywheel: Flywheel, sources: Mapping[str, Path], first: date, last: date
) -> dict[Fact, pl.DataFrame]:
    """Collect and organize a range of days, in one go."""
    things = catalog([flywheel])
    collected = {o: _collected(o, sources[o.name], first, last) for o in things.observations}
    return {
        fact: modelled(
            collected[fact.observation], pl.DataFrame(schema=fact_schema(fact)), fact
        ).select(*fact_schema(fact))
        for fact in things.facts
    }


def _collected(observation: Observation, path: Path, first: date, last: date) -> pl.DataFrame:
    raw = read_source(observation, path, first, last, start=first)
    assert raw is not None
    assert observation.source is not None
    checked = validate(raw, observation, observation.source)
    # What no time dates belongs to the day of its file, if at all: it is rejected.
    inside = checked.filter(pl.col(PARTITION).is_between(first, last))
    nothing = pl.DataFrame(schema=observation_schema(observation))
    return settle(inside, nothing, observation).observations


def snapshots(flywheel: Flywheel, facts: Facts, days: Sequence[date]) -> Snapshots:
    """Compute the views of some days."""
    return {view: features(facts[view.fact], {}, view, list(days)) for view in flywheel.views}


def of_day(views: Snapshots, day: date) -> Snapshots:
    """Take one day of the views."""
    return {view: rows.filter(pl.col(PARTITION) == day) for view, rows in views.items()}


def matured(
    flywheel: Flywheel, facts: Facts, views: Snapshots, days: Sequence[date]
) -> pl.DataFrame:
    """Give the training rows of the decisions of some days, each by the bootstrap rule."""
    decided = []
    for day in days:
        considered = candidates(of_day(views, day), flywheel, facts)
        rows = decide(considered, None, flywheel, day, None)
        candidate = pl.struct(f.name for f in candidate_type(flywheel).fields)
        decided.append(
            rows.select(*DECISION_COLUMNS, candidate.struct.json_encode().alias("candidate"))
        )
    return training_set(pl.concat(decided), views, facts[flywheel.outcome.fact], flywheel)
