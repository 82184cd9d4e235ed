"""What each table is declared to mean, column by column, as short digests that can be kept.

The same meaning has the same digest: names of Python variables, the order of declarations, their
formatting, descriptions and owners do not count.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from flywheel_assets.changes.decided import LOGGED
from flywheel_assets.changes.graph import ROWS, Column, Lineage
from flywheel_assets.changes.owners import owners
from flywheel_assets.changes.stages import lineage
from flywheel_assets.declare.candidates import AlreadySeen, Filter, Pairs
from flywheel_assets.declare.collect import Observation, Source
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Catalog, Flywheel, catalog
from flywheel_assets.declare.learn import Model
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.declare.rules import OBSERVATION_ID


@dataclass(frozen=True)
class Meaning:
    """One table.

    Parameters
    ----------
    columns : mapping of str to str
        Column, or ``*`` for which rows there are -> digest of how it is made, inputs aside.
    whole : mapping of str to str
        Column -> digest of how it is made with all that it is made of, back to what was observed.
        Logged decisions are observations.
    types : mapping of str to str
        Column -> its Polars data type, where the declaration gives it.
    users : mapping of str to list of str
        Column -> the other tables that are made of it, over any number of steps.
    words : mapping of str to str
        Column -> its description; that of the table under an empty name.
    owners : list of str
    """

    columns: Mapping[str, str]
    whole: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    owners: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """What the table means as a whole: the ``code_version`` of its asset."""
        return fingerprint(sorted(self.whole.items()), sorted(self.types.items()))


def meanings(flywheels: Iterable[Flywheel]) -> dict[str, Meaning]:
    """Give the meaning of every table, in the order of the loop.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> list(meanings([repurchase]))[:2]
    ['collect/order_line', 'organize/fct_order_line']
    """
    things = catalog(flywheels)
    graph, whose = lineage(things.flywheels), owners(things.flywheels)
    found = _own(things)
    defined = {Column(t, n): d for t in found for n, d in found[t]["columns"].items()}
    digests = _Digests(graph, defined)
    return {
        table: Meaning(
            **found.get(table, {"columns": {}}),
            whole={c.name: digests.of(c) for c in _columns(graph, table, found)},
            users=_users(graph, table),
            owners=list(whose[table]),
        )
        for table in graph.tables
    }


def _columns(graph: Lineage, table: str, found: Mapping[str, Any]) -> list[Column]:
    own = found[table]["columns"] if table in found else ()
    return list(dict.fromkeys([*graph.columns(table), *(Column(table, name) for name in own)]))


class _Digests:
    """Digests of columns with all that they are made of."""

    def __init__(self, graph: Lineage, own: Mapping[Column, str]) -> None:
        self._graph, self._own = graph, own
        self._known: dict[Column, str] = {}

    def of(self, column: Column) -> str:
        if column not in self._known:
            parents = self._parents(column)
            inside = sorted((str(parent), self.of(parent)) for parent in parents)
            self._known[column] = fingerprint(self._own.get(column, ""), inside)
        return self._known[column]

    def _parents(self, column: Column) -> Collection[Column]:
        # What was logged stays, so does an id that a record without the newest fields has, and the
        # champion before.
        if column.table == LOGGED[0] or column.name in {OBSERVATION_ID, "champion_version"}:
            return ()
        parents = self._graph.of(column)
        if column.name == "alternatives" or column.table.endswith("/drift"):
            # They look at versions and decisions that are there, which stay as they are.
            return [p for p in parents if not p.table.endswith(("/model", "/decisions"))]
        return parents


def _users(graph: Lineage, table: str) -> dict[str, list[str]]:
    parts: dict[str, list[Column]] = {}
    for column in graph.columns(table):
        parts.setdefault(column.name, []).append(column)
    return {
        name: list(dict.fromkeys(c.table for c in graph.downstream(of) if c.table != table))
        for name, of in parts.items()
    }


def _own(things: Catalog) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for observation in things.observations:
        found[f"collect/{observation.name}"] = _collect(observation)
    for fact in things.facts:
        found[f"organize/fct_{fact.name}"] = _fact(fact)
    for dimension in things.dimensions:
        found[f"organize/dim_{dimension.name}"] = _dimension(dimension)
    for view in things.views:
        found[f"features/{view.name}"] = _view(view)
    for flywheel in things.flywheels:
        found |= {f"{flywheel.name}/{stage}": made for stage, made in _learn(flywheel).items()}
    return found


def _collect(observation: Observation) -> dict[str, Any]:
    source = observation.source
    columns = {
        f.name: fingerprint(
            str(f.dtype),
            f.nullable,
            f.minimum,
            f.maximum,
            sorted(map(repr, f.allowed)) if f.allowed is not None else None,
            source.source_column(f.name) if source else None,
        )
        for f in observation.fields
    }
    told = sorted(observation.id_fields or ("every field",))
    rows = fingerprint(told, observation.duplicates_within, observation.clock_tolerance)
    return {
        "columns": {ROWS: rows, "event_time": _read(source), **columns},
        "types": {f.name: str(f.dtype) for f in observation.fields},
        "words": {"": observation.description, **observation.descriptions},
    }


def _read(source: Source | None) -> str:
    if source is None:
        return fingerprint("received by the API alone")
    # Which column a field is read from is part of the field.
    told = [(f.name, getattr(source, f.name)) for f in fields(source) if f.name != "columns"]
    return fingerprint(type(source).__name__, sorted(told))


def _fact(fact: Fact) -> dict[str, Any]:
    derived = {name: fingerprint(expression) for name, expression in fact.derive.items()}
    carried = dict.fromkeys(fact.observation.schema, "")
    rule = fact.cancellation
    ruled = {} if rule is None else {"is_cancellation": fingerprint(rule.when)}
    if rule is not None:
        ruled |= dict.fromkeys(rule.measures, fingerprint("negative where", rule.when))
    if rule is not None and rule.becomes == "retraction":
        ruled["retracts"] = fingerprint(rule.when, sorted(rule.match), sorted(rule.measures))
    return {
        "columns": {**carried, **derived, **ruled},
        "types": {name: str(dtype) for name, dtype in fact.schema.items()},
        "words": {"": fact.description},
    }


def _dimension(dimension: Dimension) -> dict[str, Any]:
    rows = fingerprint(sorted(dimension.attributes), sorted(dimension.entity.keys))
    return {
        "columns": {ROWS: rows, **dict.fromkeys(dimension.attributes, "")},
        "words": {"": dimension.description},
    }


def _view(view: FeatureView) -> dict[str, Any]:
    aggregated = {
        a.name: fingerprint(
            *(a.function, a.column, a.window, a.where, a.n, a.q, a.over, a.by, a.aligned)
        )
        for a in view.aggregations
    }
    attributes = {
        name: fingerprint(dimension.name)
        for dimension, names in view.dimensions.items()
        for name in names
    }
    computed = {e.name: fingerprint(e.expression) for e in view.expressions}
    rows = fingerprint(sorted(view.entity.keys), view.fact.name, view.longest_window)
    return {
        "columns": {ROWS: rows, **aggregated, **attributes, **computed},
        "words": {"": view.description, **view.descriptions},
    }


def _learn(flywheel: Flywheel) -> dict[str, dict[str, Any]]:
    outcome, model, policy = flywheel.outcome, flywheel.model, flywheel.policy
    followed = (outcome.fact.name, outcome.horizon, outcome.settle)
    exposure = outcome.exposure.name if outcome.exposure else None
    seen = {
        g.name: fingerprint(g.kind, g.fact.name, g.window, g.n, g.where) for g in policy.generators
    }
    crossed = {e.name: fingerprint(e.expression) for e in flywheel.expressions}
    views = sorted(view.name for view in flywheel.views)
    baselines = {f"baseline {n}": fingerprint(e) for n, e in policy.baselines.items()}
    decided = fingerprint(policy.bootstrap, policy.allocation, policy.exploration, policy.control)
    return {
        "training_set": {
            "columns": {
                ROWS: fingerprint(outcome.matures_after, exposure),
                "outcome": fingerprint(*followed, outcome.where),
                "reward": fingerprint(*followed, outcome.reward),
                **dict.fromkeys(sorted({*flywheel.descriptions} - {*crossed, *seen}), ""),
                **crossed,
            },
            "words": {"": outcome.description},
        },
        "model": {
            "columns": {
                **dict.fromkeys(("version", "judged_version"), _trained(model)),
                **dict.fromkeys(("policy_value", "policy_gain", "policy_gain_lower"), decided),
            },
            "words": {"": model.description},
        },
        "decisions": {
            "columns": {
                ROWS: fingerprint(*_considered(policy), views),
                **seen,
                "score": fingerprint(policy.bootstrap, policy.rank_by, sorted(model.features)),
                "action": fingerprint(policy.allocation, policy.exploration, policy.control),
            },
            "words": {"": policy.description},
        },
        "drift": {"columns": {"value": fingerprint(model.drift)}, "words": {}},
        "performance": {
            "columns": {**baselines, "alternatives": decided},
            "words": {"": flywheel.description},
        },
    }


def _considered(policy: Policy) -> tuple[Any, ...]:
    filters = sorted(fingerprint(*_filter(rule)) for rule in policy.filters)
    candidates = policy.candidates
    if isinstance(candidates, Pairs):
        names = sorted(generator.name for generator in candidates.generators)
        return candidates.of.name, candidates.where, names, filters
    return candidates, filters


def _filter(rule: Filter) -> tuple[Any, ...]:
    if isinstance(rule, AlreadySeen):
        return rule.fact.name, rule.where, rule.within
    return rule.times, rule.within


def _trained(model: Model) -> str:
    told = [
        (f.name, getattr(model, f.name))
        for f in fields(model)
        if f.name not in {"name", "features", "owners", "description", "drift"}
    ]
    return fingerprint(model.name, sorted(model.features), told)
