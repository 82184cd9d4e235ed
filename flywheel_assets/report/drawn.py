"""The report's figures, each drawn for a desk and for a phone, with what is seen on it in words.

A figure without anything to show is empty: the page says why in its place.
"""

from collections.abc import Callable

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report import figures
from flywheel_assets.report.champions import Champions
from flywheel_assets.report.drawing import Spec, draw
from flywheel_assets.report.drifting import Drifting
from flywheel_assets.report.ranking import Ranking
from flywheel_assets.report.wording import day, number, percent
from flywheel_assets.report.worth import NAMES, Worth
from flywheel_assets.stages.alternatives import BOOTSTRAP, LOGGED

WIDTHS = {"wide": 860, "narrow": 320}
HALVES = {"wide": 520, "narrow": 320}
"""Pixels: the page shows the one that fits."""
TOP = 12
"""How many features are drawn."""


def turning(worth: Worth, who: Champions) -> str:
    """Draw what decisions earned beside the bootstrap rule."""
    rows = worth.per_decision
    policies = {name: NAMES[name] for name in (LOGGED, BOOTSTRAP) if name in set(rows["policy"])}
    if not policies:
        return ""
    promoted = [(row["partition_date"], f"v{row['version']}") for row in reversed(who.entries)]
    logged = rows.filter(policy=LOGGED).sort("day")
    alt = (
        f"Reward per decision from {day(logged['day'].item(0))} to {day(logged['day'].item(-1))}, "
        f"{number(logged['value'].item(0))} at first and {number(logged['value'].item(-1))} at "
        f"last; {len(promoted)} promotions are marked."
        if logged.height
        else "Reward per decision."
    )
    return _both(
        "turning", alt, lambda width: figures.turning(rows, promoted, policies, width), WIDTHS
    )


def drift(found: Drifting, flywheel: Flywheel) -> str:
    """Draw the columns that are furthest from the training rows."""
    if found.psi.is_empty():
        return ""
    bars = flywheel.model.drift
    newest = found.psi.filter(pl.col("day") == pl.col("day").max()).sort("value")
    top = newest.row(-1, named=True)
    alt = (
        f"Population stability index over days; on {day(top['day'])} the largest is "
        f"{number(top['value'])}, of {top['column']}."
    )
    return _both(
        "drift",
        alt,
        lambda width: figures.drift(found.psi, bars.psi_warn, bars.psi_error, width),
        WIDTHS,
    )


def curve(ranked: Ranking) -> str:
    """Draw how well the score ranks."""
    if ranked.area is None or ranked.rate is None:
        return ""
    rate, kind = ranked.rate, "Precision and recall" if ranked.rare else "ROC curve"
    alt = f"{kind} of the score against the outcome; the area below is {number(ranked.area)}."
    return _both(
        "curve",
        alt,
        lambda width: figures.curve(ranked.curve, rare=ranked.rare, rate=rate, width=width),
        HALVES,
    )


def calibration(ranked: Ranking) -> str:
    """Draw whether probabilities come true."""
    rows = ranked.calibration
    if rows.is_empty():
        return ""
    low, high = rows.row(0, named=True), rows.row(-1, named=True)
    alt = (
        f"Of the decisions with the lowest scores, {percent(low['said'])} on average, "
        f"{percent(low['came'])} came true; of those with the highest, {percent(high['said'])}, "
        f"{percent(high['came'])}."
    )
    return _both("calibration", alt, lambda width: figures.calibration(rows, width), HALVES)


def propensity(rows: pl.DataFrame, flywheel: Flywheel) -> str:
    """Draw by what chance decisions were made."""
    if rows.is_empty():
        return ""
    n, sure = (
        int(part["n"].sum())
        for part in (rows, rows.filter(pl.col("at_least") >= 0.9))  # noqa: PLR2004
    )
    alt = f"Of {n:,} decisions, {percent(sure / n)} were nine tenths certain or more."
    actions = [a for a in flywheel.policy.actions if a in set(rows["action"])]
    return _both("propensity", alt, lambda width: figures.propensity(rows, actions, width), WIDTHS)


def importance(who: Champions) -> str:
    """Draw what the champion goes by."""
    if who.important.is_empty():
        return ""
    rows = who.important.head(TOP)
    named = zip(rows["feature"], rows["importance"], strict=True)
    alt = "Permutation importance: " + ", ".join(f"{name} {number(n)}" for name, n in named) + "."
    return _both(
        "importance",
        alt,
        lambda width: figures.bars(rows, label="feature", value="importance", width=width),
        WIDTHS,
    )


def _both(name: str, alt: str, spec: Callable[[int], Spec], widths: dict[str, int]) -> str:
    return "".join(
        f'<div class="{size}">{draw(spec(width), f"{name}-{size}", alt)}</div>'
        for size, width in widths.items()
    )
