"""Numbers and days as people read them."""

import math
from datetime import date


def number(value: object) -> str:
    """Write a number with three significant digits, a whole one in full.

    Examples
    --------
    >>> [number(x) for x in (1234567, 0.12345, 12.345, 1234.5, 0.0, None, float("nan"))]
    ['1,234,567', '0.123', '12.3', '1,234', '0', 'unknown', 'unknown']
    """
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float) or not math.isfinite(value):
        return "unknown"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(2 - size, 0), 6)}f}"


def percent(share: float | None) -> str:
    """Write a share.

    Examples
    --------
    >>> percent(0.1234), percent(0.00123), percent(None)
    ('12.3%', '0.12%', 'unknown')
    """
    if share is None:
        return "unknown"
    return f"{share:.2%}" if 0 < abs(share) < 0.01 else f"{share:.1%}"  # noqa: PLR2004  digits


def day(value: date | None) -> str:
    """Write a day.

    Examples
    --------
    >>> day(date(2026, 1, 5)), day(None)
    ('5 January 2026', 'never')
    """
    return "never" if value is None else f"{value.day} {value:%B %Y}"


def interval(lower: float | None, upper: float | None) -> str:
    """Write the ends of an interval.

    Examples
    --------
    >>> interval(0.1, 0.25), interval(None, None)
    ('0.100 to 0.250', '')
    """
    return "" if lower is None or upper is None else f"{number(lower)} to {number(upper)}"
