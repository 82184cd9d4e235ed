"""Allocation: each kind's exact probabilities of acting, and draws with just these."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl

from flywheel_assets.declare.allocate import (
    Arms,
    Epsilon,
    Slate,
    Softmax,
    Thompson,
    Threshold,
    TopK,
)
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF
from flywheel_assets.stages.chance import uniform
from flywheel_assets.stages.inclusion import (
    ROUNDING,
    Groups,
    Ints,
    best_of,
    epsilon,
    shared,
    softmax,
    systematic,
)
from flywheel_assets.stages.predicted import Floats


@dataclass(frozen=True)
class Contest:
    """Candidates and what they are worth.

    Parameters
    ----------
    frame : DataFrame, (n_rows, ...)
        What decisions see, with ``as_of``.
    ids : Series of String, (n_rows,)
        Their decision_ids.
    value : ndarray of float64, (n_rows, n_arms) or (n_rows, 1)
        What acting is worth, by arm where there are arms; -inf where that is not known.
    replicates : ndarray of float64, (n_replicates, n_rows, n_arms) or (n_replicates, n_rows, 1)
        The same by each replicate of the model that Thompson sampling believes one of.
    """

    frame: pl.DataFrame
    ids: pl.Series
    value: Floats
    replicates: Floats | None
    flywheel: Flywheel

    def chance(self, purpose: str) -> Floats:
        """Give each candidate a number, uniform in [0, 1), for a purpose."""
        return uniform(self.ids, purpose)


class Allocation(Protocol):
    """One contest's outcome, the control group aside."""

    def chances(self) -> Floats:
        """Give the probability of each action, (n_rows, n_actions)."""

    def draw(self) -> Ints:
        """Draw each candidate's action, (n_rows,)."""


def allocation(contest: Contest) -> Allocation:
    """Allocate as the policy declares."""
    declared = contest.flywheel.policy.allocation
    if isinstance(declared, Arms):
        return _Arms(contest)
    if isinstance(declared, Threshold):
        return _Threshold(contest, declared)
    return _Places(contest, declared)


@dataclass(frozen=True)
class _Arms:
    """Each candidate for itself: one of several arms."""

    contest: Contest

    def chances(self) -> Floats:
        contest = self.contest
        exploration = contest.flywheel.policy.exploration
        if isinstance(exploration, Softmax):
            return _softmax_of_arms(contest.value, exploration.temperature)
        if isinstance(exploration, Thompson) and contest.replicates is not None:
            # One at a time: all of them together would be many times the candidates' own size.
            return np.asarray(sum(map(_best_arms, contest.replicates)) / len(contest.replicates))
        best = _best_arms(contest.value)
        if isinstance(exploration, Epsilon):
            best += exploration.share * (1 / best.shape[1] - best)
        return best

    def draw(self) -> Ints:
        reached = np.cumsum(self.chances(), axis=1)
        reached /= reached[:, -1:]
        # Where the sum does not round to one, the last arm with any chance ends it all the same.
        drawn: Ints = (reached <= self.contest.chance("arm")[:, None]).sum(axis=1)
        return drawn


def _best_arms(value: Floats) -> Floats:
    best = value == value.max(axis=1, keepdims=True)
    shared: Floats = best / best.sum(axis=1, keepdims=True)
    return shared


def _softmax_of_arms(value: Floats, temperature: float) -> Floats:
    best = value.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # inf less inf is a tie
        weight = np.exp(np.nan_to_num((value - best) / temperature, nan=0.0, neginf=-np.inf))
    share: Floats = weight / weight.sum(axis=1, keepdims=True)
    return share


@dataclass(frozen=True)
class _Threshold:
    """Each candidate for itself: acted on from a level on."""

    contest: Contest
    declared: Threshold

    @cached_property
    def _acting(self) -> Floats:
        contest, at = self.contest, self.declared.at
        exploration = contest.flywheel.policy.exploration
        if isinstance(exploration, Thompson) and contest.replicates is not None:
            return np.asarray((contest.replicates[:, :, 0] >= at).mean(axis=0))
        reached = (contest.value[:, 0] >= at).astype(np.float64)
        if isinstance(exploration, Epsilon):
            reached += (1 - reached) * exploration.share
        return reached

    def chances(self) -> Floats:
        return _act_or_hold(self._acting)

    def draw(self) -> Ints:
        return (self.contest.chance("act") >= self._acting).astype(np.int64)


@dataclass(frozen=True)
class _Included:
    """Who has a place, and with what probability.

    Parameters
    ----------
    chance : ndarray of float64, (n_rows,)
        Of acting on each candidate.
    standing : ndarray of int64, (n_standing,)
        The rows that compete for places: all of them, or those that stand for the others.
    places : ndarray of float64, (n_standing,)
        The probability with which each of these has one.
    """

    chance: Floats
    standing: Ints
    places: Floats


@dataclass(frozen=True)
class _Places:
    """Candidates compete for the places of a day or of a slate."""

    contest: Contest
    declared: TopK | Slate

    def chances(self) -> Floats:
        believed = self._believed
        if believed is None:
            return _act_or_hold(self._by_score.chance)
        # One at a time: all of them together would be many times the candidates' own size.
        mean = np.zeros(self.contest.frame.height)
        for value in believed:
            mean += self._included(value).chance
        return _act_or_hold(_whole(mean / len(believed)))

    def draw(self) -> Ints:
        included, believed = self._by_score, self._believed
        held = np.ones(len(self.contest.ids), dtype=np.int64)
        if believed is not None:
            which = (uniform(self._names, "replicate") * len(believed)).astype(np.int64)
            included = self._included(believed[which[self._groups.codes], np.arange(len(held))])
        drawn = systematic(
            included.places,
            self._groups.some(included.standing),
            self.contest.chance("order")[included.standing],
            uniform(self._names, "start"),
        )
        held[included.standing[drawn]] = 0
        return held

    @cached_property
    def _by_score(self) -> _Included:
        return self._included(self.contest.value[:, 0])

    @property
    def _believed(self) -> Floats | None:
        """What each replicate expects, (n_replicates, n_rows), where one of them is believed."""
        replicates = self.contest.replicates
        thompson = isinstance(self.contest.flywheel.policy.exploration, Thompson)
        return replicates[:, :, 0] if thompson and replicates is not None else None

    @cached_property
    def _grouped(self) -> tuple[Groups, pl.Series]:
        """Who competes with whom, and what each group is called."""
        per = [self.declared.per] if isinstance(self.declared, Slate) else []
        codes, found = coded(self.contest.frame, [AS_OF, *per])
        texts = [pl.col(name).cast(pl.String) for name in (AS_OF, *per)]
        name = pl.concat_str(pl.lit(self.contest.flywheel.name), *texts, separator=":")
        return Groups(codes, found.height), found.select(name.alias("name")).to_series()

    @property
    def _groups(self) -> Groups:
        return self._grouped[0]

    @property
    def _names(self) -> pl.Series:
        return self._grouped[1]

    @cached_property
    def _limits(self) -> list[tuple[Groups, int]]:
        """Of what units no more than so many may have a place: one for a card, two of a brand."""
        if isinstance(self.declared, TopK):
            limits = {self.declared.each: 1} if self.declared.each is not None else {}
        else:
            limits = dict(self.declared.at_most)
        return [(self._units(column), most) for column, most in limits.items()]

    def _units(self, column: str) -> Groups:
        """Part groups by a column's values; a null is a unit of its own."""
        frame = self.contest.frame.select(column, pl.Series("_group", self._groups.codes))
        codes, found = coded(frame, ["_group", column])
        alone = frame[column].is_null().to_numpy()
        codes = np.where(alone, found.height + np.arange(len(codes)), codes)
        kept, codes = np.unique(codes, return_inverse=True)
        return Groups(codes, len(kept))

    def _included(self, value: Floats) -> _Included:
        standing, tie = np.arange(len(value)), self.contest.chance("tie")
        for units, most in self._limits:
            best = best_of(value[standing], tie[standing], units.some(standing), most)
            standing = standing[best]
        places = self._inclusion(value[standing], self._groups.some(standing))
        chance = np.zeros(len(value))
        chance[standing] = places
        if len(self._limits) == 1:
            chance = _whole(shared(chance, value, *self._limits[0]))
        return _Included(chance, standing, places)

    def _inclusion(self, value: Floats, groups: Groups) -> Floats:
        exploration = self.contest.flywheel.policy.exploration
        slate = isinstance(self.declared, Slate)
        places = self.declared.size if isinstance(self.declared, Slate) else self.declared.capacity
        if isinstance(exploration, Softmax):
            return _whole(softmax(value, groups, places, exploration.temperature))
        explored = places * exploration.share if isinstance(exploration, Epsilon) else 0.0
        return _whole(epsilon(value, groups, places, explored if slate else round(explored)))


def _act_or_hold(acting: Floats) -> Floats:
    return np.column_stack([acting, 1.0 - acting])


def _whole(chance: Floats) -> Floats:
    """Make certain what is certain but for rounding."""
    return np.where(chance > 1.0 - ROUNDING, 1.0, chance)


def coded(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[Ints, pl.DataFrame]:
    """Give each row the number of its values among the distinct ones; null is one of them."""
    found = frame.select(*columns).unique().sort(*columns).with_row_index("_code")
    coded = frame.select(*columns).join(
        found, on=columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return coded["_code"].cast(pl.Int64).to_numpy(), found.drop("_code")
