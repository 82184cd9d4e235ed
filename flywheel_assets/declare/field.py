"""A field: one column of an observation's contract, from which all that enforces it is made."""

import math
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Literal

import polars as pl

from flywheel_assets.declare.rules import (
    RESERVED,
    check_choice,
    check_name,
    check_tuple,
    check_unique,
)
from flywheel_assets.errors import DeclarationError

_ALLOWED = (pl.Int64, pl.Int32, pl.Float64, pl.String, pl.Boolean, pl.Date, pl.Datetime)
_UTC = pl.Datetime("us", "UTC")


class _NoDefault:
    """The default of a field that has none, since None may be one."""

    def __repr__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Any = _NoDefault()


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """One column of a contract.

    What breaks it is refused by the API and, from files, rejected with the reason by collect; its
    rules stand in the tables' column schemas and in the API's.

    Parameters
    ----------
    name : str
    dtype : polars data type
        One of Int64, Int32, Float64, String, Boolean, Date, Datetime (microseconds, UTC).
    description : str
    nullable : bool
        Whether a record without a value is sound.
    minimum, maximum : float, optional
        Inclusive bounds of a number.
    allowed : sequence, optional
        The only values there may be.
    known : {"at_once", "with_outcome"}
        What is known only when the outcome is, for example how long the call that sold took, may
        be the outcome and its reward, and is refused in features: there it would tell the model
        what it is asked.
    default : optional
        What a record without a value says: one from before the field was declared, or from a
        producer that does not send it yet. A file may then lack the column. None for a field that
        is nullable, a value for one that is not; a time is in UTC.
    old_names : tuple of str
        What the field was called before, the first of its names first. Tables that have it under
        an old name keep their data, and a producer that still sends an old name is served. For as
        long as there are tables or producers from then, the old names stay declared.
    retired : bool
        On its way out: nothing may use it any more, producers may leave it out. Once it has been
        retired in every flywheel, its line can go.

    Raises
    ------
    DeclarationError
        For a rule that no value, or not every value of the type, can be held against.

    Examples
    --------
    >>> Field(name="quantity", dtype=pl.Int64, description="Units ordered.", minimum=1).rules
    ('at least 1',)
    """

    name: str
    dtype: Any
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Any, ...] | None = None
    known: Literal["at_once", "with_outcome"] = "at_once"
    default: Any = NO_DEFAULT
    old_names: tuple[str, ...] = ()
    retired: bool = False

    def __post_init__(self) -> None:
        check_name(self.name, "a field")
        check_choice(
            self.known,
            ("at_once", "with_outcome"),
            f"field {self.name!r} known at_once or with_outcome",
        )
        if self.name in RESERVED:
            raise DeclarationError(
                expected="a field with a name of its own",
                found=f"{self.name!r}, which the flywheel writes itself",
                remedy="rename the field",
            )
        if self.dtype not in _ALLOWED:
            raise DeclarationError(
                expected=f"field {self.name!r} of a type that every table can hold",
                found=repr(self.dtype),
                remedy="use one of " + ", ".join(t.__name__ for t in _ALLOWED),
            )
        if self.dtype == pl.Datetime:
            object.__setattr__(self, "dtype", _UTC)
        self._check_range()
        check_tuple(self.allowed, "allowed", f"field {self.name!r}")
        if self.allowed is not None:
            object.__setattr__(self, "allowed", tuple(self.allowed))
            self._check_allowed(self.allowed)
        if self.retired:
            object.__setattr__(self, "nullable", True)
        elif self.default is not NO_DEFAULT:
            self._check_default()
        self._check_old_names()

    @property
    def may_lack(self) -> bool:
        """Whether a file without the column can be read."""
        return self.retired or self.is_added

    @property
    def is_added(self) -> bool:
        """Whether there are records from before it, whose ids do not tell of it."""
        return self.default is not NO_DEFAULT

    @property
    def fills(self) -> bool:
        """Whether a record without a value gets one."""
        return not self.nullable and self.is_added

    @property
    def identity(self) -> str:
        """The first of its names, which stays when it is renamed."""
        return self.old_names[0] if self.old_names else self.name

    @property
    def rules(self) -> tuple[str, ...]:
        """What a value must be beyond its type, in words."""
        bounds = (("at least", self.minimum), ("at most", self.maximum))
        told = [f"{word} {bound}" for word, bound in bounds if bound is not None]
        if self.allowed is not None:
            told.append("one of " + ", ".join(map(str, self.allowed)))
        return tuple(told)

    def _check_default(self) -> None:
        if self.nullable is not (self.default is None):
            raise DeclarationError(
                expected=f"field {self.name!r} nullable with default=None, or with a value and not",
                found=f"nullable={self.nullable}, default={self.default!r}",
                remedy="what is nullable has null where there is no value",
            )
        if self.default is None:
            return
        self._check_allowed((self.default,))
        if self.allowed is not None and self.default not in self.allowed:
            raise DeclarationError(
                expected=f"a default of field {self.name!r} that is among the allowed values",
                found=repr(self.default),
                remedy="choose one of " + ", ".join(map(repr, self.allowed)),
            )

    def _check_old_names(self) -> None:
        if isinstance(self.old_names, str):
            object.__setattr__(self, "old_names", (self.old_names,))
        for name in self.old_names:
            check_name(name, f"an old name of field {self.name!r}")
        check_unique([self.name, *self.old_names], f"the names of field {self.name!r}")

    def _check_range(self) -> None:
        bounds = [b for b in (self.minimum, self.maximum) if b is not None]
        if bounds and not self.dtype.is_numeric():
            raise DeclarationError(
                expected=f"a minimum or maximum for a number, not for field {self.name!r}",
                found=repr(self.dtype),
                remedy="leave it out, or list the allowed values",
            )
        if not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
            raise DeclarationError(
                expected=f"field {self.name!r} with a minimum that is not above its maximum",
                found=f"minimum={self.minimum}, maximum={self.maximum}",
                remedy="correct them, or leave one out",
            )

    def _check_allowed(self, allowed: tuple[Any, ...]) -> None:
        if self.dtype == _UTC and any(getattr(v, "tzinfo", None) != UTC for v in allowed):
            raise DeclarationError(
                expected=f"times of field {self.name!r} in UTC",
                found=repr(allowed),
                remedy="write datetime(..., tzinfo=UTC)",
            )
        try:
            values = pl.Series(allowed, dtype=self.dtype, strict=True)
        except (TypeError, pl.exceptions.PolarsError):
            values = pl.Series(dtype=self.dtype)
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        inside = not self.dtype.is_numeric() or values.is_between(low, high).all()
        if values.is_empty() or values.null_count() or not inside:
            raise DeclarationError(
                expected=f"values of field {self.name!r} that are {self.dtype}, in range",
                found=repr(allowed),
                remedy="list what may be there; whether nothing may is said by nullable",
            )
