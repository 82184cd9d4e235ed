"""Moments as people write them: a day, or a time with its zone."""

from datetime import UTC, date, datetime
from typing import TypeAlias

from flywheel_assets.errors import ColumnsError
from flywheel_assets.stages.clock import closes

When: TypeAlias = date | datetime | str
"""A day, or a time with its zone; as text in ISO 8601."""


def moment_of(when: When) -> datetime:
    """Give the moment (UTC) that a day or a time stands for; a day stands for its close.

    Raises
    ------
    ColumnsError
        For a time without a zone, and what is neither.

    Examples
    --------
    >>> moment_of(date(2026, 1, 31)).isoformat()
    '2026-02-01T00:00:00+00:00'
    >>> moment_of("2026-01-31").isoformat(), moment_of("2026-01-31T12:00+01:00").isoformat()
    ('2026-02-01T00:00:00+00:00', '2026-01-31T11:00:00+00:00')
    """
    if isinstance(when, str):
        when = _read(when)
    if not isinstance(when, date):
        raise _unknown(when)
    if not isinstance(when, datetime):
        return closes(when)
    if when.tzinfo is None:
        raise ColumnsError(
            expected="a day, or a time with a time zone",
            found=f"{when.isoformat()}, without one",
            remedy="write datetime(..., tzinfo=UTC)",
        )
    return when.astimezone(UTC)


def _read(text: str) -> date | datetime:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise _unknown(text)


def _unknown(found: object) -> ColumnsError:
    return ColumnsError(
        expected="a day, or a time with a time zone",
        found=repr(found),
        remedy="write date(2026, 1, 31), '2026-01-31' or '2026-01-31T12:00+00:00'",
    )
