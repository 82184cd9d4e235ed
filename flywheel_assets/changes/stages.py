"""What each stage makes its columns of, read from the declarations.

A column is made of another when a change of the other's values, within its contract and without
making two observations one, may change it.
"""

from collections.abc import Iterable, Iterator

import polars as pl

from flywheel_assets.changes.graph import ROWS, Column, Lineage, Made
from flywheel_assets.declare.candidates import Pairs
from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.features import Aggregation, FeatureView
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.organize import CANCELS, Dimension, Fact
from flywheel_assets.declare.rules import (
    AS_OF,
    CORRECTS,
    DECISION_FIELDS,
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    RETRACTS,
)

VISIBLE = (EVENT_TIME, KNOWN_AT, RETRACTS, CORRECTS)
"""What says whether a fact's row counts at a moment."""
ORDERED = frozenset({"first", "last", "first_n", "last_n", "mode", "top_k"})
"""Functions for which the order of rows that happened at once matters: it is that of their ids."""
DECIDED_AT, ENTITY_ID = "decided_at", "entity_id"
LOGGED = ("collect/decision", "organize/fct_decision")


def lineage(flywheels: Iterable[Flywheel]) -> Lineage:
    """Follow every column of every table from observations to decisions and their worth."""
    things = catalog(flywheels)
    made: list[Made] = []
    for observation in things.observations:
        made += _collect(observation)
    for fact in things.facts:
        made += _fact(fact)
    for dimension in things.dimensions:
        made += _dimension(dimension)
    for view in things.views:
        made += _view(view)
    for flywheel in things.flywheels:
        made += _decisions(flywheel)
    made += _logged(things.flywheels)
    for flywheel in things.flywheels:
        made += [*_training_set(flywheel), *_model(flywheel), *_performance(flywheel)]
    return Lineage(made)


def _columns(table: str, names: Iterable[str]) -> frozenset[Column]:
    return frozenset(Column(table, name) for name in names)


def _roots(*expressions: pl.Expr | None) -> set[str]:
    return {name for e in expressions if e is not None for name in e.meta.root_names()}


def _made(table: str, name: str, *of: frozenset[Column]) -> Made:
    return Made(Column(table, name), frozenset().union(*of))


def _collect(observation: Observation) -> Iterator[Made]:
    table = f"collect/{observation.name}"
    fields = list(observation.schema)
    for name in (*fields, EVENT_TIME, KNOWN_AT, DECISION_ID, CORRECTS, RETRACTS):
        yield Made(Column(table, name), frozenset())
    told = observation.id_fields or tuple(fields)
    yield _made(table, OBSERVATION_ID, _columns(table, [*told, EVENT_TIME]))


def _fact(fact: Fact) -> Iterator[Made]:
    table, source = f"organize/fct_{fact.name}", f"collect/{fact.observation.name}"
    rule = fact.cancellation
    carried = [OBSERVATION_ID, EVENT_TIME, KNOWN_AT, DECISION_ID, CORRECTS, RETRACTS]
    for name in (*carried, *fact.observation.schema):
        yield _made(table, name, _columns(source, [name]))
    if rule is not None:
        told = _columns(source, _roots(rule.when))
        yield _made(table, CANCELS, told)
        for name in rule.measures:
            yield _made(table, name, told)
        if rule.becomes == "retraction":
            paired = {*rule.match, *rule.measures, EVENT_TIME, KNOWN_AT, OBSERVATION_ID}
            yield _made(table, RETRACTS, told, _columns(source, paired))
    for name, expression in fact.derive.items():
        yield _made(table, name, _columns(table, _roots(expression)))


def _dimension(dimension: Dimension) -> Iterator[Made]:
    table, source = f"organize/dim_{dimension.name}", f"collect/{dimension.observation.name}"
    changed = [*dimension.entity.keys, *dimension.attributes, *VISIBLE]
    yield _made(table, ROWS, _columns(source, changed))
    for name in (*dimension.entity.keys, *dimension.attributes, KNOWN_AT):
        yield _made(table, name, _columns(source, [name]))
    yield _made(table, "valid_from", _columns(source, [EVENT_TIME]))
    yield _made(table, "is_closed", _columns(source, [KNOWN_AT]))


def _view(view: FeatureView) -> Iterator[Made]:
    table, fact = f"features/{view.name}", f"organize/fct_{view.fact.name}"
    keys = view.entity.keys
    yield _made(table, ROWS, _columns(fact, [*keys, *VISIBLE]))
    yield Made(Column(table, AS_OF), frozenset())
    for key in keys:
        yield _made(table, key, _columns(fact, [key]))
    for aggregation in view.aggregations:
        yield _made(table, aggregation.name, _columns(fact, _aggregated(aggregation, keys)))
    for dimension, attributes in view.dimensions.items():
        source = f"organize/dim_{dimension.name}"
        when = _columns(source, [*dimension.entity.keys, "valid_from", KNOWN_AT, "is_closed"])
        for name in attributes:
            yield _made(table, name, _columns(source, [name]), when)
    for feature in view.expressions:
        yield _made(table, feature.name, _columns(table, _roots(feature.expression)))


def _aggregated(aggregation: Aggregation, keys: Iterable[str]) -> set[str]:
    names = {*keys, *VISIBLE, *aggregation.columns, *_roots(aggregation.where)}
    return names | ({OBSERVATION_ID} if aggregation.function in ORDERED else set())


def _seen(flywheel: Flywheel) -> dict[str, frozenset[Column]]:
    """Say where what a decision sees comes from, by name."""
    found: dict[str, frozenset[Column]] = {AS_OF: frozenset()}
    for generator in flywheel.policy.generators:
        names = {*flywheel.entity.keys, *VISIBLE, *_roots(generator.where)}
        found[generator.name] = _columns(f"organize/fct_{generator.fact.name}", names)
    for view in flywheel.views:
        table = f"features/{view.name}"
        joined = frozenset().union(*(found.get(key, frozenset()) for key in view.entity.keys))
        for name in (*view.entity.keys, *view.descriptions):
            found.setdefault(name, _columns(table, [name]) | joined)
    for feature in flywheel.expressions:
        roots = _roots(feature.expression)
        found[feature.name] = frozenset().union(*(found[name] for name in roots))
    return found


def _decisions(flywheel: Flywheel) -> Iterator[Made]:
    table, policy, seen = f"{flywheel.name}/decisions", flywheel.policy, _seen(flywheel)
    yield _made(table, ROWS, *_considered(flywheel, seen))
    for key in flywheel.entity.keys:
        yield _made(table, key, seen.get(key, frozenset()))
    for generator in policy.generators:
        yield _made(table, generator.name, seen[generator.name])
    yield _made(table, DECISION_ID, _columns(table, flywheel.entity.keys))
    yield _made(table, ENTITY_ID, _columns(table, flywheel.entity.keys))
    for name in ("flywheel", DECIDED_AT):
        yield Made(Column(table, name), frozenset())
    yield _made(table, "model_version", _columns(f"{flywheel.name}/model", ["promoted"]))
    used = [n for n in (*flywheel.model.features, *_roots(policy.bootstrap)) if n in seen]
    yield _made(table, "score", *(seen[n] for n in used), _columns(table, ["model_version"]))
    ranked = _columns(table, ["score", DECISION_ID])
    shared = [seen[name] for name in _allocated_by(policy) if name in seen]
    for name in ("rank", "action", "propensity", "explored"):
        yield _made(table, name, ranked, *shared)


def _considered(
    flywheel: Flywheel, seen: dict[str, frozenset[Column]]
) -> Iterator[frozenset[Column]]:
    """Say what chooses the candidates."""
    policy = flywheel.policy
    if isinstance(policy.candidates, Pairs):
        yield from (seen[generator.name] for generator in policy.generators)
        view = policy.candidates.of
        yield _columns(f"features/{view.name}", [*_roots(policy.candidates.where), ROWS])
    else:
        yield _columns(f"features/{flywheel.views[0].name}", [ROWS])
        yield from (seen[name] for name in _roots(policy.candidates))
    for rule in policy.filters:
        fact = getattr(rule, "fact", None)
        if fact is None:
            yield _columns(LOGGED[1], ["action", ENTITY_ID])
        else:
            keys = [key for key in flywheel.entity.keys if key in fact.schema]
            yield _columns(
                f"organize/fct_{fact.name}",
                [*keys, *VISIBLE, *_roots(getattr(rule, "where", None))],
            )


def _allocated_by(policy: Policy) -> list[str]:
    each = getattr(policy.allocation, "each", None)
    per = getattr(policy.allocation, "per", None)
    return [n for n in (each, per, *getattr(policy.allocation, "at_most", ())) if n is not None]


_DECIDED = tuple(n for n in DECISION_FIELDS if n not in {"outcome", "reward", "weight"})


def _logged(flywheels: Iterable[Flywheel]) -> Iterator[Made]:
    """Follow decisions back as observations of the next day."""
    wheels = list(flywheels)
    for name in _DECIDED:
        sources = [_columns(f"{flywheel.name}/decisions", [name]) for flywheel in wheels]
        yield _made(LOGGED[0], name, *sources)
    for name in (OBSERVATION_ID, EVENT_TIME, KNOWN_AT):
        told = DECISION_ID if name == OBSERVATION_ID else DECIDED_AT
        yield _made(LOGGED[0], name, _columns(LOGGED[0], [told]))
    suggested = [
        _columns(f"{w.name}/decisions", [*w.entity.keys, *(g.name for g in w.policy.generators)])
        for w in wheels
    ]
    yield _made(LOGGED[0], "candidate", *suggested)
    for name in (*_DECIDED, OBSERVATION_ID, EVENT_TIME, KNOWN_AT, "candidate"):
        yield _made(LOGGED[1], name, _columns(LOGGED[0], [name]))


def _training_set(flywheel: Flywheel) -> Iterator[Made]:
    table, outcome = f"{flywheel.name}/training_set", flywheel.outcome
    exposed: frozenset[Column] = frozenset()
    if outcome.exposure is not None:
        exposed = _columns(f"organize/fct_{outcome.exposure.name}", [DECISION_ID])
    yield _made(table, ROWS, _columns(LOGGED[1], [DECISION_ID]), exposed)
    for name in _DECIDED:
        yield _made(table, name, _columns(LOGGED[1], [name]))
    keys, seen = flywheel.entity.keys, _seen(flywheel)
    for name in (*keys, *(g.name for g in flywheel.policy.generators)):
        yield _made(table, name, _columns(LOGGED[1], ["candidate"]))
    for name in flywheel.descriptions:
        yield _made(table, name, seen[name])
    fact = f"organize/fct_{outcome.fact.name}"
    when = {*keys, *VISIBLE, DECISION_ID, *_roots(outcome.where)}
    yield _made(table, "outcome", _columns(fact, when))
    yield _made(
        table, "reward", _columns(fact, _roots(outcome.reward)), _columns(table, ["outcome"])
    )
    yield _made(table, "weight", _columns(table, ["propensity"]))


def _model(flywheel: Flywheel) -> Iterator[Made]:
    table, rows, model = f"{flywheel.name}/model", f"{flywheel.name}/training_set", flywheel.model
    learnt = {*(f for f in model.features if f in flywheel.descriptions), "outcome"}
    learnt |= {"reward"} if model.target == "reward" else set()
    learnt |= {"action"} if model.learner != "plain" else set()
    learnt |= {"weight"} if model.propensity_weight or model.metric == "qini" else set()
    learnt |= {"reward", "propensity"} if model.gate.minimum_policy_gain is not None else set()
    yield _made(table, "version", _columns(rows, [*learnt, ROWS]))
    yield _made(table, "value", _columns(table, ["version"]))
    yield _made(table, "promoted", _columns(table, ["value"]))
    yield _made(f"{flywheel.name}/promotions", "version", _columns(table, ["version", "promoted"]))


def _performance(flywheel: Flywheel) -> Iterator[Made]:
    table, rows = f"{flywheel.name}/performance", f"{flywheel.name}/training_set"
    ranked = {"score", "outcome", *_roots(*flywheel.policy.baselines.values())}
    known = {*flywheel.descriptions, *flywheel.entity.keys}
    used = [n for n in ranked if n in known or n in {"score", "outcome"}]
    yield _made(table, "outcome_rate", _columns(rows, ["outcome"]))
    yield _made(table, "roc_auc", _columns(rows, used))
    yield _made(table, "reward", _columns(rows, ["reward", "action"]))
    policy = flywheel.policy
    looked_at = {*flywheel.model.features, *_roots(policy.bootstrap)} & {*flywheel.descriptions}
    logged = {*looked_at, "reward", "propensity", "action"}
    yield _made(
        table,
        "alternatives",
        _columns(rows, logged),
        _columns(f"{flywheel.name}/model", ["version"]),
    )
    seen = _seen(flywheel)
    features = [seen[n] for n in flywheel.model.features if n in seen]
    yield _made(
        f"{flywheel.name}/drift",
        "value",
        *features,
        _columns(f"{flywheel.name}/decisions", ["score"]),
        _columns(rows, ["outcome"]),
        _columns(f"{flywheel.name}/model", ["version"]),
    )
