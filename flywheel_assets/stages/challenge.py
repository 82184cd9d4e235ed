"""Challenge: a model trained on matured decisions, judged on newer ones, trained again on all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import many
from flywheel_assets.stages.change import since_change
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.gate import Verdict, compared_with, judge, refused
from flywheel_assets.stages.model import train
from flywheel_assets.stages.predicted import Predicted, Scorer
from flywheel_assets.stages.training_set import LABEL

if TYPE_CHECKING:
    from flywheel_assets.stages.learners import Trained

MODEL_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "trained": pl.Boolean(),
    "version": pl.Int64(),
    "judged_version": pl.Int64(),
    "n_rows": pl.Int64(),
    "n_holdout": pl.Int64(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "champion_version": pl.Int64(),
    "champion_value": pl.Float64(),
    "gain": pl.Float64(),
    "gain_lower": pl.Float64(),
    "gain_upper": pl.Float64(),
    "calibration_error": pl.Float64(),
    "policy_value": pl.Float64(),
    "policy_gain": pl.Float64(),
    "policy_gain_lower": pl.Float64(),
    "promoted": pl.Boolean(),
    "failed": pl.Boolean(),
    "verdict": pl.String(),
}
MODEL_COLUMNS = {
    "trained": "Whether a version was trained and registered on this day.",
    "version": "The registered version: what decides, if it was promoted.",
    "judged_version": "The version that the gate looked at; another, if trained again on all.",
    "n_rows": "Matured decisions trained on, before the holdout.",
    "n_holdout": "Newer matured decisions that it was judged on.",
    "metric": "What it was judged by.",
    "value": "The challenger's metric.",
    "champion_version": "Whose judged version it was held against.",
    "champion_value": "The champion's metric on the same rows.",
    "gain": "By how much the challenger is better.",
    "gain_lower": "The lower end of the gain's paired bootstrap interval.",
    "gain_upper": "The upper end.",
    "calibration_error": "Expected calibration error of the challenger, 0 to 1.",
    "policy_value": "Off-policy: the reward a decision, deciding by the challenger.",
    "policy_gain": "That less the champion's, or the bootstrap rule's; null without support.",
    "policy_gain_lower": "The lower bound of the policy's gain.",
    "promoted": "Whether it decides from this partition on.",
    "failed": "Whether it came to an error, which is no verdict of the gate.",
    "verdict": "Why.",
}

_ALL = "trained again on everything, "

Admit = Callable[["Trained", pl.DataFrame], Scorer]
"""Keeps a model that was trained on rows, and gives it back as decisions will load it."""


@dataclass(frozen=True)
class Challenge:
    """What a day's training came to.

    Parameters
    ----------
    verdict : Verdict
    n_rows, n_holdout : int
        What there was to train and to judge on.
    judged, promoted : Trained, optional
        The model that the gate looked at, where there is one; and what decides, if it was promoted:
        the same, or the one that was trained again on everything.
    """

    verdict: Verdict
    n_rows: int
    n_holdout: int
    judged: "Trained | None" = None
    promoted: "Trained | None" = None


def split(
    rows: pl.DataFrame, flywheel: Flywheel, day: date
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Part matured rows into those to train on, those to judge on, and all that are in the window.

    The judged are of the newest ``holdout`` days. Trained on is what had matured when the first of
    those was decided, so that no outcome overlaps with what is judged.
    """
    model = flywheel.model
    first = day - model.gate.holdout + DAY
    matured = pl.col(PARTITION)
    inside = rows.filter(matured > day - model.training_window, matured <= day)
    older = inside.filter(matured <= _known_by(flywheel, day))
    return older, inside.filter(matured >= first), inside


def trained_on(flywheel: Flywheel, row: Mapping[str, Any]) -> tuple[date, date]:
    """Give the first and last matured partition that a registered version was trained on.

    Parameters
    ----------
    row : mapping
        Of ``<flywheel>/model``.
    """
    first, day = window(flywheel, row[PARTITION])
    again = row["judged_version"] not in {None, row["version"]}
    return first, day if again else _known_by(flywheel, day)


def shortage(train: pl.DataFrame, holdout: pl.DataFrame, flywheel: Flywheel) -> str | None:
    """Say why there is nothing to train or to judge on, if so."""
    wait = many(flywheel.outcome.matures_after.days, "day")
    apart = f"{flywheel.model.gate.holdout.days} + {wait} apart"
    for name, rows in (("training", train), ("holdout", holdout)):
        if rows.is_empty():
            return f"no matured decisions in the {name} days yet ({apart})"
        if flywheel.model.target == "outcome" and rows[LABEL].n_unique() < 2:  # noqa: PLR2004  both
            return f"only outcome {rows[LABEL][0]} in the {many(rows.height, f'{name} decision')}"
    return None


def challenge(
    rows: pl.DataFrame, flywheel: Flywheel, day: date, champion: Scorer | None, admit: Admit
) -> Challenge:
    """Train a challenger and hold it against the champion; whatever fails, the champion is kept.

    Only a champion that does not fit what is declared by now is not held against: the verdict says
    so, and the gate's other bars stand.

    Parameters
    ----------
    rows : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``, the days of `window`.
    champion : callable, optional
        The champion's judged version; raises `UnfitModelError` if it does not fit.
    admit : callable
        See `Admit`.
    """
    older, holdout, inside = split(rows, flywheel, day)
    counts = (older.height, holdout.height)
    lacking = shortage(older, holdout, flywheel)
    if lacking:
        return Challenge(refused(lacking), *counts)
    made = _made(older, holdout, flywheel, admit)
    if isinstance(made, str):
        return Challenge(refused(made, failed=True), *counts)
    judged, shown = made
    verdict = judge(flywheel, holdout, shown, compared_with(champion, holdout, flywheel))
    if not verdict.promoted or not flywheel.model.gate.refit:
        return Challenge(verdict, *counts, judged, judged if verdict.promoted else None)
    again = _made(inside, holdout, flywheel, admit)
    if isinstance(again, str):
        return Challenge(refused(f"{_ALL}{again}", failed=True), *counts, judged)
    final, shown = again
    if not np.isfinite(shown.expected).all():
        reason = f"{_ALL}it scores NaN or infinity"
        return Challenge(refused(reason), *counts, judged)
    return Challenge(verdict, *counts, judged, final)


def window(flywheel: Flywheel, day: date) -> tuple[date, date]:
    """Give the first and last training-set partition that a training on a day reads."""
    return day - flywheel.model.training_window + timedelta(days=1), day


def _known_by(flywheel: Flywheel, day: date) -> date:
    """Give the last partition that had matured when the first judged decision was made."""
    return day - flywheel.model.gate.holdout + DAY - flywheel.outcome.matures_after


def _made(
    rows: pl.DataFrame, holdout: pl.DataFrame, flywheel: Flywheel, admit: Admit
) -> "tuple[Trained, Predicted] | str":
    """Train and admit a model and let it score, or say why that was not possible."""
    step = "be trained"
    try:
        rows = since_change(rows, flywheel)
        made = train(rows, flywheel)
        step = "be saved and loaded again"
        admitted = admit(made, rows)
        step = "score the decisions it is judged on"
        return made, admitted(holdout)
    except Exception as error:  # noqa: BLE001  whatever an estimator raises, the champion stays
        return f"it cannot {step}: {type(error).__name__}: {error}"
