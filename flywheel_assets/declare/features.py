"""Features: windowed aggregations over facts, attributes of dimensions, expressions over those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import polars as pl

from flywheel_assets.declare.collect import Entity
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.declare.rules import (
    AS_OF,
    check_choice,
    check_columns,
    check_expression,
    check_name,
    check_owners,
    check_unique,
    check_whole_days,
)
from flywheel_assets.errors import DeclarationError

Function: TypeAlias = Literal[
    "count", "sum", "mean", "min", "max", "stddev", "last", "first", "n_unique"
]
FUNCTIONS: tuple[str, ...] = get_args(Function)


@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregation:
    """One feature: a function of a fact's column over a window that ends where the decision stands.

    Parameters
    ----------
    function : str
        count, sum, mean, min, max, stddev (sample), last, first, n_unique.
    column : str, optional
        What is aggregated; ``count`` needs none.
    window : timedelta, optional
        ``[t - window, t)``, in whole days. The whole history, if left out.
    where : polars expression, optional
        Only rows for which it is true.

    Examples
    --------
    >>> Aggregation(name="orders_30d", function="n_unique", column="invoice",
    ...             window=timedelta(days=30), description="Orders in 30 days.").function
    'n_unique'
    """

    name: str
    function: Function
    description: str
    column: str | None = None
    window: timedelta | None = None
    where: pl.Expr | None = None

    def __post_init__(self) -> None:
        what = f"aggregation {self.name!r}"
        check_name(self.name, "an aggregation")
        check_choice(self.function, FUNCTIONS, f"{what} to use a known function")
        if self.window is not None:
            check_whole_days(self.window, f"the window of {what}")
        if self.column is None and self.function != "count":
            raise DeclarationError(
                expected=f"{what} to say which column",
                found="none",
                remedy=f"add column='...' for {self.function}",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Expression:
    """One feature computed from the others of its view, and from ``as_of``, the moment itself."""

    name: str
    expression: pl.Expr
    description: str

    def __post_init__(self) -> None:
        check_name(self.name, "an expression")


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureView:
    """Declared features of one entity: one row for each entity as of a moment.

    An entity is in the view of T when anything of it was visible within the longest window.

    Parameters
    ----------
    fact : Fact
    aggregations : tuple of Aggregation
    dimensions : mapping of Dimension to tuple of str
        Attributes as of the moment.
    expressions : tuple of Expression
        In order; each may use those before it.

    Raises
    ------
    DeclarationError
        For names used twice, and for expressions over columns that are not there.
    """

    name: str
    entity: Entity
    fact: Fact
    aggregations: tuple[Aggregation, ...]
    owners: Sequence[str]
    description: str
    dimensions: Mapping[Dimension, tuple[str, ...]] = field(default_factory=dict)
    expressions: tuple[Expression, ...] = ()

    def __post_init__(self) -> None:
        what = f"feature view {self.name!r}"
        check_name(self.name, "a feature view")
        check_owners(self.owners, what)
        object.__setattr__(self, "dimensions", MappingProxyType(dict(self.dimensions)))
        check_columns(self.entity.keys, self.fact.schema, f"keys of {what}")
        if not self.aggregations:
            raise DeclarationError(
                expected=f"{what} with one aggregation or more",
                found="none",
                remedy="add an Aggregation, for example a count",
            )
        for aggregation in self.aggregations:
            where = f"aggregation {aggregation.name!r} of {what}"
            if aggregation.column is not None:
                check_columns([aggregation.column], self.fact.schema, where)
            if aggregation.window and not self.fact.observation.tells_when:
                raise DeclarationError(
                    expected=f"{where} over a fact whose rows have a time",
                    found=f"fact {self.fact.name!r}, whose source declares no event_time",
                    remedy="add event_time='...' to the source, or leave the window out",
                )
            if aggregation.where is not None:
                check_expression(aggregation.where, self.fact.schema, where)
        for dimension, attributes in self.dimensions.items():
            check_columns(attributes, dimension.attributes, f"attributes of {what}")
        valid = [*self.entity.keys, AS_OF, *(a.name for a in self.aggregations)]
        valid += [name for names in self.dimensions.values() for name in names]
        for expression in self.expressions:
            check_expression(expression.expression, valid, f"{expression.name!r} of {what}")
            valid.append(expression.name)
        check_unique(valid, f"columns of {what}")

    @property
    def descriptions(self) -> dict[str, str]:
        """Feature name -> what it means, in the order of the table."""
        attributes = {
            name: f"As of the moment, from {dimension.name}."
            for dimension, names in self.dimensions.items()
            for name in names
        }
        return {
            **{a.name: a.description for a in self.aggregations},
            **attributes,
            **{e.name: e.description for e in self.expressions},
        }

    @property
    def longest_window(self) -> timedelta | None:
        """How far back the view looks; None for the whole history."""
        windows = [a.window for a in self.aggregations]
        return None if None in windows else max(w for w in windows if w is not None)
