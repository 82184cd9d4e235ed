"""Features: windowed aggregations over facts, attributes of dimensions, expressions over those."""

from collections.abc import Iterable, Mapping, Sequence
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
    check_positive,
    check_tuple,
    check_unique,
)
from flywheel_assets.errors import DeclarationError

Function: TypeAlias = Literal[
    "count",
    "sum",
    "mean",
    "variance",
    "variance_pop",
    "stddev",
    "stddev_pop",
    "min",
    "max",
    "first",
    "last",
    "first_n",
    "last_n",
    "n_unique",
    "mode",
    "top_k",
    "quantile",
    "ratio",
]
FUNCTIONS: tuple[str, ...] = get_args(Function)
LISTS = frozenset({"first_n", "last_n", "top_k"})
OTHER_NAMES = {
    "avg": "mean",
    "average": "mean",
    "unique_count": "n_unique",
    "nunique": "n_unique",
    "var_samp": "variance",
    "var_pop": "variance_pop",
    "approx_count_distinct": "n_unique",
    "stddev_samp": "stddev",
    "std": "stddev",
    "approx_percentile": "quantile",
    "first_k": "first_n",
    "last_k": "last_n",
    "median": "quantile",
    "minimum": "min",
    "maximum": "max",
}
"""What Chronon, Tecton and others call the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregation:
    """One feature: a function of a fact's column over a window that ends where the decision stands.

    Parameters
    ----------
    name : str
    description : str, optional
        What the column means, the function and the window say it, if left out; with a ``where`` it
        has to be said.
    function : str
        count, sum, mean, variance, stddev (of a sample), variance_pop, stddev_pop (of all there
        are), min, max, first, last, n_unique, first_n, last_n, mode, top_k (most frequent first),
        quantile (interpolated), ratio (of two sums). The names that Chronon and Tecton have for
        them are understood too.
    column : str, optional
        What is aggregated, its nulls left out; ``count`` needs none, and counts rows then.
    window : timedelta, optional
        ``[t - window, t)``. The whole history, if left out.
    where : polars expression, optional
        Only rows for which it is true.
    n : int, optional
        How many, for first_n, last_n and top_k.
    q : float, optional
        Which quantile, from 0 to 1.
    over : str, optional
        For ratio: the column whose sum divides that of `column`.
    by : str, optional
        A secondary key: the result is a list of one struct ``{by, value}`` for each of its values
        in the window, in their order; rows without one are left out. Not for ratio.
    aligned : bool
        Whether the window begins at the midnight (UTC) before ``t - window``, as Chronon's windows
        with a hop of a day do.

    Notes
    -----
    Over an empty window count, sum and n_unique are 0, lists are empty, and the rest is null. NaN
    is a value: it makes sums, means and deviations NaN, minimum and maximum pass it over unless
    there is nothing else, and n_unique counts it once. Rows that happened at the same time are in
    the order in which they became known, then of their ``observation_id``.

    Examples
    --------
    >>> Aggregation(name="orders_30d", function="unique_count", column="invoice",
    ...             window=timedelta(days=30), description="Orders in 30 days.").function
    'n_unique'
    """

    name: str
    function: Function
    description: str = ""
    column: str | None = None
    window: timedelta | None = None
    where: pl.Expr | None = None
    n: int | None = None
    q: float | None = None
    over: str | None = None
    by: str | None = None
    aligned: bool = False

    def __post_init__(self) -> None:
        what = f"aggregation {self.name!r}"
        check_name(self.name, "an aggregation")
        if self.function == "median" and self.q is None:  # type: ignore[comparison-overlap]  # an other name
            object.__setattr__(self, "q", 0.5)
        object.__setattr__(self, "function", OTHER_NAMES.get(self.function, self.function))
        check_choice(self.function, FUNCTIONS, f"{what} to use a known function")
        if self.window is not None:
            check_positive(self.window, f"the window of {what}")
        self._check("column", needed=self.function != "count", allowed=True)
        self._check("n", needed=self.function in LISTS)
        self._check("q", needed=self.function == "quantile")
        self._check("over", needed=self.function == "ratio")
        self._check("by", needed=False, allowed=self.function != "ratio")
        if (self.n is not None and self.n < 1) or not 0 <= (self.q or 0) <= 1:
            raise DeclarationError(
                expected=f"{what} with n of 1 or more, and q from 0 to 1",
                found=f"n={self.n}, q={self.q}",
                remedy="correct it",
            )

    def _check(self, option: str, *, needed: bool, allowed: bool = False) -> None:
        given = getattr(self, option) is not None
        if needed and not given:
            raise DeclarationError(
                expected=f"aggregation {self.name!r} to say {option}",
                found="none",
                remedy=f"add {option}=... for {self.function}",
            )
        if given and not (needed or allowed):
            raise DeclarationError(
                expected=f"aggregation {self.name!r} without {option}",
                found=f"{option}={getattr(self, option)!r}",
                remedy=f"leave it out: {self.function} has no use for it",
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, those of `where` aside."""
        return tuple(c for c in (self.column, self.over, self.by) if c is not None)


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
        For names used twice, for expressions over columns that are not there, and for fields that
        are declared as known only with the outcome.
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
            check_columns(aggregation.columns, self.fact.schema, where)
            looks_at = [*aggregation.columns]
            if aggregation.where is not None:
                looks_at += aggregation.where.meta.root_names()
            _check_known(looks_at, self.fact.with_outcome, where)
            if not aggregation.description and aggregation.where is not None:
                raise DeclarationError(
                    expected=f"{where} with a description of which rows it is about",
                    found="none",
                    remedy="add description='...'",
                )
            if aggregation.window and not self.fact.observation.tells_when:
                raise DeclarationError(
                    expected=f"{where} over a fact whose rows have a time",
                    found=f"fact {self.fact.name!r}, whose source declares no event_time",
                    remedy="add event_time='...' to the source, or leave the window out",
                )
            if aggregation.where is not None:
                check_expression(aggregation.where, self.fact.schema, where)
        for dimension, attributes in self.dimensions.items():
            check_tuple(attributes, f"dimensions[{dimension.name}]", what)
            check_columns(attributes, dimension.attributes, f"attributes of {what}")
            _check_known(attributes, dimension.observation.with_outcome, f"attributes of {what}")
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
            **{a.name: a.description or self._said(a) for a in self.aggregations},
            **attributes,
            **{e.name: e.description for e in self.expressions},
        }

    def _said(self, aggregation: Aggregation) -> str:
        """Describe an aggregation by what its column means."""
        column, window = aggregation.column, aggregation.window
        what = self.fact.descriptions.get(column or "", f"Rows of {self.fact.name}.")
        span = "all history" if window is None else f"the last {window / timedelta(days=1):g} days"
        return f"{what} {aggregation.function.capitalize()} of {span}."

    @property
    def longest_window(self) -> timedelta | None:
        """How far back the view looks; None for the whole history."""
        windows = [a.window for a in self.aggregations]
        return None if None in windows else max(w for w in windows if w is not None)


def _check_known(columns: Iterable[str], with_outcome: frozenset[str], what: str) -> None:
    """Refuse what is known only when the outcome is."""
    for column in columns:
        if column in with_outcome:
            raise DeclarationError(
                expected=f"{what} to look at what is known when a decision is made",
                found=f"{column!r}, known only with the outcome",
                remedy="leave it out, or declare its field known='at_once' if it is",
            )
