"""Decide: who, or which pairs, are considered at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

import polars as pl

from flywheel_assets.declare.collect import Entity
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import (
    check_choice,
    check_columns,
    check_expression,
    check_name,
    check_number,
    check_positive,
    check_unique,
    check_whole_days,
)
from flywheel_assets.errors import DeclarationError

KINDS = ("popular", "recent", "co_occurrence")


@dataclass(frozen=True, kw_only=True, eq=False)
class Generator:
    """Where pairs of an entity and an item come from, and how strongly each is suggested.

    Parameters
    ----------
    name : str
        Of the column that says how strongly (Float64, null where it does not suggest the pair): a
        feature of the pair.
    kind : {"popular", "recent", "co_occurrence"}
        ``popular``: the items of the most entities within the window, the same for everybody; as
        strong as these are many.
        ``recent``: the entity's own items, the last first; as strong as their age in days is below
        zero.
        ``co_occurrence``: the items new to the entity that entities with the same items have, by
        the cosine of the two items' entities, summed over what the entity has.
    fact : Fact
        With the entity's key and the item's.
    window : timedelta
        ``[t - window, t)``. Whole days.
    n : int
        How many for each entity, before filters; of equally strong ones the first by their key.
    where : polars expression, optional
        Only rows for which it is true.
    """

    name: str
    kind: Literal["popular", "recent", "co_occurrence"]
    fact: Fact
    window: timedelta
    n: int
    description: str
    where: pl.Expr | None = None

    def __post_init__(self) -> None:
        what = f"generator {self.name!r}"
        check_name(self.name, "a generator")
        check_choice(self.kind, KINDS, f"{what} of a known kind")
        check_whole_days(self.window, f"the window of {what}")
        if self.where is not None:
            check_expression(self.where, self.fact.schema, what)
        check_number(self.n, f"n of {what}", whole=True)
        if self.n < 1:
            raise DeclarationError(
                expected=f"{what} to suggest one item or more",
                found=f"n={self.n}",
                remedy="give how many for each entity",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Candidates that are pairs of an entity and an item, from one generator or several.

    Parameters
    ----------
    entity : Entity
        The pair: two keys, the entity's and the item's.
    of : FeatureView
        Whose entities are considered; its key is the first of the pair's.
    where : polars expression, optional
        Over that view: for whom.
    generators : tuple of Generator
        Merged: a pair is a candidate when one of them suggests it.
    """

    entity: Entity
    of: FeatureView
    generators: tuple[Generator, ...]
    where: pl.Expr | None = None

    def __post_init__(self) -> None:
        what = f"pairs {self.entity.name!r}"
        if (
            len(self.entity.keys) != 2  # noqa: PLR2004  a pair
            or self.of.entity.keys != self.entity.keys[:1]
        ):
            raise DeclarationError(
                expected=f"{what} with two keys, the first that of {self.of.entity.name!r}",
                found=f"{self.entity.keys} and {self.of.entity.keys}",
                remedy="write keys=('customer_id', 'item_id')",
            )
        if not self.generators:
            raise DeclarationError(
                expected=f"{what} with one generator or more",
                found="none",
                remedy="add a Generator",
            )
        check_unique([g.name for g in self.generators], f"generators of {what}")
        for generator in self.generators:
            check_columns(self.entity.keys, generator.fact.schema, f"generator {generator.name!r}")
        if self.where is not None:
            check_expression(self.where, [*self.of.entity.keys, *self.of.descriptions], what)


@dataclass(frozen=True, kw_only=True, eq=False)
class AlreadySeen:
    """Leave out candidates who have a row in a fact: products bought, customers written to.

    The fact has one of the candidate's keys or all of them: of pairs, a fact with both keys leaves
    out the pair, one with the customer's key every pair of the customer.

    Parameters
    ----------
    within : timedelta, optional
        How far back; for ever, if left out. Whole days.
    """

    fact: Fact
    where: pl.Expr | None = None
    within: timedelta | None = None

    def __post_init__(self) -> None:
        if self.within is not None:
            check_whole_days(self.within, "how far back a filter looks")
        if self.where is not None:
            check_expression(self.where, self.fact.schema, "a filter")


@dataclass(frozen=True, kw_only=True, eq=False)
class FrequencyCap:
    """Leave out candidates who were acted on so many times already.

    Counted are this flywheel's published decisions about the same entity, or pair, in
    ``[t - within, t)`` that were known when the new ones are made: those of the day before come in
    time, and a range is decided a day at a time. With arms every arm but the last counts.

    Parameters
    ----------
    times : int
    within : timedelta
        Whole days.
    """

    times: int
    within: timedelta

    def __post_init__(self) -> None:
        check_positive(self.within, "the span of a frequency cap")
        check_whole_days(self.within, "the span of a frequency cap")
        check_number(self.times, "times of a frequency cap", whole=True)
        if self.times < 1:
            raise DeclarationError(
                expected="a frequency cap of one or more",
                found=str(self.times),
                remedy="give after how many times no more follow",
            )


Filter: TypeAlias = AlreadySeen | FrequencyCap
"""A suppression list is a fact, and ``AlreadySeen`` of it."""


def check_filters(filters: Sequence[Filter], keys: Sequence[str], what: str) -> None:
    """Refuse filters over facts that do not know the candidates."""
    for rule in filters:
        if isinstance(rule, AlreadySeen):
            known = [key for key in keys if key in rule.fact.schema]
            if not known:
                raise DeclarationError(
                    expected=f"a filter of {what} over a fact about its candidates",
                    found=f"fact {rule.fact.name!r} without any of {', '.join(keys)}",
                    remedy="use a fact with one of these keys",
                )
