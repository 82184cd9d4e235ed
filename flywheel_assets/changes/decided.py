"""What decisions are made of, and how they come back as observations of the next day."""

from collections.abc import Iterable, Iterator

from flywheel_assets.changes.graph import ROWS, Column, Made, columns, made, roots
from flywheel_assets.changes.observed import VISIBLE
from flywheel_assets.declare.candidates import Pairs
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import (
    AS_OF,
    DECISION_FIELDS,
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
)

DECIDED_AT, ENTITY_ID, CANDIDATE = "decided_at", "entity_id", "candidate"
LOGGED = ("collect/decision", "organize/fct_decision")
DECIDED = tuple(n for n in DECISION_FIELDS if n not in {"outcome", "reward", "weight"})


def seen_by(flywheel: Flywheel) -> dict[str, frozenset[Column]]:
    """Say where what a decision sees comes from, by name."""
    found: dict[str, frozenset[Column]] = {AS_OF: frozenset()}
    for generator in flywheel.policy.generators:
        names = {*flywheel.entity.keys, *VISIBLE, *roots(generator.where)}
        found[generator.name] = columns(f"organize/fct_{generator.fact.name}", names)
    candidates = flywheel.policy.candidates
    if isinstance(candidates, Pairs):  # generators name the items, whatever is known of those
        suggested = (found[generator.name] for generator in flywheel.policy.generators)
        items = set(flywheel.entity.keys) - set(candidates.of.entity.keys)
        found |= dict.fromkeys(items, frozenset().union(*suggested))
    for view in flywheel.views:
        table = f"features/{view.name}"
        joined = frozenset().union(*(found.get(key, frozenset()) for key in view.entity.keys))
        for name in (*view.entity.keys, *view.descriptions):
            found.setdefault(name, columns(table, [name, *view.entity.keys]) | joined)
    for feature in flywheel.expressions:
        of = (found[name] for name in roots(feature.expression))
        found[feature.name] = frozenset().union(*of)
    return found


def decision_columns(flywheel: Flywheel) -> Iterator[Made]:
    """Follow ``<flywheel>/decisions``."""
    table, policy, seen = f"{flywheel.name}/decisions", flywheel.policy, seen_by(flywheel)
    yield made(table, ROWS, *_considered(flywheel, seen))
    for key in flywheel.entity.keys:
        yield made(table, key, seen.get(key, frozenset()))
    for generator in policy.generators:
        yield made(table, generator.name, seen[generator.name])
    yield made(table, DECISION_ID, columns(table, flywheel.entity.keys))
    yield made(table, ENTITY_ID, columns(table, flywheel.entity.keys))
    for name in ("flywheel", DECIDED_AT):
        yield Made(Column(table, name), frozenset())
    yield made(table, "model_version", columns(f"{flywheel.name}/model", ["promoted"]))
    used = [n for n in (*flywheel.model.features, *roots(policy.bootstrap)) if n in seen]
    model = [columns(f"{flywheel.name}/model", ["version"]), columns(table, ["model_version"])]
    yield made(table, "score", *(seen[n] for n in used), *model)
    ranked = columns(table, ["score", DECISION_ID])
    shared = [seen[name] for name in allocated_by(policy) if name in seen]
    for name in ("rank", "action", "propensity", "explored"):
        yield made(table, name, ranked, *shared)


def _considered(
    flywheel: Flywheel, seen: dict[str, frozenset[Column]]
) -> Iterator[frozenset[Column]]:
    """Say what chooses the candidates."""
    policy = flywheel.policy
    if isinstance(policy.candidates, Pairs):
        yield from (seen[generator.name] for generator in policy.generators)
        view = policy.candidates.of
        asked = [*view.entity.keys, *roots(policy.candidates.where), ROWS]
        yield columns(f"features/{view.name}", asked)
    else:
        view = flywheel.views[0]
        yield columns(f"features/{view.name}", [*view.entity.keys, ROWS])
        yield from (seen[name] for name in roots(policy.candidates))
    for rule in policy.filters:
        fact = getattr(rule, "fact", None)
        if fact is None:
            yield logged_by(flywheel, ["action", ENTITY_ID])
        else:
            keys = [key for key in flywheel.entity.keys if key in fact.schema]
            yield columns(
                f"organize/fct_{fact.name}",
                [*keys, *VISIBLE, *roots(getattr(rule, "where", None))],
            )


def allocated_by(policy: Policy) -> list[str]:
    """Name the columns that share out places."""
    each = getattr(policy.allocation, "each", None)
    per = getattr(policy.allocation, "per", None)
    return [n for n in (each, per, *getattr(policy.allocation, "at_most", ())) if n is not None]


def logged_columns(flywheel: Flywheel) -> Iterator[Made]:
    """Follow decisions back as observations: each flywheel's are a part of what is logged."""
    source, part = f"{flywheel.name}/decisions", flywheel.name
    named = {name: name for name in DECIDED}
    named |= {OBSERVATION_ID: DECISION_ID, EVENT_TIME: DECIDED_AT, KNOWN_AT: DECIDED_AT}
    suggested = [*flywheel.entity.keys, *(g.name for g in flywheel.policy.generators)]
    for name, told in named.items():
        yield Made(Column(LOGGED[0], name, part), columns(source, [told]))
        yield Made(Column(LOGGED[1], name, part), logged_by(flywheel, [name], LOGGED[0]))
    for name in suggested:
        inside = f"{part}:{name}"
        yield Made(Column(LOGGED[0], CANDIDATE, inside), columns(source, [name]))
        yield Made(Column(LOGGED[1], CANDIDATE, inside), columns(LOGGED[0], [CANDIDATE], inside))


def logged_by(
    flywheel: Flywheel, names: Iterable[str], table: str = LOGGED[1]
) -> frozenset[Column]:
    """Give columns of a flywheel's part of what is logged."""
    return columns(table, names, flywheel.name)


def suggested_by(flywheel: Flywheel, name: str) -> frozenset[Column]:
    """Give what is logged of a candidate, by name."""
    return columns(LOGGED[1], [CANDIDATE], f"{flywheel.name}:{name}")
