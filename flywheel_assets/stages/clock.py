"""Partitions and moments: the day D closes at T, the midnight (UTC) that ends it.

A decision is in three partitions: of ``<flywheel>/decisions`` in the day D at whose close it was
made; of ``organize/fct_decision`` in the day after, on which it was observed; of
``<flywheel>/training_set`` in the day on which its outcome matured, a horizon after D.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)


def opens(day: date) -> datetime:
    """Give the first moment of a partition.

    Examples
    --------
    >>> opens(date(2026, 1, 31)).isoformat()
    '2026-01-31T00:00:00+00:00'
    """
    return datetime.combine(day, time(), tzinfo=UTC)


def closes(day: date) -> datetime:
    """Give T, the moment as of which a partition's features and decisions stand.

    Examples
    --------
    >>> closes(date(2026, 1, 31)).isoformat()
    '2026-02-01T00:00:00+00:00'
    """
    return opens(day + DAY)


def days(first: date, last: date) -> Iterator[date]:
    """Go through a range of partitions, both ends included.

    Examples
    --------
    >>> [d.day for d in days(date(2026, 1, 30), date(2026, 2, 1))]
    [30, 31, 1]
    """
    for i in range((last - first).days + 1):
        yield first + i * DAY


def in_words(first: date, last: date) -> str:
    """Name a range of days, or the one that it is.

    Examples
    --------
    >>> in_words(date(2026, 1, 30), date(2026, 2, 1))
    '2026-01-30 to 2026-02-01'
    >>> in_words(date(2026, 1, 30), date(2026, 1, 30))
    '2026-01-30'
    """
    return str(first) if first == last else f"{first} to {last}"
