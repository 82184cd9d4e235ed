"""Raw columns as what is declared: fields of their types, and moments."""

import re

import polars as pl

from flywheel_assets.declare.collect import DailyFiles, Source, SqlSource
from flywheel_assets.declare.field import Field
from flywheel_assets.declare.rules import (
    CORRECTS,
    DECISION_ID,
    FILE_DAY,
    OBSERVATION_ID,
    RETRACTS,
)
from flywheel_assets.stages.times import UTC_TIME, parse_time

LINKS = (DECISION_ID, CORRECTS, RETRACTS)
"""What a record may say of others: the decision that it answers, what it replaces or withdraws."""
SAID = {name: f"_{name}" for name in (OBSERVATION_ID, *LINKS)}
"""The raw columns in which what the API received says its id and its links."""
BY_DAY = (DailyFiles, SqlSource)
"""Sources whose records come with the day on which they arrived."""


def value_of(raw: pl.DataFrame, field: Field, source: Source) -> pl.Expr:
    """Read a field from its column; null where that cannot be read."""
    column = source.source_column(field.name)
    value = _parse(raw, column, field.dtype, source)
    if not field.fills:
        return value
    nothing = pl.col(column).is_null() & pl.col(SAID[RETRACTS]).is_null()
    return pl.when(nothing).then(pl.lit(field.default, dtype=field.dtype)).otherwise(value)


def _parse(raw: pl.DataFrame, column: str, dtype: pl.DataType, source: Source) -> pl.Expr:
    value = pl.col(column)
    found = raw.schema[column]
    if dtype.is_temporal():
        return parse_time(value, found, dtype, source)
    if dtype.is_numeric() and found == pl.String:
        value = _number_text(value, source)
    if dtype.is_integer():
        number = value.cast(pl.Float64, strict=False)
        whole = pl.when((number == number.round()) & (number.abs() < 2**53)).then(number)
        return pl.coalesce(_cast_exact(value, found, dtype), whole.cast(dtype, strict=False))
    if dtype == pl.Boolean and found == pl.String:
        lower = value.str.to_lowercase()
        return (
            pl.when(lower.is_in(["true", "1"]))
            .then(pl.lit(value=True))
            .when(lower.is_in(["false", "0"]))
            .then(pl.lit(value=False))
        )
    return _cast_exact(value, found, dtype)


def _number_text(value: pl.Expr, source: Source) -> pl.Expr:
    """Write a number as Polars reads it; blanks around one say nothing."""
    value = value.str.strip_chars(" \t")
    mark = source.thousands
    if mark:
        # Elsewhere than between thousands it may be anything: that is no number.
        grouped = rf"^[+-]?\d{{1,3}}({re.escape(mark)}\d{{3}})+({re.escape(source.decimal)}\d*)?$"
        sound = value.str.contains(grouped) | ~value.str.contains(mark, literal=True)
        value = pl.when(sound).then(value.str.replace_all(mark, "", literal=True))
    if source.decimal == ".":
        return value
    if mark != ".":
        # A point before three digits is one of thousands: as one of decimals it would be wrong.
        value = pl.when(~value.str.contains(r"\.\d{3}(\D|$)")).then(value)
    return value.str.replace(",", ".", literal=True)


def _cast_exact(value: pl.Expr, found: pl.DataType, dtype: pl.DataType) -> pl.Expr:
    if found.is_float() and dtype.is_integer():
        return pl.lit(None, dtype=dtype)
    cast = value.cast(dtype, strict=False)
    # Neither NaN nor an infinity is a number that can be summed and taken away again.
    return pl.when(cast.is_finite()).then(cast) if dtype.is_float() else cast


def times_of(raw: pl.DataFrame, source: Source) -> list[pl.Expr]:
    """Read both moments as the source tells them: ``=event_time`` and ``=known_at``."""

    def time_of(column: str | None) -> pl.Expr:
        if column is None:
            return pl.lit(None, dtype=UTC_TIME)
        return _parse(raw, column, UTC_TIME, source)

    return [
        time_of(source.event_time).alias("=event_time"),
        time_of(source.known_at).alias("=known_at"),
    ]


def dated(source: Source) -> list[pl.Expr]:
    """Complete both moments: one that is not told follows from the other, or the file's day."""
    # Beside both columns no delay is declared.
    known, event = pl.col("=known_at") + source.delay, pl.col("=event_time")
    if isinstance(source, BY_DAY):
        arrived = pl.col(FILE_DAY).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        if source.event_time is None:
            event = known if source.known_at else arrived
        if source.known_at is None:
            known = pl.max_horizontal(event + source.delay, arrived)
        else:
            # The greatest of a time that nobody can read and another would be the other.
            known = pl.when(known.is_not_null()).then(pl.max_horizontal(known, arrived))
    else:
        if source.event_time is None:
            event = known
        if source.known_at is None:
            known = event + source.delay
    # Without its event_time an observation has no known_at either.
    return [
        event.alias("=event_time"),
        pl.when(event.is_not_null()).then(known).alias("=known_at"),
        pl.col("=known_at").is_null().alias("=unheard"),
    ]
