"""Policy: candidates ranked, each action's exact probability, and the action that is drawn."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from flywheel_assets.declare.allocate import Arms, Slate, Thompson
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF, DECISION_ID, PARTITION
from flywheel_assets.errors import UnfitModelError
from flywheel_assets.stages.allocation import Contest, allocation, coded
from flywheel_assets.stages.chance import uniform
from flywheel_assets.stages.clock import closes
from flywheel_assets.stages.decisions import (
    DECIDED_AT,
    candidate_type,
    decision_id,
    decision_schema,
    entity_id,
)
from flywheel_assets.stages.inclusion import Bools, Groups, Ints
from flywheel_assets.stages.predicted import Floats, Predicted


@dataclass(frozen=True)
class Drawn:
    """What was drawn for each candidate.

    Parameters
    ----------
    action : ndarray of int64, (n_rows,)
        Its place among the policy's actions.
    propensity : ndarray of float64, (n_rows,)
        The probability with which that action was drawn.
    explored : ndarray of bool, (n_rows,)
        Acted on though it was not certain, or given another arm than the best.
    score : ndarray of float64, (n_rows,)
        What was ranked; with arms, of the arm that was given. NaN where that is not known.
    """

    action: Ints
    propensity: Floats
    explored: Bools
    score: Floats


def chances(considered: pl.DataFrame, predicted: Predicted | None, flywheel: Flywheel) -> Floats:
    """Give the probability of each action for each candidate.

    Parameters
    ----------
    considered : DataFrame, (n_rows, ...)
        What decisions see, with the entity's keys and ``as_of``, or, as in a training set,
        ``decided_at``. Each day is a contest of its own.
    predicted : Predicted or None
        By a model; None for the policy's bootstrap rule.

    Returns
    -------
    ndarray of float64, (n_rows, n_actions)
        In the order of the rows and of ``policy.actions``; each row adds up to 1. Marginal: over
        all that chance decides, who shares a place with whom, ties, and the control group.

    Raises
    ------
    UnfitModelError
        As `check_fits`.
    """
    contest = _contest(considered, predicted, flywheel)
    return _with_control(allocation(contest).chances(), flywheel.policy)


def check_fits(predicted: Predicted, flywheel: Flywheel) -> None:
    """Refuse what a model expects where the policy cannot rank by it.

    Raises
    ------
    UnfitModelError
        Without a number for each action, or without replicates, where the policy needs them.
    """
    policy, n_actions = flywheel.policy, len(flywheel.policy.actions)
    each = isinstance(policy.allocation, Arms) or policy.rank_by == "uplift"
    columns = predicted.expected.shape[-1]
    if columns not in ((n_actions,) if each else (1, n_actions)):
        raise UnfitModelError(
            expected=f"what {flywheel.name}'s model expects of each of {n_actions} actions",
            found=f"{columns} columns",
            remedy="train a model with learner='s', 't' or 'x'",
        )
    if isinstance(policy.exploration, Thompson) and predicted.replicates is None:
        raise UnfitModelError(
            expected=f"{flywheel.name} with a model that has replicates",
            found="one that expects a single number",
            remedy="train it with replicates=20, or explore by Epsilon",
        )


def draw(considered: pl.DataFrame, predicted: Predicted | None, flywheel: Flywheel) -> Drawn:
    """Draw an action for each candidate, with the probabilities that `chances` gives.

    Chance is a function of the ``decision_id``, and where candidates share places of the flywheel,
    the day and the slate: drawing again draws the same, in whatever order the rows come.
    """
    return _drawn(_contest(considered, predicted, flywheel))


def in_control(ids: pl.Series, policy: Policy) -> Bools:
    """Say whose decisions are held, or given the last arm, whatever their score.

    Parameters
    ----------
    ids : Series of String, (n_rows,)
        decision_ids.
    """
    return uniform(ids, "control") < policy.control


def decide(
    considered: pl.DataFrame,
    predicted: Predicted | None,
    flywheel: Flywheel,
    day: date,
    model_version: int | None,
) -> pl.DataFrame:
    """Turn a day's candidates into decisions.

    Parameters
    ----------
    considered : DataFrame, (n_candidates, ...)
        What each candidate's decision sees.
    predicted : Predicted or None
        By the champion; without one the policy's bootstrap rule scores.

    Returns
    -------
    DataFrame, (n_candidates, ...)
        Best rank first; with slates, slate by slate. ``rank`` is the place among all candidates, or
        in the slate. ``propensity`` is the probability of the action that was taken. ``score`` is
        null where the bootstrap rule gave none; a model that gives none leaves NaN, for the check
        to refuse.
    """
    as_of = pl.lit(closes(day)).cast(pl.Datetime("us", "UTC")).alias(AS_OF)
    contest = _contest(considered.with_columns(as_of), predicted, flywheel)
    drawn = _drawn(contest)
    score = pl.Series("score", drawn.score)
    order = pl.Series(_best_first(contest, drawn.score))
    slate = _slate_keys(flywheel.policy)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    # Columns are put in order one by one, and only those that a decision has.
    frame = pl.DataFrame(
        [
            *(contest.frame[name].gather(order) for name in candidate_type(flywheel).to_schema()),
            contest.ids.gather(order).alias(DECISION_ID),
            pl.Series("_action", drawn.action).gather(order),
            (score.fill_nan(None) if predicted is None else score).gather(order),
            pl.Series("propensity", drawn.propensity).gather(order),
            pl.Series("explored", drawn.explored).gather(order),
        ]
    )
    return frame.with_columns(
        pl.lit(day).alias(PARTITION),
        as_of.alias(DECIDED_AT),
        entity_id(flywheel),
        pl.lit(flywheel.name).alias("flywheel"),
        pl.lit(pl.Series(flywheel.policy.actions)).gather(pl.col("_action")).alias("action"),
        (place.over(slate) if slate else place).alias("rank"),
        pl.lit(model_version, dtype=pl.Int64).alias("model_version"),
    ).select(*decision_schema(flywheel))


def _drawn(contest: Contest) -> Drawn:
    outcome, policy = allocation(contest), contest.flywheel.policy
    chance, rows = outcome.chances(), np.arange(len(contest.ids))
    action = np.where(in_control(contest.ids, policy), len(policy.actions) - 1, outcome.draw())
    value = contest.value
    if isinstance(policy.allocation, Arms):
        score = value[rows, action]
        explored = score < value.max(axis=1)
    else:
        score = value[:, 0]
        explored = (action == 0) & (chance[:, 0] < 1.0)
    return Drawn(
        action=action,
        propensity=_with_control(chance, policy)[rows, action],
        explored=explored,
        score=np.where(np.isneginf(score), np.nan, score),
    )


def _best_first(contest: Contest, score: Floats) -> Ints:
    """Order candidates by score, slate by slate; ties by chance, the unknown last."""
    slate = _slate_keys(contest.flywheel.policy)
    codes, n_slates = np.zeros(len(score), dtype=np.int64), 1
    if slate:
        codes, found = coded(contest.frame, slate)
        n_slates = found.height
    value = np.where(np.isnan(score), -np.inf, score)
    order = Groups(codes, n_slates).order(-value)
    codes, value = codes[order], value[order]
    equal = (codes[1:] == codes[:-1]) & (value[1:] == value[:-1])
    tied = np.zeros(len(order), dtype=np.bool_)
    tied[1:] |= equal
    tied[:-1] |= equal
    # Only those who tie need what breaks ties.
    rows = order[tied]
    tie = uniform(contest.ids.gather(pl.Series(rows)), "tie")
    order[tied] = rows[np.lexsort((tie, -value[tied], codes[tied]))]
    return order


def _slate_keys(policy: Policy) -> list[str]:
    return [policy.allocation.per] if isinstance(policy.allocation, Slate) else []


def _with_control(chance: Floats, policy: Policy) -> Floats:
    chance = chance * (1.0 - policy.control)
    chance[:, -1] += policy.control
    return chance


def _contest(considered: pl.DataFrame, predicted: Predicted | None, flywheel: Flywheel) -> Contest:
    frame = considered
    if AS_OF not in frame.columns:
        frame = frame.with_columns(pl.col(DECIDED_AT).alias(AS_OF))
    replicates = None
    if predicted is None:
        value = _by_rule(frame, flywheel.policy)
    else:
        check_fits(predicted, flywheel)
        value = ranked(predicted.expected, flywheel)
        if isinstance(flywheel.policy.exploration, Thompson) and predicted.replicates is not None:
            replicates = ranked(predicted.replicates, flywheel)
    ids = frame.select(decision_id(flywheel)).to_series()
    return Contest(frame, ids, value, replicates, flywheel)


def _by_rule(frame: pl.DataFrame, policy: Policy) -> Floats:
    """Score by the bootstrap rule, (n_rows, n_arms) or (n_rows, 1)."""
    rule = policy.bootstrap.cast(pl.Float64)
    arms = policy.allocation.arms if isinstance(policy.allocation, Arms) else ()
    frames = [
        frame.with_columns(pl.lit(v).alias(name) for name, v in arm.features.items())
        for arm in arms
    ] or [frame]
    columns = [one.select(AS_OF, rule.alias("_value"))["_value"].to_numpy() for one in frames]
    return _known(np.column_stack(columns))


def ranked(expected: Floats, flywheel: Flywheel) -> Floats:
    """Give what is ranked, (..., n_rows, n_arms) or (..., n_rows, 1), from (..., n_actions)."""
    policy = flywheel.policy
    value = expected if isinstance(policy.allocation, Arms) else expected[..., :1]
    if policy.rank_by == "uplift":
        value = value - expected[..., -1:]
    return _known(value)


def _known(value: Floats) -> Floats:
    """Let what is not a number come last."""
    return np.where(np.isnan(value), -np.inf, value)
