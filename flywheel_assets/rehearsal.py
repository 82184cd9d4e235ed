"""A flywheel turned in memory against a simulated world: the stages' own functions, no storage.

It decides what the Dagster loop decides on the same observations, in a hundredth of the time: to
compare policies before one of them meets a customer.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import polars as pl

from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.declare.rules import (
    EVENT_TIME,
    FILE,
    KNOWN_AT,
    LINE,
    OBSERVATION_ID,
    PARTITION,
    PROBLEM,
    RAW,
)
from flywheel_assets.errors import FlywheelError, nearest
from flywheel_assets.stages.candidates import candidates, counts_back, reaches
from flywheel_assets.stages.challenge import challenge
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.collect import observation_schema, settle, validate
from flywheel_assets.stages.decisions import (
    DECIDED_AT,
    DECISION_COLUMNS,
    candidate_type,
    decision_schema,
)
from flywheel_assets.stages.features import features
from flywheel_assets.stages.gate import Verdict
from flywheel_assets.stages.model import scorer, trains_on
from flywheel_assets.stages.organize import changes, dimension_schema, fact_schema, facts
from flywheel_assets.stages.parsing import LINKS, SAID
from flywheel_assets.stages.policy import decide
from flywheel_assets.stages.predicted import Predicted, Scorer
from flywheel_assets.stages.received import API
from flywheel_assets.stages.training_set import (
    ahead,
    decided_on,
    training_schema,
    training_set,
)

if TYPE_CHECKING:
    from flywheel_assets.stages.learners import Trained

Observations: TypeAlias = Mapping[str, pl.DataFrame]
"""By the observation's name: its fields, ``event_time`` (UTC), and, where they are not null,
``known_at`` (``event_time``, if left out), the ``decision_id`` that a row answers, its
``observation_id``, and that which it ``corrects`` or ``retracts``."""


class World(Protocol):
    """A product that can be simulated, a day at a time."""

    def history(self) -> Iterable[tuple[date, Observations]]:
        """Give the days before the first decision, oldest first."""

    def day(self, day: date, decisions: pl.DataFrame) -> Observations:
        """Let a day happen.

        Parameters
        ----------
        decisions : DataFrame
            Rows of ``<flywheel>/decisions`` that were published when the day began: those of the
            partition before; none on the first day.
        """


@dataclass
class Rehearsal:
    """A flywheel and a world that take turns, and what they remember.

    Parameters
    ----------
    learning : {"always", "once", "never"}
        ``once``: the first champion decides for ever. ``never``: the bootstrap rule does.
    scorer : callable, optional
        Decides instead of a model from the first day on, for example an oracle.

    Attributes
    ----------
    decisions : DataFrame
        Of the last day.
    considered : DataFrame
        What the last day's decisions saw.
    predicted : Predicted, optional
        What the champion expected of them; None where the bootstrap rule decided.
    trainings : list of tuple
        The day, the newest version, and what the gate said.
    """

    flywheel: Flywheel
    world: World
    learning: Literal["always", "once", "never"] = "always"
    scorer: Scorer | None = None
    decisions: pl.DataFrame = field(init=False)
    considered: pl.DataFrame = field(init=False)
    predicted: Predicted | None = field(default=None, init=False)
    version: int | None = field(default=None, init=False)
    trainings: list[tuple[date, int, Verdict]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._tables = Remembered(self.flywheel)
        self._champion = self.scorer
        self._judged: Scorer | None = None
        self._registered = 0
        self._snapshots: dict[date, dict[FeatureView, pl.DataFrame]] = {}
        self._published: dict[date, pl.DataFrame] = {}
        self._matured: dict[date, pl.DataFrame] = {}
        self.decisions = pl.DataFrame(schema=decision_schema(self.flywheel))
        self.considered = self.decisions
        self._tables.remember(self.world.history())

    def turn(self, day: date) -> pl.DataFrame:
        """Let a day happen, learn from what matured, and decide when it closes.

        Returns
        -------
        DataFrame
            The decisions, as in ``<flywheel>/decisions``.
        """
        self._tables.collect(day, day, self.world.day(day, self.decisions))
        views = self.flywheel.views
        self._snapshots[day] = {view: self._tables.features(view, day) for view in views}
        if self.learning != "never" and not self._settled:
            self._mature(day)
            if trains_on(self.flywheel.model, day):
                self._train(day)
        self.decisions = self._decide(day)
        self._published[day] = as_observed(self.decisions, self.flywheel)
        return self.decisions

    @property
    def _settled(self) -> bool:
        frozen = self.learning == "once" and self.version is not None
        return frozen or self.scorer is not None

    def _mature(self, day: date) -> None:
        model, outcome = self.flywheel.model, self.flywheel.outcome
        decided = decided_on(self.flywheel, day)
        made, snapshots = self._published.get(decided), self._snapshots.pop(decided, None)
        if made is None or snapshots is None:
            return
        exposure = (outcome.exposure,) if outcome.exposure else ()
        followed, *exposures = (
            self._tables.fact(fact, decided - ahead(fact)) for fact in (outcome.fact, *exposure)
        )
        self._matured[day] = training_set(made, snapshots, followed, self.flywheel, *exposures)
        self._matured.pop(day - model.training_window, None)

    def _train(self, day: date) -> None:
        nothing = pl.DataFrame(schema=training_schema(self.flywheel))
        rows = pl.concat([nothing, *self._matured.values()])
        scorers: list[Scorer] = []

        def admit(trained: "Trained", _: pl.DataFrame) -> Scorer:
            scorers.append(scorer(trained, self.flywheel))
            return scorers[-1]

        made = challenge(rows, self.flywheel, day, self._judged, admit)
        self._registered += len(scorers)
        self.trainings.append((day, self._registered, made.verdict))
        if made.promoted is not None:
            # The first was judged, the last is what was promoted: another, where that was refitted.
            self._judged, self._champion, self.version = scorers[0], scorers[-1], self._registered

    def _decide(self, day: date) -> pl.DataFrame:
        policy = self.flywheel.policy
        history = {
            fact: self._tables.fact(fact, None if back is None else day - back)
            for fact, back in reaches(policy).items()
        }
        counted = counts_back(policy)
        published = None
        if counted is not None:
            recent = [rows for decided, rows in self._published.items() if decided >= day - counted]
            published = pl.concat([as_observed(self.decisions.clear(), self.flywheel), *recent])
        considered = candidates(self._snapshots[day], self.flywheel, history, published)
        predicted = None
        if self._champion is not None and considered.height:
            predicted = self._champion(considered)
        self.considered, self.predicted = considered, predicted
        return decide(considered, predicted, self.flywheel, day, self.version)


def rehearse(rehearsal: Rehearsal, first: date, last: date) -> Iterable[pl.DataFrame]:
    """Turn from the first to the last day, and give each day's decisions."""
    return (rehearsal.turn(day) for day in days(first, last))


def without_exploration(flywheel: Flywheel) -> Flywheel:
    """Declare the same flywheel with a policy that leaves nothing to chance."""
    return replace(flywheel, decisions=replace(flywheel.policy, exploration=None, control=0.0))


class Remembered:
    """Observations, facts and dimensions that grow by a day at a time."""

    def __init__(self, flywheel: Flywheel) -> None:
        self._catalog = catalog([flywheel])
        self._observed = {o.name: _empty(observation_schema(o)) for o in self._catalog.observations}
        self._facts = {f: _empty(fact_schema(f)) for f in self._catalog.facts}
        self._dimensions = {d: _empty(dimension_schema(d)) for d in self._catalog.dimensions}

    def remember(self, history: Iterable[tuple[date, Observations]]) -> None:
        """Collect and organize history, as many days at once as duplicates are looked for in."""
        spans = [o.duplicates_within for o in self._catalog.observations]
        at_once = max(min(spans) // DAY, 1)
        told = iter(history)
        while chunk := list(islice(told, at_once)):
            names = dict.fromkeys(name for _, observations in chunk for name in observations)
            together = {
                name: pl.concat(said[name] for _, said in chunk if name in said) for name in names
            }
            self.collect(chunk[0][0], chunk[-1][0], together)

    def collect(self, first: date, last: date, observations: Observations) -> None:
        """Collect and organize what became known from a day to another."""
        for name in observations:
            if name not in self._observed:
                raise FlywheelError(
                    expected="observations that the flywheel declares",
                    found=f"{name!r}",
                    remedy=nearest(name, self._observed),
                )
        new = {
            o.name: self._settled(o, observations[o.name], first, last)
            if o.name in observations
            else self._observed[o.name].clear()
            for o in self._catalog.observations
        }
        for fact, earlier in self._facts.items():
            rows = facts(new[fact.observation.name], earlier, fact)
            self._facts[fact] = pl.concat([earlier, rows])
        for dimension, earlier in self._dimensions.items():
            name = dimension.observation.name
            rows = changes(new[name], earlier, dimension, self._observed[name].lazy())
            self._dimensions[dimension] = pl.concat([earlier, rows])

    def fact(self, fact: Fact, first: date | None) -> pl.DataFrame:
        """Give a fact's rows from a partition on; all, if none is named."""
        rows = self._facts[fact]
        return rows if first is None else rows.filter(pl.col(PARTITION) >= first)

    def dimension(self, dimension: Dimension) -> pl.DataFrame:
        """Give a dimension's changes."""
        return self._dimensions[dimension]

    def features(self, view: FeatureView, day: date) -> pl.DataFrame:
        """Compute a view as of the close of a day."""
        rows, longest = self._facts[view.fact], view.longest_window
        if longest is not None:
            back = math.ceil((longest + view.fact.observation.clock_tolerance) / DAY) * DAY
            rows = self.fact(view.fact, day - back)
        dimensions: dict[Dimension, pl.DataFrame] = {
            d: self._dimensions[d] for d in view.dimensions
        }
        return features(rows, dimensions, view, [day])

    def _settled(
        self, observation: Observation, rows: pl.DataFrame, first: date, last: date
    ) -> pl.DataFrame:
        checked = validate(as_raw(rows, observation), observation, API)
        known = self._observed[observation.name]
        same = checked.select(OBSERVATION_ID).drop_nulls().unique()
        again = known.join(same, on=OBSERVATION_ID, how="semi")
        new = settle(checked, again, observation).observations
        if (off := new.filter(~pl.col(PARTITION).is_between(first, last))).height:
            raise FlywheelError(
                expected=f"{observation.name} that became known from {first} to {last}",
                found=f"{off.height} rows of {off[PARTITION].unique().sort().to_list()}",
                remedy="give known_at, a time of the day on which the world tells them",
            )
        self._observed[observation.name] = pl.concat([known, new])
        return new


def as_raw(rows: pl.DataFrame, observation: Observation) -> pl.DataFrame:
    """Lay out a world's rows as the API's records are, for the same validation."""
    known = pl.col(KNOWN_AT) if KNOWN_AT in rows.columns else pl.col(EVENT_TIME).alias(KNOWN_AT)
    nothing = pl.lit(None, dtype=pl.String)
    said = (OBSERVATION_ID, *LINKS)
    links = [pl.col(c) if c in rows.columns else nothing.alias(c) for c in said]
    return rows.select(
        *observation.schema,
        EVENT_TIME,
        known,
        *(link.alias(SAID[name]) for name, link in zip(said, links, strict=True)),
        pl.lit("world").alias(FILE),
        pl.int_range(1, pl.len() + 1).alias(LINE),
        nothing.alias(PROBLEM),
        nothing.alias(RAW),
    )


def as_observed(decisions: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame:
    """Write decisions as they come back a partition later, in ``organize/fct_decision``."""
    candidate = pl.struct(f.name for f in candidate_type(flywheel).fields)
    return decisions.select(
        pl.col(PARTITION) + pl.duration(days=1),
        pl.col("decision_id").alias(OBSERVATION_ID),
        pl.col(DECIDED_AT).alias(EVENT_TIME),
        pl.col(DECIDED_AT).alias(KNOWN_AT),
        *DECISION_COLUMNS,
        candidate.struct.json_encode().alias("candidate"),
    ).sort(OBSERVATION_ID)


def _empty(schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(schema=dict(schema))
