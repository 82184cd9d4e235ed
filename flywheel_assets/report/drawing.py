"""Drawings: a Vega-Lite description becomes an SVG, in the page's own colours.

Colours are named, not given: on the page they are variables of its style, so that a drawing is
light or dark with it. Where a picture stands alone one palette has to be legible on both.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Spec = dict[str, Any]
# What stands in for a colour while it is drawn, and what it is where the picture stands alone.
INK, FAINT, QUIET = "#0a0a01", "#0a0a02", "#0a0a03"
SERIES = ("#0b0b01", "#0b0b02", "#0b0b03", "#0b0b04", "#0b0b05")
WARN, BAD = "#0c0c01", "#0c0c02"
_VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--line)",
    QUIET: "var(--muted)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(SERIES, 1)},
    WARN: "var(--warn)",
    BAD: "var(--bad)",
}
_NEUTRAL = {
    INK: "#7d7d7d",
    FAINT: "#8886",
    QUIET: "#7d7d7d",
    **dict(
        zip(SERIES, ("#2f7fd6", "#d9702b", "#8d63c9", "#2a9d74", "#b5557e"), strict=True),
    ),
    WARN: "#b98000",
    BAD: "#d64545",
}
_GROWS = 1.35
"""How much larger than it was drawn a figure may be shown."""
_CONFIG: Spec = {
    "aria": False,
    "background": None,
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": QUIET,
        "titleColor": QUIET,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
        "gridColor": FAINT,
        "domainColor": FAINT,
        "tickColor": FAINT,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
    },
    "axisX": {"grid": False, "domain": True},
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
        "direction": "horizontal",
        "symbolOpacity": 1,
        "labelLimit": 260,
        "offset": 6,
        "padding": 0,
    },
    "title": {"color": INK, "fontSize": 13, "anchor": "start", "fontWeight": 600},
    "text": {"color": QUIET, "fontSize": 11},
    "range": {"category": list(SERIES)},
    "line": {"strokeWidth": 2},
    "mark": {"color": SERIES[0]},
    "point": {"color": SERIES[0]},
}


def draw(spec: Spec, name: str, alt: str) -> str:
    """Draw for a page: in the colours of its style, with an id of its own.

    Parameters
    ----------
    name : str
        Of the drawing; what it refers to within itself is named after it.
    alt : str
        What is seen on it, in words.
    """
    svg = _renamed(_svg(json.dumps(spec)), name)
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    width = round(float(size.group(1)) * _GROWS) if size else 0
    said = alt.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    start = f'<svg role="img" aria-label="{said}" style="max-width:{width}px"'
    svg = re.sub(r"^<svg [^>]*?viewBox", f"{start} viewBox", svg)
    return _coloured(svg, _VARIABLES)


def picture(spec: Spec) -> str:
    """Draw a file that stands alone, legible on light and on dark."""
    return _coloured(_renamed(_svg(json.dumps(spec)), "p"), _NEUTRAL)


@lru_cache(maxsize=4)
def _svg(spec: str) -> str:
    """Draw what JSON describes; what is kept in one place and shown in another is drawn once."""
    import vl_convert

    described = json.loads(spec)
    return vl_convert.vegalite_to_svg(
        {**described, "config": _CONFIG | described.get("config", {})}
    )


def _renamed(svg: str, name: str) -> str:
    """Rename what a drawing refers to within itself: the library counts on between drawings.

    Examples
    --------
    >>> _renamed('<clipPath id="clip7"/><g clip-path="url(#clip7)"/>', "psi")
    '<clipPath id="psi-0"/><g clip-path="url(#psi-0)"/>'
    """
    for number, found in enumerate(dict.fromkeys(re.findall(r'id="([^"]+)"', svg))):
        svg = svg.replace(f'id="{found}"', f'id="{name}-{number}"')
        svg = svg.replace(f"url(#{found})", f"url(#{name}-{number})")
    return svg


def _coloured(svg: str, colours: Mapping[str, str]) -> str:
    for placeholder, colour in colours.items():
        svg = svg.replace(placeholder, colour)
    return svg
