"""The flywheel: one use case, declared in the order in which it turns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flywheel_assets.declare.collect import Entity, Observation
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.learn import Model, Outcome
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.declare.rules import (
    AS_OF,
    DECISION_FIELDS,
    check_columns,
    check_name,
    check_owners,
    check_unique,
)
from flywheel_assets.errors import DeclarationError

_Thing = TypeVar("_Thing", Observation, Fact, Dimension, FeatureView, "Flywheel")
STAGES = ("collect", "organize", "features", "training_set", "model", "decisions")
RESERVED_NAMES = frozenset({*STAGES, "decision", "product", "performance"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Flywheel:
    """One use case on shared observations, facts, dimensions and feature views.

    Collect and organize are found through ``features`` and ``outcome``.

    Parameters
    ----------
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
    features: FeatureView
    training_set: Outcome
    model: Model
    decisions: Policy
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
        names = list(self.features.descriptions)
        check_unique([*names, *DECISION_FIELDS], f"the training set of {what}")
        check_columns(self.model.features, names, f"model {self.model.name!r} of {what}")
        self.decisions.check_columns([*self.entity.keys, AS_OF, *names])
        check_columns(self.entity.keys, self.training_set.fact.schema, f"the outcome of {what}")

    @property
    def entity(self) -> Entity:
        """What decisions are about."""
        return self.features.entity

    @property
    def outcome(self) -> Outcome:
        """The label, under the name that it has in prose."""
        return self.training_set

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
    views = _once(w.features for w in wheels)
    dimensions = _once(d for v in views for d in v.dimensions)
    facts = _once([*(v.fact for v in views), *(w.outcome.fact for w in wheels)])
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
