"""Small multiples: how each feature is distributed, over how it was in the training rows."""

import json
from collections.abc import Mapping

import numpy as np

from flywheel_assets.report.drawing import INK, QUIET, SERIES, Spec
from flywheel_assets.stages.distance import Binned, psi

MOST, ACROSS = 12, 3
"""How many features are drawn, and how many beside each other."""
DECIDED, TRAINED = "decided on", "trained on"
_BIN, _LABELS = 13, 76
"""Pixels: of a bin, and of what it is called."""


def distributions(shares: Mapping[str, Binned], width: int) -> Spec:
    """Draw the shares of each bin of the features, those that drift most first.

    Bins without a row on either side are left out, as a rule that of missing values.

    Parameters
    ----------
    shares : mapping of str to Binned
        By feature.
    """
    drifts = {name: psi(found)[0] for name, found in shares.items()}
    order = sorted(shares, key=lambda name: (-np.nan_to_num(drifts[name]), name))[:MOST]
    inner = width // ACROSS - _LABELS - 24
    return {
        "concat": [_one(name, drifts[name], shares[name], inner) for name in order],
        "columns": ACROSS,
        "spacing": {"column": 16, "row": 14},
        "padding": {"left": 4, "right": 8, "top": 2, "bottom": 2},
    }


def _one(name: str, drift: float, shares: Binned, width: int) -> Spec:
    there = [i for i, pair in enumerate(zip(shares.trained, shares.now, strict=True)) if any(pair)]
    values = [
        {"bin": place, "trained": float(shares.trained[i]), "now": float(shares.now[i])}
        for place, i in enumerate(there)
    ]
    # Places, not labels, tell bins apart: a category may be called as another bin is.
    called = json.dumps([shares.label[i] for i in there])
    y = {
        "field": "bin",
        "type": "ordinal",
        "title": None,
        "axis": {
            "labelExpr": f"{called}[datum.value]",
            "labelLimit": _LABELS,
            "labelFontSize": 10,
            "labelColor": INK,
            "minExtent": _LABELS,
            "maxExtent": _LABELS,
        },
    }
    return {
        "title": {"text": f"{name}: PSI {drift:.2f}", "fontSize": 11, "limit": width + _LABELS},
        "data": {"values": values},
        "width": width,
        "height": _BIN * len(values),
        "layer": [
            _bars(y, "trained", TRAINED, _BIN - 2),
            _bars(y, "now", DECIDED, _BIN - 8),
        ],
    }


def _bars(y: Spec, field: str, what: str, height: int) -> Spec:
    return {
        "mark": {"type": "bar", "height": height},
        "encoding": {
            "y": y,
            "x": {
                "field": field,
                "type": "quantitative",
                "title": None,
                "axis": {"format": ".0%", "tickCount": 3, "labelFontSize": 10},
            },
            "color": {
                "datum": what,
                "scale": {"domain": [TRAINED, DECIDED], "range": [QUIET, SERIES[0]]},
            },
        },
    }
