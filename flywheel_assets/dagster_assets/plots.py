"""Plots that the UI shows: pictures in markdown, drawn without a browser."""

import base64
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import altair as alt


def lines(rows: pl.DataFrame, *, x: str, y: str, colour: str, title: str) -> str:
    """Draw a line for each colour over days, as markdown with an SVG picture.

    Examples
    --------
    >>> from datetime import date
    >>> day = {"day": [date(2026, 1, 31)], "psi": [0.1], "column": ["orders_7d"]}
    >>> lines(pl.DataFrame(day), x="day", y="psi", colour="column", title="PSI")[:39]
    '![PSI](data:image/svg+xml;base64,PHN2Zy'
    """
    import altair as alt

    values = rows.select(pl.col(x).cast(pl.String), y, colour).to_dicts()
    chart = (
        alt.Chart({"values": values}, title=title, width=520, height=220)
        .mark_line(point={"size": 12})
        .encode(
            x=alt.X(f"{x}:T", title=None),
            y=alt.Y(f"{y}:Q", title=None),
            color=alt.Color(f"{colour}:N", title=None),
        )
    )
    return as_markdown(svg(chart), title)


def bars(rows: pl.DataFrame, *, x: str, y: str, title: str) -> str:
    """Draw a bar for each row, in their order, as an SVG picture."""
    import altair as alt

    chart = (
        alt.Chart({"values": rows.select(x, y).to_dicts()}, title=title, width=420)
        .mark_bar()
        .encode(x=alt.X(f"{x}:Q", title=None), y=alt.Y(f"{y}:N", sort=None, title=None))
    )
    return svg(chart)


def svg(chart: "alt.Chart") -> str:
    """Draw a chart without a browser."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_dict()))


def as_markdown(picture: str, title: str) -> str:
    """Put an SVG picture into markdown."""
    return f"![{title}](data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()})"
