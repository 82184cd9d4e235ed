"""Collect: the entity, what is observed of it, and where the records come from."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flywheel_assets.declare.field import NO_DEFAULT, Field
from flywheel_assets.declare.rules import (
    check_columns,
    check_name,
    check_owners,
    check_tuple,
    check_unique,
)
from flywheel_assets.errors import DeclarationError

_THOUSANDS = (",", ".", " ", "'", "\u00a0", "\u202f")


@dataclass(frozen=True, kw_only=True, eq=False)
class Entity:
    """The thing that decisions are about, and the columns that tell one from another.

    Examples
    --------
    >>> Entity(name="customer", keys=("customer_id",), owners=["team:crm"], description="x").keys
    ('customer_id',)
    """

    name: str
    keys: tuple[str, ...]
    owners: Sequence[str]
    description: str

    def __post_init__(self) -> None:
        check_name(self.name, "an entity")
        check_owners(self.owners, f"entity {self.name!r}")
        if isinstance(self.keys, str) or not self.keys:
            raise DeclarationError(
                expected=f"entity {self.name!r} with a tuple of key columns",
                found=repr(self.keys),
                remedy=f"write keys=('{self.name}_id',)",
            )
        for key in self.keys:
            check_name(key, "an entity key")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Dated:
    """What every source declares: what its columns are called, and which of them say when.

    Parameters
    ----------
    event_time : str, optional
        The source column that says when it happened; when it became known, if left out.
    columns : mapping of str to str
        Field name -> source column, where the two differ.
    time_format : str or tuple of str, optional
        For times written as text, as of ``strptime``; ISO 8601 without it. Of several, the first
        that fits: name them in the order in which they are to be tried.
    time_zone : str
        Of times written without one; stored times are UTC.
    known_at : str, optional
        The source column that says when it became known.
    delay : timedelta
        How much later than the one column of the two that is declared it became known. Without
        an event_time that is also when it happened: a verdict seven days after its transaction.
    decision_id : str, optional
        The source column that names the decision which a record answers, if any.
    decimal : {".", ","}
        What stands before the decimals of numbers written as text.
    thousands : {",", ".", " ", "'"}, optional
        What stands between their thousands; a blank may be one that does not break a line.
    """

    event_time: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    time_format: str | tuple[str, ...] | None = None
    time_zone: str = "UTC"
    known_at: str | None = None
    delay: timedelta = timedelta(0)
    decision_id: str | None = None
    decimal: str = "."
    thousands: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise DeclarationError(
                expected="a time zone of the IANA database",
                found=repr(self.time_zone),
                remedy="write for example 'Europe/London'",
            ) from None
        if not all("%" in written for written in self.time_formats):
            raise DeclarationError(
                expected="time_format as of strptime",
                found=repr(self.time_format),
                remedy="write for example '%d.%m.%Y %H:%M'",
            )
        both = self.event_time is not None and self.known_at is not None
        if self.delay < timedelta(0) or (both and self.delay):
            raise DeclarationError(
                expected="a delay of zero or more after event_time or known_at, not after both",
                found=f"delay={self.delay}, known_at={self.known_at!r}",
                remedy="leave one of the three out",
            )
        if self.decimal not in (".", ","):
            raise DeclarationError(
                expected="decimal='.' or ','", found=repr(self.decimal), remedy="write one of them"
            )
        if self.thousands not in (None, *_THOUSANDS) or self.thousands == self.decimal:
            raise DeclarationError(
                expected=f"thousands as one of {_THOUSANDS}, and not what stands before decimals",
                found=f"thousands={self.thousands!r}, decimal={self.decimal!r}",
                remedy="write for example decimal=',', thousands='.'",
            )

    @property
    def time_formats(self) -> tuple[str, ...]:
        """The declared formats of times, in the order in which they are tried."""
        declared = self.time_format
        return (declared,) if isinstance(declared, str) else declared or ()

    @property
    def delay_in_days(self) -> timedelta:
        """The delay in whole days, rounded up: how many partitions later it may be known."""
        day = timedelta(days=1)
        return math.ceil(self.delay / day) * day

    def source_column(self, field_name: str) -> str:
        """Name the source column that holds a field."""
        return self.columns.get(field_name, field_name)


@dataclass(frozen=True, kw_only=True, eq=False)
class _TableSource(_Dated):
    """What every source of files declares.

    Parameters
    ----------
    path : str
        Where the data is. A relative path stands for one below the home.
    separator : str
        What stands between the fields of a CSV file.
    encoding : str
        Of a CSV file, by Python's name for it, for example "latin-1".
    final_newline : bool
        Whether a CSV file that ends without a line end has been cut off.
    null_values : tuple of str
        What an unquoted field of a CSV file says where there is no value, for example
        ``("?", "NA")``; an empty one always does.
    """

    path: str
    separator: str = ","
    encoding: str = "utf-8"
    final_newline: bool = True
    null_values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tuple(self.null_values, "null_values", "a source")
        mark = self.separator
        if len(mark) != 1 or not mark.isascii() or mark in '"\r\n':
            raise DeclarationError(
                expected="a separator of one ASCII character, neither a quote nor a line end",
                found=repr(mark),
                remedy="write for example ';' or '\\t'",
            )
        try:
            "a".encode(self.encoding)
        except (LookupError, UnicodeError):
            raise DeclarationError(
                expected="an encoding that Python knows",
                found=repr(self.encoding),
                remedy="write for example 'latin-1'",
            ) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class DailyFiles(_TableSource):
    """A folder of CSV or Parquet files, one a day.

    A record in the file of day F became known on day F: at ``event_time + delay``, but not before F
    began. A day without a file has no records, or is an error where ``every_day`` is set.

    Parameters
    ----------
    pattern : str
        The file's name, with ``{day}`` for the date as 2026-01-31.
    full_dump : bool
        Each file is the whole of its source, told again each day. A row told again is then an
        observation of that day, not a duplicate, and a dimension closes what a dump leaves out.
    """

    pattern: str = "{day}.csv"
    every_day: bool = False
    full_dump: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{day}" not in self.pattern or not self.pattern.endswith((".csv", ".parquet")):
            raise DeclarationError(
                expected="a file name with {day} in it that ends in .csv or .parquet",
                found=repr(self.pattern),
                remedy="write for example '{day}.csv'",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class TableFile(_TableSource):
    """One CSV or Parquet file, or a glob of them, holding all days."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_dated(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class DeltaSource(_TableSource):
    """A Delta table that something else writes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_dated(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class SqlSource(_Dated):
    """A table or query of SQLite or PostgreSQL, read on from where the last read ended.

    What was read is kept in ``collect/<observation>_pulled``, so that a partition comes out the
    same however often it is made, whatever became of the database. A row became known when
    `known_at` says, or `event_time` and `delay`; one that turns up only after that day had been
    read became known on the first day that had not. A row that changes and moves its cursor is
    read again, as another observation; what is deleted is not noticed.

    Parameters
    ----------
    url : str
        The name of the environment variable that holds the URL, ``sqlite:///file`` or
        ``postgresql://...``: neither declarations nor metadata hold credentials. In a password,
        ``@``, ``:``, ``/`` and the like are escaped, as ``%40``.
    cursor : str
        A column without nulls that only grows from one commit to the next, an id or a time of
        change: a number, a text, a date or time, a UUID. A row that is committed below what was
        read already is never read.
    table, query : str
        Either of them.
    """

    url: str
    cursor: str
    table: str | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_dated(self)
        if (self.table is None) is (self.query is None):
            raise DeclarationError(
                expected="a SqlSource with a table or a query",
                found=f"table={self.table!r}, query={self.query!r}",
                remedy="give one of them",
            )
        if not _VARIABLE.fullmatch(self.url):
            raise DeclarationError(
                expected="url= as the name of an environment variable that holds the URL",
                found="something else, perhaps the URL itself, which is kept out of declarations",
                remedy="write for example url='SHOP_DATABASE_URL'",
            )


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _check_dated(source: _Dated) -> None:
    if source.event_time is None and source.known_at is None:
        raise DeclarationError(
            expected="a table source with a column that says when",
            found="neither event_time nor known_at",
            remedy="add event_time='...'",
        )


Source: TypeAlias = DailyFiles | TableFile | DeltaSource | SqlSource


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """An immutable record that something happened, with its contract and its source.

    Any of them may also be logged through the API.

    Parameters
    ----------
    entity : Entity
        Whose keys are among the fields.
    fields : sequence of Field
        The payload's contract, entity keys included.
    source : DailyFiles, TableFile, DeltaSource or SqlSource, optional
        Where else its records come from than the API.
    id_fields : tuple of str
        The fields that tell one observation from another, ``event_time`` always among them. Two
        records with the same are one observation, counted once; one with other content than the
        first is rejected, and may be logged as a correction. All fields, if left out. Their order
        is part of the ids: in another, a record that is told again is another observation.
    duplicates_within : timedelta
        How far apart in known days a record may be sent again and still be recognised; so long
        the inbox keeps the ids of what was collected.
    clock_tolerance : timedelta
        How much later than ``known_at`` an event may claim to have happened.

    Raises
    ------
    DeclarationError
        For keys that are not fields, fields declared twice, an unknown id field.
    """

    name: str
    entity: Entity
    fields: tuple[Field, ...]
    owners: Sequence[str]
    description: str
    source: Source | None = None
    id_fields: tuple[str, ...] = ()
    duplicates_within: timedelta = timedelta(days=30)
    clock_tolerance: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        what = f"observation {self.name!r}"
        check_name(self.name, "an observation")
        check_owners(self.owners, what)
        names = [f.name for f in self.fields]
        told = [name for f in self.fields for name in (f.name, *f.old_names)]
        check_unique(told, f"fields of {what}")
        check_columns(self.entity.keys, names, what)
        self._check_keys(what)
        check_tuple(self.id_fields, "id_fields", what)
        check_columns(self.id_fields, names, f"id_fields of {what}")
        if self.source is not None:
            check_columns(self.source.columns, names, f"the source of {what}")

    def _check_keys(self, what: str) -> None:
        for f in self.fields:
            kept = f.retired or f.default is not NO_DEFAULT or f.old_names
            if f.name in self.entity.keys and kept:
                raise DeclarationError(
                    expected=f"{what} with keys that keep their names and are always told",
                    found=f"{f.name!r} with a default, old names, or retired",
                    remedy="declare a new observation beside the old one",
                )

    def told_as(self, name: str) -> tuple[str, ...]:
        """Give the source columns that may hold a field: today's name, then the older ones."""
        if self.source is not None and name in self.source.columns:
            return (self.source.columns[name],)
        f = next(f for f in self.fields if f.name == name)
        return (name, *reversed(f.old_names))

    @property
    def schema(self) -> dict[str, Any]:
        """Field name -> Polars data type, in the declared order."""
        return {f.name: f.dtype for f in self.fields}

    @property
    def identified_by(self) -> tuple[str, ...]:
        """The fields that make up an id, ``event_time`` and `added` ones aside."""
        return self.id_fields or tuple(f.name for f in self.fields if not f.is_added)

    @property
    def added(self) -> tuple[Field, ...]:
        """The fields that were declared later; each is part of an id where it tells something."""
        return () if self.id_fields else tuple(f for f in self.fields if f.is_added)

    @property
    def tells_when(self) -> bool:
        """Whether its records say when, and not only in which day's file they stand."""
        source = self.source
        return source is None or (source.event_time or source.known_at) is not None

    @property
    def with_outcome(self) -> frozenset[str]:
        """The fields that no feature may look at."""
        return frozenset(f.name for f in self.fields if f.known == "with_outcome")

    @property
    def is_full_dump(self) -> bool:
        """Whether each day's records are the whole of the source."""
        return isinstance(self.source, DailyFiles) and self.source.full_dump

    @property
    def descriptions(self) -> dict[str, str]:
        """Field name -> what it means."""
        return {f.name: f.description for f in self.fields}
