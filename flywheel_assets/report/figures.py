"""The figures, as Vega-Lite descriptions: frames in, descriptions out."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from flywheel_assets.report.drawing import BAD, FAINT, INK, QUIET, SERIES, WARN, Spec


def turning(
    per_decision: pl.DataFrame,
    promoted: Sequence[tuple[date, str]],
    names: dict[str, str],
    width: int,
) -> Spec:
    """Draw reward per decision over the days of the decisions, with promotions marked.

    Parameters
    ----------
    per_decision : DataFrame
        ``day``, ``policy``, ``value``, ``lower``, ``upper``.
    promoted : sequence of (date, str)
        When whom was made champion.
    names : dict
        Policies that are drawn, where they are there -> what a reader calls them, in this order.
    """
    there = set(per_decision["policy"])
    names = {policy: name for policy, name in names.items() if policy in there}
    shown = per_decision.filter(pl.col("policy").is_in(list(names))).with_columns(
        pl.col("policy").replace_strict(names)
    )
    first, last = (shown.select(e).item() for e in (pl.col("day").min(), pl.col("day").max()))
    inside = [(day, text) for day, text in promoted if first and first <= day <= last]
    order = list(names.values())
    colour = {
        "field": "policy",
        "type": "nominal",
        "scale": {"domain": order, "range": list(SERIES[: len(order)])},
    }
    x, y = (
        _days(shown, width),
        {"field": "value", "type": "quantitative", "title": "reward per decision"},
    )
    layers: list[Spec] = [
        {
            "mark": {"type": "area", "opacity": 0.16},
            "encoding": {
                "x": x,
                "y": {"field": "lower", "type": "quantitative", "title": "reward per decision"},
                "y2": {"field": "upper"},
                "color": colour,
            },
        },
        {
            "mark": {"type": "line", "point": _points(shown)},
            "encoding": {"x": x, "y": y, "color": colour},
        },
    ]
    return _layered(shown, [*_marked(inside, x), *layers], width, 260)


def drift(psi: pl.DataFrame, warn: float, error: float, width: int) -> Spec:
    """Draw the population stability index over days, with the levels that are declared.

    Parameters
    ----------
    psi : DataFrame
        ``day``, ``column``, ``value``.
    """
    order = psi["column"].unique().sort().to_list()
    colour = {
        "field": "column",
        "type": "nominal",
        "scale": {"domain": order, "range": list(SERIES[: len(order)])},
        "legend": {"columns": 2 if width < _WIDE else 5},
    }
    y = {"field": "value", "type": "quantitative", "title": "PSI"}
    lines: list[Spec] = [
        {
            "data": {"values": [{"level": value}]},
            "mark": {"type": "rule", "color": tint, "strokeDash": [4, 4]},
            "encoding": {"y": {"field": "level", "type": "quantitative"}},
        }
        for value, tint in ((warn, WARN), (error, BAD))
    ]
    line = {
        "mark": {"type": "line", "point": _points(psi)},
        "encoding": {"x": _days(psi, width), "y": y, "color": colour},
    }
    return _layered(psi, [*lines, line], width, 200)


def curve(rows: pl.DataFrame, *, rare: bool, rate: float, width: int) -> Spec:
    """Draw the ROC curve, or precision against recall where the outcome is rare."""
    titles = ("recall", "precision") if rare else ("false positives", "true positives")
    chance = [(0.0, rate), (1.0, rate)] if rare else [(0.0, 0.0), (1.0, 1.0)]
    x, y = (
        {
            "field": name,
            "type": "quantitative",
            "title": title,
            "scale": {"domain": [0, 1]},
            "axis": _SHARES,
        }
        for name, title in zip("xy", titles, strict=True)
    )
    return _layered(
        rows,
        [
            _chance(chance, x, y),
            {"mark": {"type": "line", "color": SERIES[0]}, "encoding": {"x": x, "y": y}},
        ],
        width,
        round(0.62 * width) if width > _WIDE else 240,
    )


def calibration(rows: pl.DataFrame, width: int) -> Spec:
    """Draw what came of groups of decisions against what was said of them."""
    top = max(*rows["said"].to_list(), *rows["came"].to_list())
    scale = {"domain": [0, top], "nice": True}
    x = {"field": "said", "type": "quantitative", "title": "said", "scale": scale, "axis": _SHARES}
    y = {
        "field": "came",
        "type": "quantitative",
        "title": "came true",
        "scale": scale,
        "axis": _SHARES,
    }
    return _layered(
        rows,
        [
            _chance([(0.0, 0.0), (top, top)], x, y),
            {
                "mark": {
                    "type": "line",
                    "color": SERIES[0],
                    "point": {"size": 45, "color": SERIES[0]},
                },
                "encoding": {"x": x, "y": y},
            },
        ],
        width,
        round(0.62 * width) if width > _WIDE else 240,
    )


def propensity(rows: pl.DataFrame, actions: Sequence[str], width: int) -> Spec:
    """Draw how likely the decisions were that were made, by action.

    Parameters
    ----------
    rows : DataFrame
        ``action``, ``at_least`` (a tenth), ``n``.
    """
    shown = rows.with_columns((pl.col("at_least") + 0.1).alias("below"))
    few = list(actions)[: len(SERIES)]
    return _layered(
        shown,
        [
            {
                "mark": {"type": "bar", "binSpacing": 1},
                "encoding": {
                    "x": {
                        "field": "at_least",
                        "bin": {"binned": True, "step": 0.1},
                        "title": "propensity of the action taken",
                        "scale": {"domain": [0, 1]},
                        "axis": {"values": [0, 0.2, 0.4, 0.6, 0.8, 1], "format": ".1f"},
                    },
                    "x2": {"field": "below"},
                    "y": {
                        "field": "n",
                        "type": "quantitative",
                        "title": "decisions (root scale)",
                        "scale": {"type": "sqrt"},
                        "axis": {"tickCount": 5, "format": "~s"},
                        "stack": "zero",
                    },
                    "color": {
                        "field": "action",
                        "type": "nominal",
                        "scale": {"domain": few, "range": list(SERIES[: len(few)])},
                        "legend": {"columns": 2 if width < _WIDE else 5},
                    },
                },
            }
        ],
        width,
        200,
    )


def stacked(rows: pl.DataFrame, colour: str, width: int) -> Spec:
    """Draw counts of each day, the four most common kinds apart.

    Parameters
    ----------
    rows : DataFrame
        ``day``, ``n``, and the column ``colour`` of texts.
    """
    common = (
        rows.group_by(colour).agg(pl.col("n").sum()).sort("n", colour, descending=[True, False])
    )
    named = common[colour][: len(SERIES) - 1].to_list()
    kind = pl.when(pl.col(colour).is_in(named)).then(pl.col(colour)).otherwise(pl.lit(_OTHER))
    shown = rows.group_by("day", kind.alias("kind"), maintain_order=True).agg(pl.col("n").sum())
    order = [*named, *([_OTHER] if len(common) > len(named) else [])]
    tint = {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": order, "range": list(SERIES[: len(order)])},
        "legend": {"columns": 1, "labelLimit": width - 60},
    }
    bar = {
        "mark": {"type": "bar", "width": max(2, min(20, 500 // shown["day"].n_unique()))},
        "encoding": {
            "x": _days(shown, width),
            "y": {"field": "n", "type": "quantitative", "title": None, "axis": {"tickCount": 4}},
            "color": tint,
        },
    }
    return _layered(shown, [bar], width, 180 + 18 * len(order))


def bars(rows: pl.DataFrame, *, label: str, value: str, width: int) -> Spec:
    """Draw a bar for each row, in their order.

    Parameters
    ----------
    rows : DataFrame
        Columns ``label`` and ``value``.
    """
    x = {
        "field": value,
        "type": "quantitative",
        "title": None,
        "axis": {"grid": True, "tickCount": 4},
    }
    y = {
        "field": label,
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"labelLimit": 150 if width < _WIDE else 280, "labelColor": INK, "domain": False},
    }
    layers: list[Spec] = [
        {"mark": {"type": "bar", "height": 14, "color": SERIES[0]}, "encoding": {"x": x, "y": y}}
    ]
    return _layered(rows.select(label, value), layers, width, 26 * rows.height + 50)


_WIDE, _FEW = 500, 45
_OTHER = "something else"
_SHARES = {"tickCount": 5}


def _layered(rows: pl.DataFrame, layers: list[Spec], width: int, height: int) -> Spec:
    times = [pl.col(name).cast(pl.String) for name, t in rows.schema.items() if t == pl.Date]
    values = rows.with_columns(times).to_dicts()
    return {
        "data": {"values": values},
        "layer": layers,
        "width": width,
        "height": height,
        # The legend's labels count, or it would be wider than a phone.
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 4, "right": 8, "top": 2, "bottom": 2},
    }


def _days(rows: pl.DataFrame, width: int) -> dict[str, Any]:
    """Place days on an axis that names a few of them, each once."""
    named = rows["day"].unique().sort()
    step = -(-len(named) // (4 if width < _WIDE else 10))
    values = [{"year": d.year, "month": d.month, "date": d.day, "utc": True} for d in named[::step]]
    return {
        "field": "day",
        "type": "temporal",
        "title": None,
        "scale": {"type": "utc"},
        "axis": {"values": values, "format": "%-d %b", "labelFlush": True},
    }


def _points(rows: pl.DataFrame) -> bool | dict[str, int]:
    """Mark days while there are few: a single one is no line."""
    return {"size": 28} if rows["day"].n_unique() <= _FEW else False


def _marked(promoted: Sequence[tuple[date, str]], x: Spec) -> list[Spec]:
    if not promoted:
        return []
    data = {"values": [{"day": str(day), "text": text} for day, text in promoted]}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "color": QUIET, "strokeDash": [2, 3]},
            "encoding": {"x": x},
        },
        {
            "data": data,
            "mark": {"type": "text", "baseline": "top", "align": "left", "dx": 3, "color": QUIET},
            "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "text"}},
        },
    ]


def _chance(points: list[tuple[float, float]], x: Spec, y: Spec) -> Spec:
    return {
        "data": {"values": [{x["field"]: a, y["field"]: b} for a, b in points]},
        "mark": {"type": "line", "color": FAINT, "strokeDash": [4, 4], "strokeWidth": 1.5},
        "encoding": {"x": x, "y": y},
    }
