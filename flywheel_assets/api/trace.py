"""What one observation or decision led to, table by table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from flywheel_assets.declare.collect import Entity, Observation
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import (
    AS_OF,
    CORRECTS,
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
    RETRACTS,
)
from flywheel_assets.errors import HomeError, many
from flywheel_assets.stages.challenge import MODEL_SCHEMA, trained_on
from flywheel_assets.stages.collect import observation_schema
from flywheel_assets.stages.decisions import DECIDED_AT, decision_schema
from flywheel_assets.stages.features import feature_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.training_set import LABEL, training_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.models import Models
from flywheel_assets.stores.received import RECEIVED_SCHEMA, received_table
from flywheel_assets.stores.registry import Registry, registered_name
from flywheel_assets.stores.tables import Tables

Row = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One link of the chain: in which table, and what stands there."""

    table: str
    what: str


def trace(home: Home, flywheels: Iterable[Flywheel], identifier: str) -> list[Step]:
    """Follow an observation or a decision through every table, by its id.

    Returns
    -------
    list of Step
        In the order of the loop.

    Raises
    ------
    HomeError
        Where nothing of that id was collected or decided.
    """
    things, tables = catalog(flywheels), Tables(home.lakehouse)
    chain = _Chain(home, tables, things.flywheels, things.facts, things.views)
    for flywheel in things.flywheels:
        for row in _rows(
            tables,
            f"{flywheel.name}/decisions",
            decision_schema(flywheel),
            {DECISION_ID: identifier},
        ):
            return list(chain.of_decision(flywheel, row))
    found: list[Step] = []
    for observation in things.observations:
        key, schema = f"collect/{observation.name}", observation_schema(observation)
        for row in _rows(tables, key, schema, {OBSERVATION_ID: identifier}):
            found += chain.of_observation(observation, row)
    if found:
        return found
    raise HomeError(
        expected="the id of an observation that was collected, or of a decision",
        found=identifier,
        remedy="look it up in collect/<observation> or <flywheel>/decisions; what was received "
        "today is collected when the day has closed",
    )


@dataclass(frozen=True)
class _Chain:
    home: Home
    tables: Tables
    flywheels: tuple[Flywheel, ...]
    facts: tuple[Fact, ...]
    views: tuple[FeatureView, ...]

    def of_observation(self, observation: Observation, row: Row) -> Iterator[Step]:
        """Follow an observation from where it was received to later decisions."""
        identifier = row[OBSERVATION_ID]
        wanted = {OBSERVATION_ID: identifier, "status": "accepted"}
        table = received_table(observation.name)
        received = _rows(self.tables, table, RECEIVED_SCHEMA, wanted)
        for entry in received:
            yield Step(
                table, f"received through the API at {entry[KNOWN_AT]}, as no. {entry['seq']}"
            )
        if not received:
            yield Step(f"product/{observation.name}", "told by a file or table of the source")
        what = f"happened {row[EVENT_TIME]}, known {row[KNOWN_AT]}, partition {row[PARTITION]}"
        yield Step(f"collect/{observation.name}", f"{what}{self._answered(row[DECISION_ID])}")
        for fact in self.facts:
            if fact.observation is observation:
                yield from self._of_fact(fact, identifier)

    def _answered(self, decision: str | None) -> str:
        """Say which decision an observation answers, and whether that was made."""
        if decision is None:
            return ""
        wanted, schema = {DECISION_ID: decision}, {DECISION_ID: pl.String()}
        of = self.flywheels
        made = any(_rows(self.tables, f"{f.name}/decisions", schema, wanted) for f in of)
        return f"; answers {decision}{'' if made else ', a decision that nobody made'}"

    def _of_fact(self, fact: Fact, identifier: str) -> Iterator[Step]:
        table, schema = f"organize/fct_{fact.name}", fact_schema(fact)
        for row in _rows(self.tables, table, schema, {OBSERVATION_ID: identifier}):
            values = {f.name: row[f.name] for f in fact.observation.fields}
            yield Step(table, f"partition {row[PARTITION]}: {_values(values)}")
            until = None
            for link, verb in ((CORRECTS, "corrected"), (RETRACTS, "withdrawn")):
                for later in _rows(self.tables, table, schema, {link: identifier}):
                    until = min(filter(None, (until, later[KNOWN_AT])))
                    by = later[OBSERVATION_ID]
                    yield Step(table, f"{verb} by {by}, known {later[KNOWN_AT]}")
            for view in self.views:
                if view.fact is fact:
                    yield from self._of_view(view, row, until)
            for flywheel in self.flywheels:
                if flywheel.outcome.fact is fact:
                    yield from self._of_outcome(flywheel, row)

    def _of_view(self, view: FeatureView, fact: Row, until: datetime | None) -> Iterator[Step]:
        table, visible = f"features/{view.name}", max(fact[EVENT_TIME], fact[KNOWN_AT])
        seen = self._of_entity(table, feature_schema(view), view.entity, fact).sort(AS_OF)
        inside = pl.col(AS_OF) > visible
        if view.longest_window is not None:
            inside &= pl.col(AS_OF) <= fact[EVENT_TIME] + view.longest_window
        if until is not None:
            inside &= pl.col(AS_OF) <= until
        moved = seen.filter(inside)
        if moved.is_empty():
            return
        first = moved.row(0, named=True)
        before = seen.filter(pl.col(AS_OF) < first[AS_OF]).tail(1).to_dicts() or [{}]
        names = [a.name for a in view.aggregations]
        changed = [
            f"{n} {_said(before[0].get(n))} to {_said(first[n])}"
            for n in names
            if first[n] != before[0].get(n)
        ]
        days = f"partitions {first[PARTITION]} to {moved[PARTITION][-1]}"
        yield Step(table, f"{days}; on the first: {', '.join(changed) or 'no change'}")
        for flywheel in self.flywheels:
            if view in flywheel.views:
                moments = moved[AS_OF]
                yield from self._of_training(
                    flywheel, fact, pl.col(DECIDED_AT).is_in(moments.implode()), "saw it"
                )
                yield from self._of_decisions(flywheel, fact, moments)

    def _of_outcome(self, flywheel: Flywheel, fact: Row) -> Iterator[Step]:
        outcome, happened = flywheel.outcome, fact[EVENT_TIME]
        decided = pl.col(DECIDED_AT)
        followed = (decided <= happened) & (decided > happened - outcome.horizon)
        followed &= decided > fact[KNOWN_AT] - outcome.matures_after
        if fact[DECISION_ID] is not None:
            followed &= pl.col(DECISION_ID) == fact[DECISION_ID]
        yield from self._of_training(flywheel, fact, followed, "had it as an outcome")

    def _of_training(
        self, flywheel: Flywheel, entity: Row, which: pl.Expr, how: str
    ) -> Iterator[Step]:
        table = f"{flywheel.name}/training_set"
        rows = self._of_entity(table, training_schema(flywheel), flywheel.entity, entity)
        rows = rows.filter(which).sort(PARTITION)
        if rows.is_empty():
            return
        first, last = rows[PARTITION][0], rows[PARTITION][-1]
        what = f"{many(rows.height, 'matured decision')} {how}, partitions {first} to {last}"
        yield Step(table, f"{what}; {rows[LABEL].sum()} of them positive")
        yield from self._of_models(flywheel, rows[PARTITION])

    def _of_models(self, flywheel: Flywheel, matured: pl.Series) -> Iterator[Step]:
        table = f"{flywheel.name}/model"
        trained = self.tables.read(table, MODEL_SCHEMA).filter("trained").sort(PARTITION).collect()
        versions = [
            f"{row['version']}{' (promoted)' if row['promoted'] else ''}"
            for row in trained.iter_rows(named=True)
            if matured.is_between(*self._learnt_from(flywheel, row), closed="both").any()
        ]
        if versions:
            yield Step(table, f"trained on by {flywheel.model.name} version {', '.join(versions)}")

    def _learnt_from(self, flywheel: Flywheel, row: Row) -> tuple[date, date]:
        """Give the matured partitions that a version was trained on."""
        if not flywheel.model.from_last_change:
            return trained_on(flywheel, row)
        # How many of its first days a change cut off, the registry alone knows.
        registry = Registry(Models(self.home.mlflow))
        try:
            rows = registry.rows_of(registered_name(flywheel), row["version"])
        except HomeError:  # the model had another name then: its window is all that is known
            return trained_on(flywheel, row)
        return rows.first, rows.last

    def _of_decisions(self, flywheel: Flywheel, entity: Row, moments: pl.Series) -> Iterator[Step]:
        table = f"{flywheel.name}/decisions"
        rows = self._of_entity(table, decision_schema(flywheel), flywheel.entity, entity)
        rows = rows.filter(pl.col(DECIDED_AT).is_in(moments.implode())).sort(DECIDED_AT)
        if rows.is_empty():
            return
        first = rows.row(0, named=True)
        yield Step(table, f"{many(rows.height, 'decision')} saw it; the first: {_decision(first)}")

    def of_decision(self, flywheel: Flywheel, row: Row) -> Iterator[Step]:
        """Follow a decision from what it saw to what it taught."""
        known = dict(row)
        for view in flywheel.views:
            snapshot = {PARTITION: row[PARTITION], **{k: known.get(k) for k in view.entity.keys}}
            table = f"features/{view.name}"
            for seen in _rows(self.tables, table, feature_schema(view), snapshot):
                values = {a.name: seen[a.name] for a in view.aggregations}
                yield Step(table, f"what it saw on {seen[PARTITION]}: {_values(values)}")
                known = {**seen, **known}
        yield Step(f"{flywheel.name}/decisions", _decision(row))
        for fact in self.facts:
            table = f"organize/fct_{fact.name}"
            for answer in _rows(
                self.tables, table, fact_schema(fact), {DECISION_ID: row[DECISION_ID]}
            ):
                what = f"{answer[OBSERVATION_ID]} answers it, happened {answer[EVENT_TIME]}"
                yield Step(table, what)
        which = pl.col(DECISION_ID) == row[DECISION_ID]
        yield from self._of_training(flywheel, row, which, "is this one")

    def _of_entity(
        self, table: str, schema: Mapping[str, Any], entity: Entity, row: Row
    ) -> pl.DataFrame:
        mine = [pl.col(key) == row[key] for key in entity.keys]
        return self.tables.read(table, schema).filter(*mine).collect()


def _rows(
    tables: Tables, table: str, schema: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[Row]:
    conditions = [pl.col(name) == value for name, value in wanted.items()]
    return tables.read(table, schema).filter(*conditions).collect().to_dicts()


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_said(value)}" for name, value in values.items())


def _said(value: object) -> str:
    """Write a value; of a float, what binary makes of its last digits is not told.

    Examples
    --------
    >>> _said(884.3299999999999), _said(1234567.89), _said(3)
    ('884.33', '1234567.89', '3')
    """
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _decision(row: Row) -> str:
    by = "the bootstrap rule" if row["model_version"] is None else f"model {row['model_version']}"
    score = "none" if row["score"] is None else f"{row['score']:.4g}"
    chance = f"propensity {row['propensity']:.3g}"
    return (
        f"{row[DECISION_ID]}: {row['action']} at {row[DECIDED_AT]}, rank {row['rank']}, "
        f"score {score} by {by}, {chance}"
    )
