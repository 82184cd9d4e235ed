"""What training sets, models, performance and drift are made of."""

from collections.abc import Iterator

from flywheel_assets.changes.decided import (
    DECIDED,
    allocated_by,
    logged_by,
    seen_by,
    suggested_by,
)
from flywheel_assets.changes.graph import ROWS, Column, Made, columns, made, roots
from flywheel_assets.changes.observed import VISIBLE
from flywheel_assets.declare.allocate import Arms, Slate, TopK
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import DECISION_ID

ACTION = "action"


def training_columns(flywheel: Flywheel) -> Iterator[Made]:
    """Follow ``<flywheel>/training_set``."""
    table, outcome = f"{flywheel.name}/training_set", flywheel.outcome
    carried_out: frozenset[Column] = frozenset()
    if outcome.exposure is not None:
        exposure, told = outcome.exposure, {DECISION_ID, *VISIBLE}
        asked = {ACTION} & set(exposure.schema)
        carried_out = columns(f"organize/fct_{exposure.name}", told | asked)
        carried_out |= logged_by(flywheel, asked)
    yield made(table, ROWS, logged_by(flywheel, [DECISION_ID]), carried_out)
    for name in DECIDED:
        yield made(table, name, logged_by(flywheel, [name]))
    keys, seen = flywheel.entity.keys, seen_by(flywheel)
    generated = [g.name for g in flywheel.policy.generators]
    crossed = {own.name: roots(own.expression) for own in flywheel.expressions}
    for name in flywheel.descriptions:
        if name in crossed:
            of = (columns(table, [n]) if n in crossed else seen[n] for n in crossed[name])
            yield made(table, name, *of)
        elif name not in generated:
            yield made(table, name, seen[name])
    for name in (*keys, *generated):
        yield made(table, name, suggested_by(flywheel, name))
    fact = f"organize/fct_{outcome.fact.name}"
    followed = columns(fact, {*keys, *VISIBLE, DECISION_ID, *roots(outcome.where)})
    yield made(table, "outcome", followed)
    if outcome.reward is None:
        yield made(table, "reward", columns(table, ["outcome"]))
    else:
        yield made(table, "reward", followed, columns(fact, roots(outcome.reward)))
    yield made(table, "weight", columns(table, ["propensity"]))


def model_columns(flywheel: Flywheel) -> Iterator[Made]:
    """Follow ``<flywheel>/model`` and ``<flywheel>/promotions``.

    A ``version`` stands for all that was trained, not for its number; that there is nothing at all
    to train on is not counted.
    """
    table, rows, model = f"{flywheel.name}/model", f"{flywheel.name}/training_set", flywheel.model
    target, features = model.target, _features(flywheel)
    action = {ACTION} if model.learner != "plain" else set()
    learnt = {*features, target, *action, *({"weight"} if model.propensity_weight else ())}
    if model.replicates:
        learnt |= {*flywheel.whose}
    judged = {"reward", ACTION, "propensity"} if model.metric == "qini" else {target, *action}
    there = columns(rows, [ROWS])
    told = columns(rows, ["outcome"] if target == "outcome" else [])
    yield made(table, ROWS)
    yield made(table, "trained", *([there, told] if told else []))
    yield made(table, "judged_version", columns(rows, learnt), there)
    for name in ("n_rows", "n_holdout"):
        yield made(table, name, there)
    for name in ("metric", "failed"):  # what an estimator raises at is not looked at
        yield Made(Column(table, name), frozenset())
    held = columns(rows, {*features, *judged})
    yield made(table, "value", held, columns(table, ["judged_version"]))
    yield made(table, "champion_version", columns(table, ["promoted"]))
    compared = columns(table, ["value", "champion_version"])
    for name in ("champion_value", "gain"):
        yield made(table, name, compared)
    whose = columns(rows, flywheel.whose)  # intervals draw entities, not rows
    for name in ("gain_lower", "gain_upper"):
        yield made(table, name, compared, whose)
    if target == "outcome":
        yield made(table, "calibration_error", columns(table, ["value"]))
    policy = flywheel.policy
    ranked = {*features, *({*roots(policy.bootstrap), *allocated_by(policy)} & _known(flywheel))}
    logged = columns(rows, {*ranked, "reward", "propensity", ACTION})
    models = columns(table, ["judged_version", "champion_version"])
    for name in ("policy_value", "policy_gain"):
        yield made(table, name, logged, models)
    yield made(table, "policy_gain_lower", logged, models, whose)
    bars = ["value", "gain_lower"]
    bars += ["calibration_error"] if model.gate.maximum_calibration_error is not None else []
    bars += ["policy_gain_lower"] if model.gate.minimum_policy_gain is not None else []
    yield made(table, "promoted", columns(table, bars))
    said = [*bars, "trained", "promoted", "n_holdout", "champion_value", "gain", "gain_upper"]
    yield made(table, "verdict", columns(table, said))
    again = ["judged_version", "promoted"] if model.gate.refit else ["judged_version"]
    yield made(table, "version", columns(table, again))
    ledger = f"{flywheel.name}/promotions"
    yield made(ledger, ROWS, columns(table, ["promoted"]))
    for name in PROMOTED:
        yield made(ledger, name, columns(table, [name]))
    for name in ("entry", ACTION, "by"):
        yield Made(Column(ledger, name), frozenset())
    yield made(ledger, "reason", columns(table, ["verdict"]))


PROMOTED = (
    *("version", "judged_version", "metric", "value", "champion_version", "champion_value"),
    *("gain", "gain_lower", "gain_upper", "calibration_error", "policy_gain"),
    "policy_gain_lower",
)
"""What the ledger says of a model."""


def performance_columns(flywheel: Flywheel) -> Iterator[Made]:
    """Follow ``<flywheel>/performance``."""
    table, rows = f"{flywheel.name}/performance", f"{flywheel.name}/training_set"
    policy, known = flywheel.policy, _known(flywheel)
    # As many are acted on as there are places, if there are candidates for them.
    placed = isinstance(policy.allocation, TopK | Slate) and not policy.control
    n_acted = set() if placed and flywheel.outcome.exposure is None else {ACTION}
    there = columns(rows, [ROWS])
    ranked = {"score", *(roots(*policy.baselines.values()) & known)}
    arms = isinstance(policy.allocation, Arms)
    uplift = set() if arms else {*ranked, "reward", ACTION, "propensity"}
    shared = {*allocated_by(policy)} & known if policy.competing else {ACTION}
    best = {"outcome"} if arms else {"outcome", *ranked, *shared}
    yield Made(Column(table, "ranking"), frozenset())
    counted = {"n_decisions", "acted"}
    for name, of in {
        "n_decisions": set[str](),
        "outcome_rate": {"outcome"},
        "roc_auc": {*ranked, "outcome"},
        "precision_at_capacity": best,
        "qini": uplift,
        "uplift_at_k": uplift,
        "acted": n_acted,
        "acted_outcome_rate": {"outcome", ACTION},
        "held_outcome_rate": {"outcome", ACTION},
        "explored_outcome_rate": {"outcome", ACTION, "explored"},
        "reward": {"reward"} if arms else {"reward", ACTION},
        "model_version": {"model_version"},
    }.items():
        yield made(table, name, columns(rows, of), *([there] if of or name in counted else []))
    looked_at = {*_features(flywheel), *roots(policy.bootstrap), *allocated_by(policy)} & known
    yield made(
        table,
        "alternatives",
        columns(rows, {*looked_at, *flywheel.whose, "reward", "propensity", ACTION}),
        columns(f"{flywheel.name}/model", ["version", "promoted"]),
        there,
    )


def drift_columns(flywheel: Flywheel) -> Iterator[Made]:
    """Follow ``<flywheel>/drift``: decisions against what their model was trained on."""
    table, rows = f"{flywheel.name}/drift", f"{flywheel.name}/training_set"
    decisions, model = f"{flywheel.name}/decisions", f"{flywheel.name}/model"
    seen = seen_by(flywheel)
    measured = [seen[name] for name in _features(flywheel)]
    yield made(
        table,
        ROWS,
        columns(decisions, ["model_version", ROWS]),
        columns(rows, ["model_version", "score", ROWS]),
    )
    for name in ("column", "measure"):
        yield Made(Column(table, name), frozenset())
    yield made(table, "version", columns(decisions, ["model_version"]))
    yield made(table, "n_rows", columns(decisions, [ROWS]), columns(rows, [ROWS]))
    against = [columns(decisions, ["score"]), columns(rows, ["outcome"])]
    learnt = columns(model, ["version"])
    for name in ("value", "by_chance", "level"):
        yield made(table, name, *measured, *against, learnt)


def _features(flywheel: Flywheel) -> list[str]:
    """Name the features of the model, those of arms aside."""
    return [name for name in flywheel.model.features if name in flywheel.descriptions]


def _known(flywheel: Flywheel) -> set[str]:
    return {*flywheel.descriptions, *flywheel.entity.keys}
