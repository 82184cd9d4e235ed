"""Off-policy estimators against formulas, against a peer, and against what they must refuse."""

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel_assets.off_policy import (
    Bars,
    Estimate,
    LoggedDecisions,
    difference,
    dm,
    dr,
    dr_os,
    ips,
    replay,
    snips,
    switch_dr,
)

Estimator = Callable[..., Estimate]
ANY = Bars(effective_sample_size=0, weight_share=1, unsupported_share=math.inf)
"""For arithmetic on a few rows, which no log would be evaluated on."""
LOG: dict[str, Any] = {"reward": [1, 0, 2, 0], "propensity": [0.5, 0.25, 0.5, 0.25]}
MODEL: dict[str, Any] = {"predicted": [1, 0.5, 1, 0], "predicted_value": [0.5, 0.5, 1, 0.5]}
TARGET = [0.25, 0.5, 1, 0]  # weights .5, 2, 2, 0


def logged(**columns: Any) -> LoggedDecisions:
    """Take lists for arrays."""
    return LoggedDecisions(**columns)


@pytest.mark.parametrize(
    ("estimator", "options", "terms"),
    [
        (ips, {}, [0.5, 0, 4, 0]),
        # The value is 4.5 / 4.5; a row adds its weight over the mean weight, times what it is off.
        (snips, {}, [1, 1 - 2 / 1.125, 1 + 2 / 1.125, 1]),
        (dm, {}, [0.5, 0.5, 1, 0.5]),
        (dr, {}, [0.5, 0.5 - 2 * 0.5, 1 + 2 * 1, 0.5]),
        (switch_dr, {"threshold": 1}, [0.5, 0.5, 1, 0.5]),
        (switch_dr, {"threshold": 2}, [0.5, 0.5 - 2 * 0.5, 1 + 2 * 1, 0.5]),
        # Weights of 2 become 4 * 2 / (4 + 4) = 1.
        (dr_os, {"shrinkage": 4}, [0.5, 0.5 - 1 * 0.5, 1 + 1 * 1, 0.5]),
    ],
)
def test_the_formulas_by_hand(
    estimator: Estimator, options: dict[str, float], terms: list[float]
) -> None:
    """Each row's contribution, their mean and its standard error."""
    found = estimator(logged(**LOG, **MODEL, target=TARGET), bars=ANY, **options)
    assert found.terms == pytest.approx(terms)
    assert found.value == pytest.approx(statistics.mean(terms))
    assert found.standard_error == pytest.approx(statistics.stdev(terms) / 2)
    assert found.overlap.n_matched == 3
    assert found.overlap.effective_sample_size == pytest.approx(4.5**2 / 8.25)
    assert found.overlap.largest_weight == 2


def test_replay_by_hand() -> None:
    """The mean of the rows that agree, with the standard error of a mean of so many."""
    rows = logged(reward=[1, 9, 2, 9, 6], propensity=[0.2] * 5, target=[1, 0, 1, 0, 1])
    found = replay(rows, bars=ANY)
    assert found.value == 3
    spread = math.sqrt((2**2 + 1**2 + 3**2) / 3)
    assert found.standard_error == pytest.approx(spread / math.sqrt(3) * math.sqrt(5 / 4))


def test_open_bandit_pipeline_says_the_same() -> None:
    """Its 0.4.1 and 0.5.7 gave these numbers for these arrays, alike to the last digit."""
    target = np.array(
        [
            [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.9, 0.05, 0.05], [0.7, 0.1, 0.2],
            [0.3, 0.6, 0.1], [0.1, 0.1, 0.8], [0.5, 0.5, 0.0], [0.0, 0.4, 0.6], [0.25, 0.25, 0.5],
        ]
    )  # fmt: skip
    predicted = [
        [0.6, 0.2, 0.1], [0.5, 0.3, 0.1], [0.4, 0.2, 0.2], [0.7, 0.1, 0.1], [0.8, 0.2, 0.3],
        [0.5, 0.1, 0.2], [0.3, 0.2, 0.1], [0.9, 0.4, 0.1], [0.2, 0.1, 0.3], [0.4, 0.2, 0.2],
    ]  # fmt: skip
    reward = [1, 0, 0, 1, 1, 0, 0, 1, 0, 0]
    action = np.array([0, 1, 2, 0, 0, 1, 2, 0, 1, 2])
    rows = LoggedDecisions.of_actions(
        reward=reward,
        propensity=[0.5, 0.25, 0.25, 0.5, 0.2, 0.1, 0.7, 0.4, 0.4, 0.2],
        action=action,
        target=target,
        predicted=predicted,
    )
    certain = (target.argmax(axis=1) == action).astype(float)
    agreeing = logged(reward=reward, propensity=[1 / 3] * 10, target=certain)
    found = {
        "ips": ips(rows, bars=ANY),
        "snips": snips(rows, bars=ANY),
        "dm": dm(rows, bars=ANY),
        "dr": dr(rows, bars=ANY),
        "switch_dr": switch_dr(rows, threshold=1.6, bars=ANY),
        "dr_os": dr_os(rows, shrinkage=2.0, bars=ANY),
        "replay": replay(agreeing, bars=ANY),
    }
    assert {name: estimate.value for name, estimate in found.items()} == pytest.approx(
        {
            "ips": 0.775,
            "snips": 0.3230128014289967,
            "dm": 0.373,
            "dr": 0.2820714285714286,
            "switch_dr": 0.41207142857142853,
            "dr_os": 0.38144300672818776,
            "replay": 0.4444444444444445,
        },
        rel=1e-14,
    )


@st.composite
def logs(draw: st.DrawFn, size: int = 12) -> dict[str, Any]:
    """Draw the columns of a log, with a model."""
    rewards = st.floats(-100, 100).map(lambda value: round(value, 3))
    chances = st.floats(0.01, 1.0)
    count = draw(st.integers(3, size))
    column = {name: st.lists(rewards, min_size=count, max_size=count) for name in MODEL}
    reward = st.lists(rewards, min_size=count, max_size=count).filter(lambda r: len(set(r)) > 1)
    chance = st.lists(chances, min_size=count, max_size=count)
    return {
        "reward": np.array(draw(reward)),
        "propensity": np.array(draw(chance)),
        "target": np.array(draw(chance)),
        **{name: np.array(draw(values)) for name, values in column.items()},
    }


def figures(estimate: Estimate) -> list[float]:
    """Give everything that is on the scale of the reward."""
    names = ("value", "lower", "upper", "lower_bound", "standard_error")
    return [getattr(estimate, name) for name in names]


def close(expected: Any) -> Any:
    """Allow for rounding at the size of the terms, some 1e4."""
    return pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(logs())
def test_a_policy_on_its_own_log_is_worth_what_it_earned(log: dict[str, Any]) -> None:
    """With the target as logged every weight is 1, and weighting is the mean reward."""
    rows = logged(**log | {"target": log["propensity"]})
    for estimator in (ips, snips):
        assert estimator(rows, bars=ANY).value == close(log["reward"].mean())


@given(logs())
def test_a_model_that_knows_nothing_or_everything(log: dict[str, Any]) -> None:
    """Predicting 0 makes DR be IPS; predicting each reward makes it the direct method."""
    nothing = logged(**log | {"predicted": 0 * log["reward"], "predicted_value": 0 * log["reward"]})
    assert figures(dr(nothing, bars=ANY)) == close(figures(ips(nothing, bars=ANY)))
    everything = logged(**log | {"predicted": log["reward"]})
    for estimator in (dr, switch_dr, dr_os):
        assert estimator(everything, bars=ANY).value == close(dm(everything, bars=ANY).value)


@given(logs())
def test_shrinking_goes_from_the_model_to_doubly_robust(log: dict[str, Any]) -> None:
    """Nothing but the model at 0, all of the weights at infinity, and limits as wide as DR's."""
    rows = logged(**log)
    full, model = dr(rows, bars=ANY), dm(rows, bars=ANY)
    ends: list[tuple[Estimator, str]] = [(switch_dr, "threshold"), (dr_os, "shrinkage")]
    for estimator, name in ends:
        assert figures(estimator(rows, bars=ANY, **{name: 0})) == close(figures(model))
        assert figures(estimator(rows, bars=ANY, **{name: math.inf})) == close(figures(full))
        chosen = estimator(rows, bars=ANY)
        again = estimator(rows, bars=ANY, **{name: chosen.parameter})
        assert figures(again) == figures(chosen)
        assert chosen.lower <= full.lower
        assert chosen.upper >= full.upper


@given(logs(), st.floats(-50, 50), st.floats(0.01, 50))
def test_moving_and_scaling_rewards(log: dict[str, Any], shift: float, scale: float) -> None:
    """SNIPS moves along with the rewards; every estimator scales with them."""
    rows = logged(**log)
    moved = snips(logged(**log | {"reward": log["reward"] + shift}), bars=ANY)
    before = figures(snips(rows, bars=ANY))
    assert figures(moved) == close([value + shift for value in before[:4]] + before[4:])
    scaled = logged(
        **log | {name: scale * log[name] for name in ("reward", "predicted", "predicted_value")}
    )
    for estimator in (ips, snips, dm, dr, switch_dr, dr_os):
        found = figures(estimator(scaled, bars=ANY))
        assert found == close([scale * value for value in figures(estimator(rows, bars=ANY))])


@given(logs(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(log: dict[str, Any], random: Any) -> None:
    """Nor does it that rows are there twice, once they are clusters."""
    order = list(range(len(log["reward"])))
    random.shuffle(order)
    shuffled = logged(**{name: values[order] for name, values in log.items()})
    names = np.array([f"row {i}" for i in range(len(order))])
    doubled = logged(
        **{name: np.tile(values, 2) for name, values in log.items()}, cluster=np.tile(names, 2)
    )
    for estimator in (ips, snips, dm, dr, switch_dr):
        expected = figures(estimator(logged(**log), bars=ANY))
        assert figures(estimator(shuffled, bars=ANY)) == close(expected)
        if estimator is not switch_dr:  # twice the rows may choose another threshold
            assert figures(estimator(doubled, bars=ANY)) == close(expected)


@given(logs(), st.sampled_from([ips, snips, dm, dr, switch_dr, dr_os]))
def test_differences_are_paired(log: dict[str, Any], estimator: Estimator) -> None:
    """A policy less itself is exactly 0; the other way round the interval is its mirror image."""
    one = estimator(logged(**log), bars=ANY)
    other = estimator(logged(**log | {"target": log["target"][::-1]}), bars=ANY)
    assert figures(difference(one, one)) == [0, 0, 0, 0, 0]
    ahead, behind = difference(one, other), difference(other, one)
    assert ahead.value == close(one.value - other.value)
    assert [ahead.lower, ahead.upper] == close([-behind.upper, -behind.lower])
    assert ahead.lower <= ahead.lower_bound <= ahead.value <= ahead.upper
