"""Alternatives: what other policies would have earned on decisions that matured."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import OffPolicyError, UnfitModelError
from flywheel_assets.off_policy import LoggedDecisions, snips
from flywheel_assets.stages.gate import policy_estimate
from flywheel_assets.stages.predicted import Predicted
from flywheel_assets.stages.resampling import clusters
from flywheel_assets.stages.training_set import REWARD

LEVEL = 0.9
LOGGED, BOOTSTRAP, PREVIOUS = "logged", "bootstrap", "previous_champion"
GREEDY = "no_exploration"
ALTERNATIVES_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "policy": pl.String(),
    "model_version": pl.Int64(),
    "estimator": pl.String(),
    "supported": pl.Boolean(),
    "value": pl.Float64(),
    "lower": pl.Float64(),
    "upper": pl.Float64(),
    "n_rows": pl.Int64(),
    "n_matched": pl.Int64(),
    "effective_sample_size": pl.Float64(),
    "largest_weight": pl.Float64(),
    "diagnosis": pl.String(),
}


def alternatives(
    day: pl.DataFrame,
    flywheel: Flywheel,
    deciding: tuple[int, Predicted | str] | None,
    previous: tuple[int, Predicted | str] | None,
) -> pl.DataFrame:
    """Estimate the reward per decision of the alternatives, on the decisions of one day.

    Parameters
    ----------
    day : DataFrame, (n_rows, ...)
        A partition of ``<flywheel>/training_set``.
    deciding, previous : version and its Predicted for these rows, optional
        The champion that decided, and the one before it; None where there was none. Of one that
        does not fit what is declared by now: the version, and why.

    Returns
    -------
    DataFrame
        What was earned, then each alternative that there is: the bootstrap rule, the champion
        before, the same champion without exploration. Figures are null, and ``diagnosis`` says why,
        where the log does not support an estimate, or the model does not fit. Only the interval is,
        where rewards are all the same, and where too little was earned by too few to say how far
        chance may have moved it: such days count in a mean of days, or it would be one of the days
        that rewards came on.
    """
    rows: list[dict[str, Any]] = []

    def add(
        name: str, version: int | None, at: Flywheel, predicted: Predicted | str | None
    ) -> None:
        found = _earned(day, at) if name == LOGGED else _estimated(day, at, predicted)
        known = {c: found.get(c) for c in ALTERNATIVES_SCHEMA}
        rows.append(
            known | {PARTITION: day[PARTITION][0], "policy": name, "model_version": version}
        )

    version, predicted = deciding or (None, None)
    add(LOGGED, version, flywheel, None)
    if predicted is not None:
        add(BOOTSTRAP, None, flywheel, None)
    if previous is not None:
        add(PREVIOUS, previous[0], flywheel, previous[1])
    if flywheel.policy.exploration is not None:
        greedy = replace(flywheel, decisions=replace(flywheel.policy, exploration=None))
        add(GREEDY, version, greedy, predicted)
    return pl.DataFrame(rows, schema=ALTERNATIVES_SCHEMA)


def _earned(day: pl.DataFrame, flywheel: Flywheel) -> dict[str, Any]:
    reward, logged = day[REWARD].to_numpy(), day["propensity"].to_numpy()
    try:
        log = LoggedDecisions(reward, logged, logged, cluster=clusters(day, flywheel))
        found = snips(log, level=LEVEL).as_row()
    except OffPolicyError as error:
        found = _blank(day, str(error))
    value = float(reward.mean())
    # It happened, whatever the log supports: only what chance had to do with it may stay open.
    happened = {"supported": True, "value": value} if np.isfinite(value) else {}
    return found | happened | {"estimator": "mean"}


def _estimated(
    day: pl.DataFrame, flywheel: Flywheel, predicted: Predicted | str | None
) -> dict[str, Any]:
    if isinstance(predicted, str):
        return _blank(day, predicted)
    try:
        found = policy_estimate(flywheel, day, predicted, LEVEL)
    except (OffPolicyError, UnfitModelError) as error:
        return _blank(day, str(error))
    if found.overlap.constant and not found.overlap.problems:
        return found.as_row() | {"supported": True, "value": float(found.terms.mean())}
    return found.as_row()


def _blank(day: pl.DataFrame, diagnosis: str) -> dict[str, Any]:
    return {"supported": False, "n_rows": day.height, "diagnosis": diagnosis}
