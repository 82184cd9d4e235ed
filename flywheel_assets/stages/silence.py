"""Silence: when nothing came, where something came every day."""

from collections.abc import Mapping
from datetime import date

from flywheel_assets.stages.clock import DAY, days

USUAL = 28 * DAY
"""The days before the silence that say what is usual."""
LOOKED_BACK = 90 * DAY
"""After so long it is usual, too."""


def silent_since(
    counts: Mapping[date, int], start: date, last: date, least: int = 1
) -> date | None:
    """Say since when a day has had nothing, where it had something on all its `usual` days.

    Who is often silent is so by nature: an empty day among the `USUAL` ones before says nothing.

    Parameters
    ----------
    counts : mapping of date to int
        Of the days that had anything.
    start, last : date
        The first day that there could be, and the day that is asked about.
    least : int
        Of how many days it takes to know what is usual.

    Examples
    --------
    >>> came = {date(2026, 1, day): 5 for day in range(1, 9)}
    >>> silent_since(came, date(2026, 1, 1), date(2026, 1, 10), least=7)
    datetime.date(2026, 1, 9)
    >>> silent_since(came, date(2026, 1, 1), date(2026, 1, 8), least=7)
    >>> silent_since(came | {date(2026, 1, 4): 0}, date(2026, 1, 1), date(2026, 1, 10), least=7)
    """
    newest = max((d for d, n in counts.items() if n and start <= d <= last), default=None)
    if newest is None or newest == last:
        return None
    return newest + DAY if _never_before(counts, start, newest + DAY, least) else None


def silent_on(
    counts: Mapping[date, int], start: date, first: date, last: date, least: int = 1
) -> list[date]:
    """Name the days of a range that had nothing, where all `usual` days had something.

    Parameters
    ----------
    counts, start, least : as for `silent_since`
    first, last : date
        The days that are asked about; days before them say what is usual.

    Examples
    --------
    >>> came = {date(2026, 1, day): 5 for day in (1, 2, 3, 5, 6)}
    >>> silent_on(came, date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 6), least=3)
    [datetime.date(2026, 1, 4)]
    >>> silent_on(came, date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 6), least=4)
    []
    """
    empty = (day for day in days(max(start, first), last) if not counts.get(day))
    return [day for day in empty if _never_before(counts, start, day, least)]


def usual(start: date, day: date) -> list[date]:
    """Give the days before one that say what is usual, from the first that there could be.

    Examples
    --------
    >>> len(usual(date(2026, 1, 1), date(2026, 1, 10))), len(usual(date(2025, 1, 1), date.max))
    (9, 28)
    """
    return list(days(max(start, day - USUAL), day - DAY))


def _never_before(counts: Mapping[date, int], start: date, day: date, least: int) -> bool:
    before = usual(start, day)
    return len(before) >= least and all(counts.get(one) for one in before)
