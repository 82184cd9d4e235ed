"""The gate: what a challenger shows on matured decisions that are later than all it learnt from."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import LOWER_IS_BETTER, Gate
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.errors import OffPolicyError, UnfitModelError
from flywheel_assets.off_policy import Estimate, LoggedDecisions, difference, snips
from flywheel_assets.stages.metrics import expected_calibration_error, measure, of_taken
from flywheel_assets.stages.policy import chances, check_fits
from flywheel_assets.stages.predicted import Predicted, Scorer, action_numbers
from flywheel_assets.stages.resampling import FEWEST, clusters, gain_interval
from flywheel_assets.stages.training_set import LABEL, REWARD


@dataclass(frozen=True)
class Verdict:
    """What came of holding a challenger against the gate.

    Parameters
    ----------
    promoted : bool
    reason : str
        Why; of a refusal, each bar that was missed, and by how much.
    failed : bool
        Whether it came to an error, which is no verdict of the gate.
    value, champion_value : float, optional
        The declared metric, on the same rows.
    gain, gain_lower, gain_upper : float, optional
        Over the champion, positive where the challenger is better, with the paired bootstrap
        interval.
    calibration_error : float, optional
        Expected calibration error, where a probability is predicted.
    policy_value, policy_gain, policy_gain_lower : float, optional
        Off-policy: the reward per decision of deciding by the challenger, that less the champion's
        (or, for a first champion, the bootstrap rule's), and its lower bound. None where the log
        does not support them.
    """

    promoted: bool
    reason: str
    failed: bool = False
    value: float | None = None
    champion_value: float | None = None
    gain: float | None = None
    gain_lower: float | None = None
    gain_upper: float | None = None
    calibration_error: float | None = None
    policy_value: float | None = None
    policy_gain: float | None = None
    policy_gain_lower: float | None = None


REFUSED = "refused: "


def refused(reason: str, *, failed: bool = False) -> Verdict:
    """Keep the champion, whatever the challenger might have shown."""
    return Verdict(promoted=False, reason=f"{REFUSED}{reason}", failed=failed)


def judge(
    flywheel: Flywheel, holdout: pl.DataFrame, shown: Predicted, champion: Predicted | str | None
) -> Verdict:
    """Hold a challenger against every bar of the gate, and against the champion on the same rows.

    Parameters
    ----------
    holdout : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``, which neither model has seen.
    shown : Predicted
        By the challenger, for those rows.
    champion : Predicted or str, optional
        By the champion; or why it cannot be compared, which the verdict says: the challenger is
        then judged as a first champion is. None where there is no champion yet.
    """
    model, gate = flywheel.model, flywheel.model.gate
    standing = None if isinstance(champion, str) else champion
    alone = f"; the champion could not be compared: {champion}" if champion is not standing else ""
    if unknown := _not_finite(shown):
        return refused(unknown)
    value = measure(model.metric, holdout, shown, flywheel)
    if not np.isfinite(value):
        return refused(f"{model.metric} is not defined on the {holdout.height} holdout decisions")
    verdict = replace(_measured(flywheel, holdout, shown, standing), value=value)
    found, diagnosis = _policy_gain(flywheel, holdout, shown, standing)
    if found is not None:
        verdict = replace(
            verdict,
            policy_value=found[0].value,
            policy_gain=found[1].value,
            policy_gain_lower=found[1].lower_bound,
        )
    n_entities = len(np.unique(clusters(holdout, flywheel)))
    missed = list(filter(None, _missed(flywheel, verdict, diagnosis, n_entities)))
    if missed:
        return replace(verdict, promoted=False, reason=REFUSED + "; ".join(missed) + alone)
    return replace(verdict, promoted=True, reason=_praise(model.metric, gate, verdict, alone))


def compared_with(
    champion: Scorer | None, holdout: pl.DataFrame, flywheel: Flywheel
) -> Predicted | str | None:
    """Let the champion score the holdout, or say why it cannot be compared; see `judge`."""
    if champion is None:
        return None
    try:
        said = champion(holdout)
        check_fits(said, flywheel)
    except UnfitModelError as error:
        return str(error)
    if flywheel.model.metric == "qini" and said.expected.shape[1] == 1:
        return "it knows nothing of actions, and qini is of what they change"
    return _not_finite(said) or said


def _not_finite(said: Predicted) -> str | None:
    """Say how many scores are no numbers, by which nothing can be decided either."""
    for scores in (said.expected, said.replicates):
        if scores is not None and not np.isfinite(scores).all():
            return f"{int((~np.isfinite(scores)).sum())} scores are NaN or infinite"
    return None


def _measured(
    flywheel: Flywheel, holdout: pl.DataFrame, shown: Predicted, standing: Predicted | None
) -> Verdict:
    """Compare with the champion, and look at the calibration."""
    model = flywheel.model
    verdict = Verdict(promoted=False, reason="")
    if model.target == "outcome":
        said = of_taken(shown, holdout, flywheel)
        error = expected_calibration_error(holdout[LABEL].to_numpy(), said)
        verdict = replace(verdict, calibration_error=error)
    if standing is None:
        return verdict
    value = measure(model.metric, holdout, shown, flywheel)
    beaten = measure(model.metric, holdout, standing, flywheel)
    interval = gain_interval(
        holdout,
        shown,
        standing,
        flywheel,
        confidence=model.gate.confidence,
        seed=holdout.select(pl.col(PARTITION).max()).item().toordinal(),
    )
    return replace(
        verdict,
        champion_value=beaten,
        gain=beaten - value if model.metric in LOWER_IS_BETTER else value - beaten,
        gain_lower=interval.lower,
        gain_upper=interval.upper,
    )


def _missed(
    flywheel: Flywheel, verdict: Verdict, diagnosis: str, n_entities: int
) -> list[str | None]:
    gate, metric = flywheel.model.gate, flywheel.model.metric
    return [
        _missed_minimum(metric, gate, verdict),
        _missed_gain(metric, gate, verdict, n_entities),
        _missed_calibration(gate, verdict),
        _missed_policy_gain(gate, verdict, diagnosis),
    ]


def _missed_minimum(metric: str, gate: Gate, verdict: Verdict) -> str | None:
    value = verdict.value or 0.0
    least = metric not in LOWER_IS_BETTER
    short = gate.minimum - value if least else value - gate.minimum
    if short <= 0:
        return None
    side, bar = ("below", "least") if least else ("above", "most")
    return f"{metric} {value:.4f} is {side} the {bar} allowed, {gate.minimum:g}, by {short:.4f}"


def _missed_gain(metric: str, gate: Gate, verdict: Verdict, n_entities: int) -> str | None:
    if verdict.gain is None or verdict.gain_lower is None:
        return None
    if np.isnan(verdict.gain_lower):
        why = f"most samples of {n_entities} entities have no {metric}"
        if n_entities < FEWEST:
            why = f"{n_entities} entities are too few to tell it from chance, {FEWEST} are needed"
        return f"the gain in {metric} over the champion has no interval: {why}"
    if verdict.gain_lower > gate.minimum_gain:
        return None
    return (
        f"the gain in {metric} over the champion's {verdict.champion_value:.4f}, "
        f"{_interval(gate, verdict)}, has a lower end that is not above {gate.minimum_gain:g}: "
        f"short by {gate.minimum_gain - verdict.gain_lower:.4f}"
    )


def _missed_calibration(gate: Gate, verdict: Verdict) -> str | None:
    most, error = gate.maximum_calibration_error, verdict.calibration_error
    if most is None or error is None or error <= most:
        return None
    return (
        f"expected calibration error {error:.4f} is above the most allowed, {most:g}, "
        f"by {error - most:.4f}"
    )


def _missed_policy_gain(gate: Gate, verdict: Verdict, diagnosis: str) -> str | None:
    least, bound = gate.minimum_policy_gain, verdict.policy_gain_lower
    if least is None:
        return None
    if bound is None:
        return f"the log does not support an estimate of the policy's gain: {diagnosis}"
    if bound >= least:
        return None
    return (
        f"the policy's gain {verdict.policy_gain:+.4g} a decision has a lower bound of "
        f"{bound:+.4g}, below the least allowed, {least:g}, by {least - bound:.4g}"
    )


def _praise(metric: str, gate: Gate, verdict: Verdict, alone: str) -> str:
    if verdict.gain is None:
        first = "judged as a first champion" if alone else "the first champion"
        return f"{first}, {metric} {verdict.value:.4f}{alone}"
    allowed = "" if gate.minimum_gain >= 0 else ": a fresher model may be that much worse"
    return (
        f"{metric} {verdict.value:.4f} against the champion's {verdict.champion_value:.4f}: "
        f"gain {_interval(gate, verdict)}, its lower end above {gate.minimum_gain:g}{allowed}"
    )


def _interval(gate: Gate, verdict: Verdict) -> str:
    return (
        f"{verdict.gain:+.4f} ({gate.confidence:.0%} interval {verdict.gain_lower:+.4f} to "
        f"{verdict.gain_upper:+.4f})"
    )


def _policy_gain(
    flywheel: Flywheel, holdout: pl.DataFrame, shown: Predicted, standing: Predicted | None
) -> tuple[tuple[Estimate, Estimate] | None, str]:
    """Estimate the challenger's policy and its gain; None, and why, where the log says nothing."""
    level = flywheel.model.gate.confidence
    try:
        one = policy_estimate(flywheel, holdout, shown, level)
        gain = difference(one, policy_estimate(flywheel, holdout, standing, level))
    except OffPolicyError as error:
        return None, str(error)
    return ((one, gain), "") if gain.supported else (None, str(gain.overlap))


def policy_estimate(
    flywheel: Flywheel, rows: pl.DataFrame, predicted: Predicted | None, level: float
) -> Estimate:
    """Estimate what deciding by a model would have earned, per decision, on logged days.

    Parameters
    ----------
    rows : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``, whole days: those of a day compete for its places.
    predicted : Predicted or None
        For the same rows; None for the bootstrap rule.
    level : float
        Of the interval, from .5 to below 1.

    Raises
    ------
    OffPolicyError
        Where the rows that there are do not tell what another policy would have decided.
    """
    if flywheel.policy.competing and flywheel.outcome.exposure is not None:
        raise OffPolicyError(
            expected="all who competed for the places of a day",
            found=f"those alone whose decision fct_{flywheel.outcome.exposure.name} says was "
            "carried out",
            remedy="leave exposure out of the outcome: what was decided and not carried out then "
            "counts with what followed it",
        )
    chance = chances(rows, predicted, flywheel)
    action = action_numbers(rows, flywheel.policy.actions)
    target = chance[np.arange(rows.height), np.maximum(action, 0)]
    log = LoggedDecisions(
        reward=rows[REWARD].to_numpy(),
        propensity=rows["propensity"].to_numpy(),
        # An action that the policy no longer has is one that it would not take.
        target=np.where(action < 0, 0.0, np.clip(target, 0.0, 1.0)),
        cluster=clusters(rows, flywheel),
    )
    return snips(log, level=level)
