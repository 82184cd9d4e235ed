"""Reading times as a source writes them: its formats, its time zone, days without a midnight."""

from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from flywheel_assets.declare.collect import Source

UTC_TIME = pl.Datetime("us", "UTC")
_ISO_8601 = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f")
_ISO_DAY = "%Y-%m-%d"
_MAY_BE_SKIPPED = (timedelta(hours=1), timedelta(days=1))
"""How long a time may not exist from midnight on: clocks go forward, or a whole day is left out."""


def parse_time(value: pl.Expr, found: pl.DataType, dtype: pl.DataType, source: Source) -> pl.Expr:
    """Read a time or, where ``dtype`` is one, a date.

    What says its own offset from UTC needs no declared time zone, and a date without one none at
    all. A time that does not exist in its time zone is null; a day begins where its first moment
    is.
    """
    zone, is_date = source.time_zone, dtype == pl.Date

    def naive(time: pl.Expr, *, is_day: bool) -> pl.Expr:
        if is_date:
            return time.dt.date()
        return first_moment(time, zone) if is_day else _localize(time, zone)

    def aware(time: pl.Expr) -> pl.Expr:
        return time.dt.convert_time_zone(zone).dt.date() if is_date else time

    if found == pl.String:
        formats = source.time_formats or (*_ISO_8601, _ISO_DAY, "%+")
        read = [
            aware(_read(value, f, "UTC"))
            if "%z" in f or f == "%+"
            else naive(_read(value, f), is_day=_is_day(f))
            for f in formats
        ]
        return pl.coalesce(read)
    if isinstance(found, pl.Datetime) and found.time_zone is not None:
        return aware(value.dt.convert_time_zone("UTC").cast(UTC_TIME))
    return naive(value.cast(pl.Datetime("us"), strict=False), is_day=found == pl.Date)


def first_moment(
    day: pl.Expr, zone: str, *, ambiguous: Literal["earliest", "latest"] = "earliest"
) -> pl.Expr:
    """Give the moment at which a day begins; where there is no midnight, what comes instead.

    Parameters
    ----------
    day : Expr
        Of dates, or of times at midnight.
    ambiguous : {"earliest", "latest"}
        Which of two midnights, where clocks go back to it.
    """
    midnight = day.cast(pl.Datetime("us"))
    tried = (midnight, *(midnight + skipped for skipped in _MAY_BE_SKIPPED))
    return pl.coalesce(_localize(t, zone, ambiguous=ambiguous) for t in tried)


def _read(text: pl.Expr, time_format: str, zone: str | None = None) -> pl.Expr:
    return text.str.to_datetime(time_format, strict=False, time_unit="us", time_zone=zone)


def _is_day(time_format: str) -> bool:
    """Say whether a format writes nothing of the time of day."""
    morning, evening = datetime(2000, 1, 2), datetime(2000, 1, 2, 13, 14, 15, 160_000)  # noqa: DTZ001  as written
    return pl.Series([morning, evening]).dt.strftime(time_format).n_unique() == 1


def _localize(
    time: pl.Expr, zone: str, *, ambiguous: Literal["earliest", "latest"] = "earliest"
) -> pl.Expr:
    here = time.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")
    return here.dt.convert_time_zone("UTC")
