"""Organize: facts and dimensions, modelled from observations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import polars as pl

from flywheel_assets.declare.collect import Entity, Observation
from flywheel_assets.declare.rules import (
    CORRECTS,
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    RESERVED,
    RETRACTS,
    check_choice,
    check_columns,
    check_expression,
    check_name,
    check_owners,
    check_tuple,
    check_unique,
)
from flywheel_assets.errors import DeclarationError

CANCELS = "is_cancellation"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cancellation:
    """What becomes of records that take back an earlier one.

    Parameters
    ----------
    when : polars expression
        True for a record that cancels.
    becomes : {"negative_fact", "retraction"}
        A negative fact is a row of its own whose ``measures`` are negative, so that sums come out
        net. A retraction withdraws the newest earlier row with the same ``match`` columns and the
        opposite measures, from the moment at which the retraction became known; one that finds
        nothing to withdraw stays a negative fact.
    measures : tuple of str
        Columns that a cancellation makes negative.
    match : tuple of str
        For a retraction: the columns in which it equals what it withdraws.
    """

    when: pl.Expr
    becomes: Literal["negative_fact", "retraction"]
    measures: tuple[str, ...]
    match: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_tuple(self.measures, "measures", "a cancellation")
        check_tuple(self.match, "match", "a cancellation")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What a fact's rows name must be in a dimension.

    A row that names what the dimension does not have stays: its attributes may come later. A check
    of the fact tells.

    Parameters
    ----------
    columns : tuple of str
        The fact's columns that hold the dimension's keys, in their order; of the same names, if
        left out. A row with a null among them names nothing.
    severity : {"warn", "error"}
        Whether what is missing is told, or also stops what is downstream.
    """

    dimension: "Dimension"
    columns: tuple[str, ...] = ()
    severity: Literal["warn", "error"] = "warn"

    def __post_init__(self) -> None:
        check_choice(self.severity, ("warn", "error"), "a reference that is to warn or error")
        check_tuple(self.columns, "columns", "a reference")
        keys = self.dimension.entity.keys
        object.__setattr__(self, "columns", tuple(self.columns) or keys)
        if len(self.columns) != len(keys):
            raise DeclarationError(
                expected=f"a column for each key of dimension {self.dimension.name!r}, {keys}",
                found=repr(self.columns),
                remedy="name them in the order of the keys",
            )

    @property
    def table(self) -> str:
        """The dimension's table."""
        return f"organize/dim_{self.dimension.name}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fact:
    """A deduplicated, typed table of one observation kind.

    A row that ``retracts`` another is not counted, nor is the other from then on; one that was
    logged as a retraction has no payload. A row that ``corrects`` another stands for it from the
    moment at which it became known.

    Parameters
    ----------
    derive : mapping of str to polars expression
        Columns computed from those of the observation.
    cancellation : Cancellation, optional
    unique : tuple of str
        Columns that no two rows share, withdrawn, replaced and cancelling rows aside, nor those
        with a null among them. Two that do fail a check, which stops what is downstream.
    references : tuple of Reference
        Dimensions that rows name.

    Raises
    ------
    DeclarationError
        For an expression over a column that is not there; for a reference to keys of other types.
    """

    name: str
    observation: Observation
    owners: Sequence[str]
    description: str
    derive: Mapping[str, pl.Expr] = field(default_factory=dict)
    cancellation: Cancellation | None = None
    unique: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()

    def __post_init__(self) -> None:
        what = f"fact {self.name!r}"
        check_name(self.name, "a fact")
        check_owners(self.owners, what)
        object.__setattr__(self, "derive", MappingProxyType(dict(self.derive)))
        valid = [*self.observation.schema, EVENT_TIME, KNOWN_AT, OBSERVATION_ID]
        for name, expression in self.derive.items():
            check_name(name, f"a derived column of {what}")
            if name in RESERVED or name in self.observation.schema:
                raise DeclarationError(
                    expected=f"a derived column of {what} with a name of its own",
                    found=f"{name!r}, which is there already",
                    remedy="rename it",
                )
            check_expression(expression, valid, f"derived column {name!r} of {what}")
        if self.cancellation:
            rule = self.cancellation
            check_choice(
                rule.becomes, ("negative_fact", "retraction"), f"how {what} treats cancellations"
            )
            check_expression(rule.when, valid, f"the cancellation rule of {what}")
            check_columns(rule.measures, self.observation.schema, f"measures of {what}")
            check_columns(rule.match, self.observation.schema, f"match of {what}")
            if rule.becomes == "retraction" and not (rule.match and rule.measures):
                raise DeclarationError(
                    expected=f"{what} to say which row a retraction withdraws",
                    found="no match or no measures",
                    remedy="add match=(...) and measures=(...) to the Cancellation",
                )
        self._check_contract(what)

    def _check_contract(self, what: str) -> None:
        schema = self.schema
        check_tuple(self.unique, "unique", what)
        check_columns(self.unique, schema, f"unique of {what}")
        check_unique([r.dimension.name for r in self.references], f"references of {what}")
        for reference in self.references:
            check_columns(reference.columns, schema, f"a reference of {what}")
            dimension = reference.dimension
            keys = [dimension.observation.schema[key] for key in dimension.entity.keys]
            mine = [schema[column] for column in reference.columns]
            if keys != mine:
                raise DeclarationError(
                    expected=f"{what} to name {reference.table} by keys of its types, {keys}",
                    found=f"{reference.columns} of types {mine}",
                    remedy="name the columns that hold the keys, or declare the types alike",
                )

    @property
    def schema(self) -> dict[str, Any]:
        """Column name -> Polars data type."""
        base = {
            OBSERVATION_ID: pl.String(),
            EVENT_TIME: pl.Datetime("us", "UTC"),
            KNOWN_AT: pl.Datetime("us", "UTC"),
            **dict.fromkeys((DECISION_ID, CORRECTS, RETRACTS), pl.String()),
            **self.observation.schema,
        }
        extra: dict[str, Any] = {CANCELS: pl.Boolean()} if self.cancellation else {}
        rows = pl.LazyFrame(schema=base)
        try:
            return {**base, **extra, **rows.select(**self.derive).collect_schema()}
        except pl.exceptions.PolarsError:
            self._name_the_wrong(rows)
            raise

    def _name_the_wrong(self, rows: pl.LazyFrame) -> None:
        for name, expression in self.derive.items():
            try:
                rows.select(expression).collect_schema()
            except pl.exceptions.PolarsError as error:
                raise DeclarationError(
                    expected=f"derived column {name!r} of fact {self.name!r} to have a type",
                    found=f"{str(error).partition(chr(10))[0]}: {expression}",
                    remedy="cast what it is made of, or correct it",
                ) from error

    @property
    def with_outcome(self) -> frozenset[str]:
        """The columns that no feature may look at, those derived from such fields among them."""
        fields = self.observation.with_outcome
        derived = {
            name
            for name, expression in self.derive.items()
            if not fields.isdisjoint(expression.meta.root_names())
        }
        return fields | derived

    @property
    def descriptions(self) -> dict[str, str]:
        """Column name -> what it means."""
        computed = {name: f"Computed as {expression}." for name, expression in self.derive.items()}
        return {**self.observation.descriptions, **computed}


@dataclass(frozen=True, kw_only=True, eq=False)
class Dimension:
    """The history of an entity's attributes, slowly changing (type 2).

    Parameters
    ----------
    attributes : tuple of str
        Fields of the observation whose changes are kept.

    Notes
    -----
    Where the observation's source is a daily full dump, what is gone from a day that has one is
    closed from that day on, not deleted. Whose record breaks its contract is not gone, nor is who
    was changed so late that it is known on the next day: a dump is its file.

    What was told of an entity holds until something newer is told of it. A correction that says
    the moment of its original replaces that; a retraction takes no attribute back, nor does a
    correction that says an earlier moment or another entity: tell what holds by one more
    observation.
    """

    name: str
    entity: Entity
    observation: Observation
    attributes: tuple[str, ...]
    owners: Sequence[str]
    description: str

    def __post_init__(self) -> None:
        what = f"dimension {self.name!r}"
        check_name(self.name, "a dimension")
        check_owners(self.owners, what)
        check_tuple(self.attributes, "attributes", what)
        check_columns(self.attributes, self.observation.schema, f"attributes of {what}")
        check_columns(self.entity.keys, self.observation.schema, f"keys of {what}")
        if self.observation.is_full_dump:
            dumped = self.observation.entity.keys
            check_columns(self.entity.keys, dumped, f"{what}, of whom its full dump is,")
