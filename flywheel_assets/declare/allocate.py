"""Decide: how a ranking becomes actions, and how chance is let in so that the loop learns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from flywheel_assets.declare.rules import (
    IN_ORDER,
    check_count,
    check_name,
    check_number,
    check_share,
    check_unique,
)
from flywheel_assets.errors import DeclarationError


def _check_actions(actions: tuple[str, ...]) -> None:
    for action in actions:
        check_name(action, "an action")
    check_unique(actions, "actions")


@dataclass(frozen=True, kw_only=True, eq=False)
class TopK:
    """Act on the best of each day, as many as there is capacity for.

    Those who tie for the last places share them: each has one with the same probability.

    Parameters
    ----------
    capacity : int
        How many are acted on each day.
    action, hold : str
        What the two actions are called.
    each : str, optional
        A column whose distinct values the capacity counts, for example the card of a transaction:
        each stands as its best candidate, and only that one is acted on. Candidates without a value
        stand for themselves.
    """

    capacity: int
    action: str
    hold: str = "hold"
    each: str | None = None

    def __post_init__(self) -> None:
        check_count(self.capacity, "a capacity")
        _check_actions(self.actions)

    @property
    def actions(self) -> tuple[str, ...]:
        """All that may be decided; the last is to do nothing."""
        return (self.action, self.hold)


@dataclass(frozen=True, kw_only=True, eq=False)
class Threshold:
    """Act on every candidate whose score is at or above a level."""

    at: float
    action: str
    hold: str = "hold"

    def __post_init__(self) -> None:
        check_number(self.at, "a threshold")
        _check_actions(self.actions)

    @property
    def actions(self) -> tuple[str, ...]:
        """All that may be decided; the last is to do nothing."""
        return (self.action, self.hold)


@dataclass(frozen=True, kw_only=True, eq=False)
class Slate:
    """Show each of some entities its best items.

    Parameters
    ----------
    size : int
        How many items each is shown.
    per : str
        The key that a slate is for, for example ``customer_id``.
    at_most : mapping of str to int
        Diversity: column -> how many items of a slate may share a value of it. Each value stands as
        its best so many items, and the slate is filled from those, explored places too: it may
        stay shorter. Several columns apply one after the other, in the order in which they are
        declared; with more than one, the propensity is that given which of equally good items
        stand. Items without a value are not limited.
    """

    size: int
    per: str
    action: str = "show"
    hold: str = "hold"
    at_most: Mapping[str, int] = field(default_factory=dict, metadata={IN_ORDER: True})

    def __post_init__(self) -> None:
        check_count(self.size, "a slate")
        object.__setattr__(self, "at_most", MappingProxyType(dict(self.at_most)))
        for column, most in self.at_most.items():
            check_count(most, f"a slate with a limit on {column!r}")
        _check_actions(self.actions)

    @property
    def actions(self) -> tuple[str, ...]:
        """All that may be decided; the last is to do nothing."""
        return (self.action, self.hold)


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """One of several actions, with the numbers by which a model tells it from the others.

    Examples
    --------
    >>> Arm(name="price_299", features={"price": 2.99}).features["price"]
    2.99
    """

    name: str
    features: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "an arm")
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))
        for feature, value in self.features.items():
            check_number(value, f"feature {feature!r} of arm {self.name!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Arms:
    """Give each candidate one of several actions: a price, an offer, or none.

    Arms that are equally good are equally likely: a bootstrap rule of ``pl.lit(0)`` draws them
    uniformly.

    Parameters
    ----------
    arms : tuple of Arm
        Two or more, with the same features. The last is that of the control group.
    """

    arms: tuple[Arm, ...]

    def __post_init__(self) -> None:
        check_unique(self.actions, "arms")
        names = {tuple(sorted(arm.features)) for arm in self.arms}
        if len(self.arms) < 2 or len(names) > 1:  # noqa: PLR2004  a choice is between two or more
            raise DeclarationError(
                expected="two arms or more, all with the same features",
                found=f"{len(self.arms)} arms, with features {sorted(names)}",
                remedy="give each Arm a value for every feature",
            )

    @property
    def actions(self) -> tuple[str, ...]:
        """All that may be decided."""
        return tuple(arm.name for arm in self.arms)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that a model may use beside those of the candidate."""
        return tuple(self.arms[0].features)


Allocation: TypeAlias = TopK | Threshold | Slate | Arms


@dataclass(frozen=True, kw_only=True, eq=False)
class Epsilon:
    """Spend a share on candidates, or arms, drawn uniformly from those not chosen.

    With a capacity c it is ``round(c * share)`` of the places: the best ``c - round(c * share)``
    are acted on for sure, and each of the others with the same probability. A share above zero that
    rounds to no place is refused. With a slate it is that share of its places on average: each
    slate explores the next whole number below or above. With a threshold it is that share of those
    below it; with arms, of the candidates, each of whose arms is then equally likely.
    """

    share: float

    def __post_init__(self) -> None:
        check_share(self.share, "the share to explore")


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax:
    """Choose the better more often: with odds of ``exp(score / temperature)``.

    With places, each has one with a probability in proportion to that, but nobody with more than
    one: who would is certain, and the places that are left are divided among the others. They add
    up to the places, which are drawn systematically, so that the probabilities are exact.
    """

    temperature: float

    def __post_init__(self) -> None:
        check_number(self.temperature, "a temperature")
        if not self.temperature > 0:
            raise DeclarationError(
                expected="a temperature above zero",
                found=str(self.temperature),
                remedy="write it in units of the score, for example temperature=0.05",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Thompson:
    """Believe one of the model's replicates, drawn anew each time; see `Model.replicates`.

    The probability of an action is the share of the replicates by which it is best.
    """


Exploration: TypeAlias = Epsilon | Softmax | Thompson
