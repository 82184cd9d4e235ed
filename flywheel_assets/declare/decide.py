"""Decide: candidates, filters, ranking, allocation, in the order in which they are applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import polars as pl

from flywheel_assets.declare.allocate import (
    Allocation,
    Arms,
    Epsilon,
    Exploration,
    Slate,
    Softmax,
    Thompson,
    Threshold,
    TopK,
)
from flywheel_assets.declare.candidates import AlreadySeen, Filter, Generator, Pairs, check_filters
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import (
    check_choice,
    check_columns,
    check_expression,
    check_owners,
    check_share,
    check_unique,
)
from flywheel_assets.errors import DeclarationError, many


@dataclass(frozen=True, kw_only=True, eq=False)
class Policy:
    """How scores become actions: candidates -> filters -> features -> score -> rank -> allocate.

    - **candidates**: entities for whom an expression over the features is true, or pairs of an
      entity and an item that one of several generators suggests. One decision for each.
    - **filters**: who is left out, by what facts and published decisions say of them.
    - **features**: what each of the views knew of the candidate when the day closed.
    - **score**: what the champion expects of each action; before the first champion, the bootstrap
      rule.
    - **rank**: by the expected outcome of acting, or by what acting changes. Among equals chance
      decides. Whom the bootstrap rule cannot score comes last; a model scores everybody, or
      nothing is published.
    - **allocate**: places of the day (`TopK`), places of each slate (`Slate`), a level
      (`Threshold`), or one of several arms (`Arms`); chance is let in by the exploration, and a
      control group is held whatever its score.

    All chance is a function of the decision_id, and where candidates share places of the flywheel,
    the day and the slate, so that a day decided again comes out the same. The propensity that is
    logged is the exact probability of the action taken: for places the marginal probability of
    having one, with ties and the control group counted in. `stages.policy.chances` gives it for
    every action, of candidates and of training rows alike.

    ========== ============================== ========================= ==========================
    Allocation `Epsilon`                      `Softmax`                 `Thompson`
    ========== ============================== ========================= ==========================
    TopK       a share of the day's places    odds of having a place    one replicate for the day
    Slate      a share of each slate's places odds of being in it       one replicate a slate
    Threshold  a share of those below it      no                        one replicate a candidate
    Arms       a share of the candidates      odds of each arm          one replicate a candidate
    ========== ============================== ========================= ==========================

    Before the first champion `Thompson` has nothing to believe, and the bootstrap rule decides.

    Parameters
    ----------
    candidates : polars expression or Pairs
        An expression over what a decision sees: true for who is considered (``pl.lit(True)`` for
        all entities of the view). Pairs come from generators. One decision for each candidate.
    filters : tuple of AlreadySeen and FrequencyCap
        Who is left out of them.
    bootstrap : polars expression
        Over what a decision sees: the score until there is a first champion; higher comes first.
        With arms it may use the arms' features. Where it is null or NaN the candidate comes last,
        with a null ``score``, and is acted on by exploration (`Epsilon`) alone: a place that nobody
        else wants stays empty. An arm that it cannot score is given by exploration alone, unless it
        can score none of them: then all are equally likely. Write ``fill_null`` for another order.
    rank_by : {"outcome", "uplift"}
        What is ranked: the expected outcome when acting, or what acting changes: the expected
        outcome when acting less that when not (with arms, less that of the last arm). That needs a
        model that learns it, `Model.learner`.
    allocation : TopK, Threshold, Slate or Arms
    exploration : Epsilon, Softmax or Thompson, optional
        The logged propensity is the exact probability of the action that was taken.
    control : float
        The share of the candidates, drawn uniformly, who are held whatever their score (with
        arms: who get the last arm). Places that they would have had stay empty.
    baselines : mapping of str to polars expression
        Simple rankings that performance is measured beside.
    """

    candidates: pl.Expr | Pairs
    bootstrap: pl.Expr
    allocation: Allocation
    owners: Sequence[str]
    description: str
    filters: tuple[Filter, ...] = ()
    rank_by: Literal["outcome", "uplift"] = "outcome"
    exploration: Exploration | None = None
    control: float = 0.0
    baselines: Mapping[str, pl.Expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_owners(self.owners, "the policy")
        object.__setattr__(self, "baselines", MappingProxyType(dict(self.baselines)))
        check_unique(("score", *self.baselines), "the score and the baselines of the policy")
        check_share(self.control, "the control group")
        check_choice(
            self.rank_by, ("outcome", "uplift"), "a policy that ranks by outcome or uplift"
        )
        allowed: tuple[type, ...] = (Epsilon, Softmax, Thompson)
        if isinstance(self.allocation, Threshold):
            allowed = (Epsilon, Thompson)
        if self.exploration is not None and not isinstance(self.exploration, allowed):
            raise DeclarationError(
                expected=f"a {type(self.allocation).__name__} policy that explores by "
                + " or ".join(t.__name__ for t in allowed),
                found=type(self.exploration).__name__,
                remedy="use one of these",
            )
        self._check_explored()

    def _check_explored(self) -> None:
        """Refuse a share of a day's places that is less than one of them: it would never explore.

        A slate's share is of its places on average, however small.
        """
        if self.capacity is None or not isinstance(self.exploration, Epsilon):
            return
        share = self.exploration.share
        if share > 0 and not round(self.capacity * share):
            places = many(self.capacity, "place")
            raise DeclarationError(
                expected=f"a share to explore that is one of {places} a day, or more",
                found=f"Epsilon(share={share:g}), which rounds to none: nothing would be explored",
                remedy=f"write share={1 / self.capacity:.2g} for one place, give more capacity, or "
                "declare no exploration",
            )

    @property
    def actions(self) -> tuple[str, ...]:
        """All that may be decided; without arms the second is to do nothing."""
        return self.allocation.actions

    @property
    def action(self) -> str:
        """What acting is called; with arms, the first of them."""
        return self.actions[0]

    @property
    def capacity(self) -> int | None:
        """How many are acted on each day, where that is limited."""
        return self.allocation.capacity if isinstance(self.allocation, TopK) else None

    @property
    def competing(self) -> bool:
        """Whether candidates compete for places, so that the chance of one hangs on the others."""
        return isinstance(self.allocation, TopK | Slate)

    @property
    def generators(self) -> tuple[Generator, ...]:
        """Where pairs come from; their columns are among what a decision sees."""
        return self.candidates.generators if isinstance(self.candidates, Pairs) else ()

    @property
    def per(self) -> str | None:
        """The key whose decisions are read together, as what it is shown; None without pairs."""
        if isinstance(self.allocation, Slate):
            return self.allocation.per
        return self.candidates.entity.keys[0] if isinstance(self.candidates, Pairs) else None

    @property
    def held(self) -> str | None:
        """The action of whoever is not acted on; None where one of several arms is always taken."""
        return None if isinstance(self.allocation, Arms) else self.actions[-1]

    @property
    def acting(self) -> tuple[str, ...]:
        """All actions but that of whoever is not acted on."""
        return tuple(action for action in self.actions if action != self.held)

    @property
    def arm_features(self) -> tuple[str, ...]:
        """Columns by which a model tells arms apart."""
        return self.allocation.features if isinstance(self.allocation, Arms) else ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Facts that candidates and filters are made of."""
        found = [g.fact for g in self.generators]
        found += [f.fact for f in self.filters if isinstance(f, AlreadySeen)]
        return tuple(dict.fromkeys(found))

    def check_columns(self, keys: Sequence[str], valid: Sequence[str]) -> None:
        """Refuse expressions over features that the flywheel does not have."""
        check_filters(self.filters, keys, "the policy")
        if isinstance(self.candidates, pl.Expr):
            check_expression(self.candidates, valid, "the candidates of the policy")
        every = [*valid, *self.arm_features]
        check_expression(self.bootstrap, every, "the bootstrap rule of the policy")
        for name, expression in self.baselines.items():
            check_expression(expression, every, f"baseline {name!r} of the policy")
        if isinstance(self.allocation, TopK) and self.allocation.each:
            check_columns([self.allocation.each], valid, "the capacity of the policy")
        if isinstance(self.allocation, Slate):
            check_columns([self.allocation.per], keys, "the slate of the policy")
            check_columns(self.allocation.at_most, valid, "the diversity of the slate")
