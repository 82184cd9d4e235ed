"""Candidates: who is considered, whom the filters leave, with what a decision about them sees."""

import math
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

import polars as pl

from flywheel_assets.declare.candidates import AlreadySeen, FrequencyCap, Pairs
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.features import Aggregation
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import AS_OF
from flywheel_assets.errors import FlywheelError
from flywheel_assets.point_in_time import windows
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.decisions import DECIDED_AT, ENTITY_ID, acted_on, entity_id
from flywheel_assets.stages.generators import suggested
from flywheel_assets.stages.seen import Snapshots, seen, spine_schema

Facts = Mapping[Fact, pl.DataFrame]
_SEEN = "rows_in_window"


def candidates(
    snapshots: Snapshots,
    flywheel: Flywheel,
    facts: Facts = MappingProxyType({}),
    published: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Find who a day's decisions are about.

    Parameters
    ----------
    snapshots : mapping of FeatureView to DataFrame
        Each view's partition of the day.
    facts : mapping of Fact to DataFrame
        What generators and filters look at, `reaches` back; more does no harm.
    published : DataFrame, optional
        Rows of ``organize/fct_decision`` that a frequency cap counts.

    Returns
    -------
    DataFrame
        One row for each candidate, with all that its decision sees; in the order of the keys.

    Raises
    ------
    FlywheelError
        When a frequency cap has nothing to count.
    """
    considered = flywheel.policy.candidates
    keys = list(flywheel.entity.keys)
    if isinstance(considered, Pairs):
        pairs = _pairs(considered, snapshots, facts, flywheel)
        return seen(_filtered(pairs, flywheel, facts, published).sort(keys), snapshots, flywheel)
    frame = seen(snapshots[flywheel.views[0]].sort(keys), snapshots, flywheel)
    return _filtered(frame.filter(considered), flywheel, facts, published)


def reaches(policy: Policy) -> dict[Fact, timedelta | None]:
    """Say how many partitions back generators and filters look at each fact; None for all."""
    found: dict[Fact, timedelta | None] = {}
    spans: list[tuple[Fact, timedelta | None]]
    spans = [(g.fact, g.window) for g in policy.generators]
    spans += [(f.fact, f.within) for f in policy.filters if isinstance(f, AlreadySeen)]
    for fact, window in spans:
        back = None
        if window is not None:
            # A partition holds what became known on its day; little happens after it is known.
            back = math.ceil((window + fact.observation.clock_tolerance) / DAY) * DAY
        known = found.get(fact, back)
        found[fact] = None if back is None or known is None else max(back, known)
    return found


def counts_back(policy: Policy) -> timedelta | None:
    """Say how many partitions of published decisions a frequency cap counts; None without one."""
    spans = [f.within for f in policy.filters if isinstance(f, FrequencyCap)]
    return max(spans, default=None)


def _pairs(declared: Pairs, snapshots: Snapshots, facts: Facts, flywheel: Flywheel) -> pl.DataFrame:
    """Merge what the generators suggest to whom is considered."""
    of = snapshots[declared.of]
    keys = list(flywheel.entity.keys)
    schema = spine_schema(flywheel)
    if of.is_empty():
        return pl.DataFrame(schema=schema)
    entities = of if declared.where is None else of.filter(declared.where)
    entities = entities.select(keys[0])
    as_of = of[AS_OF][0]
    frame: pl.DataFrame | None = None
    for generator in declared.generators:
        new = suggested(generator, facts[generator.fact], entities, keys, as_of)
        frame = new if frame is None else frame.join(new, on=keys, how="full", coalesce=True)
    assert frame is not None  # noqa: S101  pairs are declared with one generator or more
    moment = pl.lit(as_of).cast(schema[AS_OF]).alias(AS_OF)
    return frame.with_columns(moment).select(*schema)


def _filtered(
    frame: pl.DataFrame, flywheel: Flywheel, facts: Facts, published: pl.DataFrame | None
) -> pl.DataFrame:
    for rule in flywheel.policy.filters:
        if isinstance(rule, AlreadySeen):
            frame = _unseen(frame, rule, facts[rule.fact], flywheel)
        else:
            frame = _below_cap(frame, rule, published, flywheel)
    return frame


def _unseen(
    frame: pl.DataFrame, rule: AlreadySeen, rows: pl.DataFrame, flywheel: Flywheel
) -> pl.DataFrame:
    keys = [key for key in flywheel.entity.keys if key in rule.fact.schema]
    count = Aggregation(name=_SEEN, function="count", window=rule.within, where=rule.where)
    found = windows(rows, frame.select(*keys, AS_OF), [count], by=keys)
    return frame.filter(found[_SEEN] == 0)


def _below_cap(
    frame: pl.DataFrame, rule: FrequencyCap, published: pl.DataFrame | None, flywheel: Flywheel
) -> pl.DataFrame:
    if published is None:
        raise FlywheelError(
            expected=f"the published decisions that a frequency cap of {flywheel.name} counts",
            found="none",
            remedy="pass rows of organize/fct_decision, if only an empty frame of its columns",
        )
    if frame.is_empty():
        return frame
    as_of = frame[AS_OF][0]
    acted = published.filter(pl.col("flywheel") == flywheel.name).filter(
        acted_on(flywheel.policy),
        pl.col(DECIDED_AT) < as_of,
        pl.col(DECIDED_AT) >= as_of - rule.within,
    )
    capped = acted.group_by(ENTITY_ID).len().filter(pl.col("len") >= rule.times)
    named = frame.with_columns(entity_id(flywheel))
    return named.join(capped, on=ENTITY_ID, how="anti", maintain_order="left").drop(ENTITY_ID)
