"""Plots that the UI shows: pictures in markdown, drawn without a browser, legible on dark too.

Starting the library that draws takes a second of a run, so that a run draws only where its range
holds the close of a Monday, once for the whole range.
"""

import base64
from datetime import date

import dagster as dg

from flywheel_assets.report.drawing import Spec, picture

WIDTH = 620
"""Of a picture, in pixels."""
_WEEK = 7


def draws(first: date, last: date) -> bool:
    """Say whether a run over a range draws.

    Examples
    --------
    >>> monday, tuesday, sunday = (date(2026, 1, day) for day in (5, 6, 11))
    >>> draws(monday, monday), draws(tuesday, sunday)
    (True, False)
    """
    return (last - first).days >= _WEEK - 1 or last.weekday() <= (last - first).days


def draws_training(retrain: str, day: date) -> bool:
    """Say whether a training draws: one of a weekly cadence does, of a daily one that of Mondays.

    Examples
    --------
    >>> tuesday = date(2026, 1, 6)
    >>> draws_training("tuesday", tuesday), draws_training("daily", tuesday)
    (True, False)
    """
    return retrain != "daily" or draws(day, day)


def plot(spec: Spec, title: str) -> dg.MarkdownMetadataValue:
    """Show what is described."""
    return dg.MetadataValue.md(as_markdown(picture(spec), title))


def as_markdown(svg: str, title: str) -> str:
    """Put a picture into markdown.

    Examples
    --------
    >>> as_markdown("<svg/>", "PSI")
    '![PSI](data:image/svg+xml;base64,PHN2Zy8+)'
    """
    return f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
