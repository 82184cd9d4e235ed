"""Moments as people write them: a day, or a time with its zone."""

from datetime import UTC, date, datetime

from flywheel_assets.errors import ColumnsError
from flywheel_assets.stages.clock import closes


def moment_of(when: date | datetime) -> datetime:
    """Give the moment (UTC) that a day or a time stands for; a day stands for its close.

    Raises
    ------
    ColumnsError
        For a time without a zone.

    Examples
    --------
    >>> moment_of(date(2026, 1, 31)).isoformat()
    '2026-02-01T00:00:00+00:00'
    """
    if not isinstance(when, datetime):
        return closes(when)
    if when.tzinfo is None:
        raise ColumnsError(
            expected="a day, or a time with a time zone",
            found=f"{when.isoformat()}, without one",
            remedy="write datetime(..., tzinfo=UTC)",
        )
    return when.astimezone(UTC)
