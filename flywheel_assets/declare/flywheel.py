"""The flywheel: one use case, declared in the order in which it turns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flywheel_assets.declare.allocate import Arms, Thompson
from flywheel_assets.declare.candidates import Pairs
from flywheel_assets.declare.collect import Entity, Observation
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.features import Expression, FeatureView
from flywheel_assets.declare.learn import Model, Outcome
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.declare.rules import (
    AS_OF,
    DECISION_FIELDS,
    check_columns,
    check_expression,
    check_name,
    check_owners,
    check_unique,
)
from flywheel_assets.errors import DeclarationError, many

_Thing = TypeVar("_Thing", Observation, Fact, Dimension, FeatureView, "Flywheel")
STAGES = ("collect", "organize", "features", "training_set", "model", "decisions")
MINIMUM_DRAWS = 2
RESERVED_NAMES = frozenset({*STAGES, "decision", "product", "performance"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Flywheel:
    """One use case on shared observations, facts, dimensions and feature views.

    Collect and organize are found through what the later stages use.

    Parameters
    ----------
    features : FeatureView or tuple of them
        The first is that of what is decided about (none is, where the policy considers pairs). The
        others are joined to it by their keys, which are keys of the entity or features of views
        before them: the card and the terminal of a transaction, the customer and the item of a
        pair.
    training_set : Outcome
        Named as its stage is; ``outcome`` reads it, too.
    decisions : Policy
        Named as its stage is; ``policy`` reads it, too. `dataclasses.replace` takes stages' names.
    expressions : tuple of Expression
        Computed across views, in order.
    api : str, optional
        What the product calls the function that reads a decision, for example ``get_offer``: the
        path and the name under which decisions are served, beside ``decisions/<flywheel>``.

    Raises
    ------
    DeclarationError
        For a model feature or a policy column that the feature view does not have, and for an
        outcome about other entities.
    """

    name: str
    owners: Sequence[str]
    description: str
    features: FeatureView | tuple[FeatureView, ...]
    training_set: Outcome
    model: Model
    decisions: Policy
    expressions: tuple[Expression, ...] = ()
    api: str | None = None

    def __post_init__(self) -> None:
        what = f"flywheel {self.name!r}"
        check_name(self.name, "a flywheel")
        if self.api is not None:
            check_name(self.api, f"the decision API of {what}")
            if not self.api.startswith("get_"):
                raise DeclarationError(
                    expected=f"the decision API of {what} named as a function that reads",
                    found=repr(self.api),
                    remedy=f"write api='get_{self.api}'",
                )
        check_owners(self.owners, what)
        if self.name in RESERVED_NAMES:
            raise DeclarationError(
                expected="a flywheel with a name of its own",
                found=f"{self.name!r}, the name of a stage",
                remedy="rename the flywheel",
            )
        self._check_views(what)
        names = list(self.descriptions)
        check_unique([*names, *DECISION_FIELDS], f"the training set of {what}")
        usable = [*names, *self.policy.arm_features]
        check_columns(self.model.features, usable, f"model {self.model.name!r} of {what}")
        expected = self.model.drift.expected
        check_columns(expected, usable, f"the expected drift of model {self.model.name!r}")
        keys = self.entity.keys
        self.policy.check_columns(keys, [*keys, AS_OF, *names])
        check_columns(keys, self.outcome.fact.schema, f"the outcome of {what}")
        self._check_learner(what)
        self._check_gate(what)

    def _check_views(self, what: str) -> None:
        candidates = self.policy.candidates
        if isinstance(candidates, Pairs) and candidates.of not in self.views:
            raise DeclarationError(
                expected=f"pairs of {what} for whom a view among its features describes",
                found=f"of={candidates.of.name!r}",
                remedy="add it to features",
            )
        known = [*self.entity.keys, AS_OF, *(g.name for g in self.policy.generators)]
        for view in self.views:
            check_columns(view.entity.keys, known, f"the keys of view {view.name!r} in {what}")
            check_unique([*known, *view.descriptions], f"what a decision of {what} sees")
            known += view.descriptions
        for feature in self.expressions:
            check_expression(feature.expression, known, f"{feature.name!r} of {what}")
            known.append(feature.name)

    def _check_learner(self, what: str) -> None:
        plain = self.model.learner == "plain"
        for needs, why in (
            (self.policy.rank_by == "uplift", "ranks by uplift"),
            (self.model.metric == "qini", "is judged by qini"),
            (isinstance(self.policy.allocation, Arms), "chooses between arms"),
        ):
            if needs and plain:
                raise DeclarationError(
                    expected=f"{what}, which {why}, with a model that learns what actions change",
                    found="learner='plain'",
                    remedy="write learner='s', 't' or 'x' in the Model",
                )
        if isinstance(self.policy.exploration, Thompson) and self.model.replicates < MINIMUM_DRAWS:
            raise DeclarationError(
                expected=f"{what}, which explores by Thompson sampling, with replicates",
                found=f"replicates={self.model.replicates}",
                remedy="write replicates=20 in the Model",
            )

    def _check_gate(self, what: str) -> None:
        apart = self.model.gate.holdout + self.outcome.matures_after
        if self.model.training_window < apart:
            raise DeclarationError(
                expected=f"{what} with decisions to train on that had matured before those it is "
                "judged on were made",
                found=f"a training window of {many(self.model.training_window.days, 'day')}, of "
                f"which holdout and outcome take {many(apart.days, 'day')}",
                remedy="lengthen training_window, or shorten the holdout",
            )
        least, exposure = self.model.gate.minimum_policy_gain, self.outcome.exposure
        if least is not None and exposure is not None and self.policy.competing:
            raise DeclarationError(
                expected=f"{what}, whose candidates compete for places, with all of them to say "
                "what another policy would have earned",
                found=f"minimum_policy_gain={least} and exposure {exposure.name!r}, without which "
                "a decision is no row",
                remedy="leave one of them out; without an exposure, what was not carried out "
                "counts with what followed it",
            )

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """The feature views, in the order in which they are joined."""
        return self.features if isinstance(self.features, tuple) else (self.features,)

    @property
    def entity(self) -> Entity:
        """What decisions are about."""
        candidates = self.policy.candidates
        return candidates.entity if isinstance(candidates, Pairs) else self.views[0].entity

    @property
    def whose(self) -> tuple[str, ...]:
        """The keys by which decisions hang together: all of an entity's, the first of pairs'."""
        keys = self.entity.keys
        return keys[:1] if isinstance(self.policy.candidates, Pairs) else keys

    @property
    def key_types(self) -> dict[str, Any]:
        """The entity's keys -> their Polars data types."""
        types = self.outcome.fact.schema
        return {key: types[key] for key in self.entity.keys}

    @property
    def descriptions(self) -> dict[str, str]:
        """What a decision sees, keys aside -> what it means, in the order of the table."""
        return {
            **{g.name: g.description for g in self.policy.generators},
            **{name: said for view in self.views for name, said in view.descriptions.items()},
            **{e.name: e.description for e in self.expressions},
        }

    @property
    def outcome(self) -> Outcome:
        """The label, under the name that it has in prose."""
        return self.training_set

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts that outcome and policy look at, those of the views aside."""
        outcome = self.outcome
        exposure = (outcome.exposure,) if outcome.exposure else ()
        return tuple(dict.fromkeys([outcome.fact, *exposure, *self.policy.facts]))

    @property
    def policy(self) -> Policy:
        """How scores become actions, under the name that it has in prose."""
        return self.decisions


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalog:
    """Everything that a set of flywheels stands on, each thing once."""

    observations: tuple[Observation, ...]
    facts: tuple[Fact, ...]
    dimensions: tuple[Dimension, ...]
    views: tuple[FeatureView, ...]
    flywheels: tuple[Flywheel, ...]


def catalog(flywheels: Iterable[Flywheel]) -> Catalog:
    """Find all that these flywheels share.

    Raises
    ------
    DeclarationError
        When two different things have the same name.
    """
    wheels = tuple(flywheels)
    views = _once(v for w in wheels for v in w.views)
    facts = _once([*(v.fact for v in views), *(f for w in wheels for f in w.facts)])
    named = (r.dimension for f in facts for r in f.references)
    dimensions = _once([*(d for v in views for d in v.dimensions), *named])
    observations = _once([*(f.observation for f in facts), *(d.observation for d in dimensions)])
    _once(wheels)
    check_unique([w.api for w in wheels if w.api], "decision APIs")
    return Catalog(
        observations=observations,
        facts=facts,
        dimensions=dimensions,
        views=views,
        flywheels=wheels,
    )


def _once(things: Iterable[_Thing]) -> tuple[_Thing, ...]:
    found: dict[str, _Thing] = {}
    for thing in things:
        if found.setdefault(thing.name, thing) is not thing:
            raise DeclarationError(
                expected=f"each {type(thing).__name__} with a name of its own",
                found=f"two named {thing.name!r}",
                remedy="declare it once and import it, or rename one",
            )
    return tuple(found.values())
