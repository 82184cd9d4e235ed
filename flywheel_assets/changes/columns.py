"""How each column of each table is declared to be made, inputs aside, as digests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import polars as pl

from flywheel_assets.changes.decided import allocated_by
from flywheel_assets.changes.graph import ROWS, roots
from flywheel_assets.changes.names import first_names, originally
from flywheel_assets.declare.candidates import AlreadySeen, Filter, Pairs
from flywheel_assets.declare.collect import Observation, Source
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.features import Aggregation, FeatureView
from flywheel_assets.declare.field import Field
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Catalog, Flywheel
from flywheel_assets.declare.learn import Model
from flywheel_assets.declare.organize import Dimension, Fact

Rules = Mapping[str, Mapping[str, Sequence[Any]]]
"""Table -> column -> its contract."""
NO_RULES: Rules = MappingProxyType({})
_LATER = (("decimal", "."), ("thousands", None), ("null_values", ()))
"""Options that sources got later, as files were read before: saying so changes nothing."""


def made(things: Catalog, rules: Rules) -> dict[str, dict[str, Any]]:
    """Give what each table's `Meaning` says of itself.

    Parameters
    ----------
    rules : mapping
        Contracts that are to count as declared, instead of the fields' own.
    """
    found: dict[str, dict[str, Any]] = {}
    for observation in things.observations:
        table = f"collect/{observation.name}"
        found[table] = _collect(observation, rules.get(table, {}))
    for fact in things.facts:
        found[f"organize/fct_{fact.name}"] = _fact(fact)
    for dimension in things.dimensions:
        found[f"organize/dim_{dimension.name}"] = _dimension(dimension)
    for view in things.views:
        found[f"features/{view.name}"] = _view(view)
    for flywheel in things.flywheels:
        found |= {f"{flywheel.name}/{stage}": made for stage, made in _learn(flywheel).items()}
    return found


def _collect(observation: Observation, rules: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    names = first_names(observation)
    own = {f.name: _rules(f) for f in observation.fields}
    columns = {
        f.name: fingerprint(
            # Whole numbers are the same in more bits.
            str(pl.Int64() if f.dtype.is_integer() else f.dtype),
            *rules.get(f.name, own[f.name]),
            _source_column(observation, f),
            *([f.default] if f.is_added and f.default is not None else []),
        )
        for f in observation.fields
    }
    told = sorted(originally(observation.id_fields, names) or ("every field",))
    rows = fingerprint(told, observation.duplicates_within, observation.clock_tolerance)
    return {
        "columns": {ROWS: rows, "event_time": _read(observation.source), **columns},
        "rules": own,
        "retired": [f.name for f in observation.fields if f.retired],
        **_from_before(observation, observation.schema),
        "types": {f.name: str(f.dtype) for f in observation.fields},
        "words": {"": observation.description, **observation.descriptions},
    }


def _rules(field: Field) -> list[Any]:
    allowed = sorted(map(repr, field.allowed)) if field.allowed is not None else None
    return [field.nullable, field.minimum, field.maximum, allowed]


def _source_column(observation: Observation, field: Field) -> str | None:
    if observation.source is None:
        return None
    return observation.source.columns.get(field.name, field.identity)


def _from_before(observation: Observation, columns: Collection[str]) -> dict[str, Any]:
    """Say how a table's columns are found in partitions from before they were declared so."""
    fields = [f for f in observation.fields if f.name in columns]
    # What a file says of a new field is in it, and has to be collected; the API knew no such field.
    logged = fields if observation.source is None else []
    return {
        "old_names": {f.name: list(f.old_names) for f in fields if f.old_names},
        "fills": [f.name for f in logged if f.nullable or f.fills],
        "demands": [f.name for f in logged if not (f.nullable or f.fills)],
    }


def _read(source: Source | None) -> str:
    if source is None:
        return fingerprint("received by the API alone")
    # Which column a field is read from is part of the field.
    told = [
        (f.name, getattr(source, f.name))
        for f in fields(source)
        if f.name != "columns" and (f.name, getattr(source, f.name)) not in _LATER
    ]
    return fingerprint(type(source).__name__, sorted(told))


def _fact(fact: Fact) -> dict[str, Any]:
    names = first_names(fact.observation)
    derived = {name: fingerprint(originally(e, names)) for name, e in fact.derive.items()}
    carried = dict.fromkeys(fact.observation.schema, "")
    rule = fact.cancellation
    ruled: dict[str, str] = {}
    if rule is not None:
        when = originally(rule.when, names)
        ruled["is_cancellation"] = fingerprint(when)
        ruled |= dict.fromkeys(rule.measures, fingerprint("negative where", when))
    if rule is not None and rule.becomes == "retraction":
        match, measures = originally((rule.match, rule.measures), names)
        ruled["retracts"] = fingerprint(when, sorted(match), sorted(measures))
    return {
        **_from_before(fact.observation, fact.observation.schema),
        "columns": {**carried, **derived, **ruled},
        "types": {name: str(dtype) for name, dtype in fact.schema.items()},
        "words": {"": fact.description, **_checked(fact)},
    }


def _checked(fact: Fact) -> dict[str, str]:
    """Say by what the rows are checked, which changes none of them."""
    named = {f"in {r.table}": f"{r.columns}, {r.severity}" for r in fact.references}
    return named | ({"unique": str(fact.unique)} if fact.unique else {})


def _dimension(dimension: Dimension) -> dict[str, Any]:
    attributes = originally(dimension.attributes, first_names(dimension.observation))
    rows = fingerprint(sorted(attributes), sorted(dimension.entity.keys))
    return {
        # An attribute more is more rows, too: those in which it changed.
        "old_names": _from_before(dimension.observation, dimension.attributes)["old_names"],
        "columns": {ROWS: rows, **dict.fromkeys(dimension.attributes, "")},
        "words": {"": dimension.description},
    }


def _view(view: FeatureView) -> dict[str, Any]:
    aggregated = {a.name: _aggregation(a, view.fact) for a in view.aggregations}
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


def _aggregation(a: Aggregation, fact: Fact) -> str:
    column, where, over, by = (_of_fact(said, fact) for said in (a.column, a.where, a.over, a.by))
    return fingerprint(a.function, column, a.window, where, a.n, a.q, over, by, a.aligned)


def _learn(flywheel: Flywheel) -> dict[str, dict[str, Any]]:
    outcome, model, policy = flywheel.outcome, flywheel.model, flywheel.policy
    followed = (outcome.fact.name, outcome.horizon, outcome.settle)
    # One was all there was once: homes of then mean the same.
    enough = () if outcome.at_least == 1 else (outcome.at_least,)
    exposure = outcome.exposure.name if outcome.exposure else None
    seen = {
        g.name: fingerprint(g.kind, g.fact.name, g.window, g.n, _of_fact(g.where, g.fact))
        for g in policy.generators
    }
    crossed = {e.name: fingerprint(e.expression) for e in flywheel.expressions}
    views = sorted(view.name for view in flywheel.views)
    candidates = policy.candidates if isinstance(policy.candidates, pl.Expr) else None
    baselines = {f"baseline {n}": fingerprint(e) for n, e in policy.baselines.items()}
    decided = fingerprint(
        policy.bootstrap, policy.rank_by, policy.allocation, policy.exploration, policy.control
    )
    return {
        "training_set": {
            "columns": {
                ROWS: fingerprint(outcome.matures_after, exposure),
                "outcome": fingerprint(*followed, _of_fact(outcome.where, outcome.fact), *enough),
                "reward": fingerprint(
                    *followed,
                    _of_fact(outcome.reward, outcome.fact),
                    *(enough if outcome.reward is None else ()),
                ),
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
                ROWS: fingerprint(*_considered(policy), views, *_crossed(flywheel, candidates)),
                **seen,
                "score": fingerprint(
                    policy.bootstrap,
                    policy.rank_by,
                    sorted(model.features),
                    *_crossed(flywheel, policy.bootstrap),
                ),
                "action": fingerprint(
                    policy.allocation,
                    policy.exploration,
                    policy.control,
                    *_crossed(flywheel, *map(pl.col, allocated_by(policy))),
                ),
            },
            "words": {"": policy.description},
        },
        "drift": {"columns": {"value": fingerprint(model.drift)}, "words": {}},
        "performance": {
            "columns": {**baselines, "alternatives": decided},
            "words": {"": flywheel.description},
        },
    }


def _crossed(flywheel: Flywheel, *asked: pl.Expr | None) -> list[str]:
    """Digest the flywheel's own expressions that a policy's are made of, over any steps.

    What decides is no column of the training set, by whose digests one would see them change.
    """
    names = roots(*asked)
    for own in reversed(flywheel.expressions):  # made of earlier ones, if of any
        if own.name in names:
            names |= roots(own.expression)
    return sorted(
        fingerprint(own.name, own.expression) for own in flywheel.expressions if own.name in names
    )


def _considered(policy: Policy) -> tuple[Any, ...]:
    filters = sorted(fingerprint(*_filter(rule)) for rule in policy.filters)
    candidates = policy.candidates
    if isinstance(candidates, Pairs):
        names = sorted(generator.name for generator in candidates.generators)
        return candidates.of.name, candidates.where, names, filters
    return candidates, filters


def _filter(rule: Filter) -> tuple[Any, ...]:
    if isinstance(rule, AlreadySeen):
        return rule.fact.name, _of_fact(rule.where, rule.fact), rule.within
    return rule.times, rule.within


def _of_fact(said: Any, fact: Fact) -> Any:
    return originally(said, first_names(fact.observation))


def _trained(model: Model) -> str:
    told = [
        (f.name, getattr(model, f.name))
        for f in fields(model)
        if f.name not in {"name", "features", "owners", "description", "drift"}
    ]
    return fingerprint(model.name, sorted(model.features), told)
