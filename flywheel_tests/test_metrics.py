"""Metrics against counting by hand, and against known effects."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel_assets.stages import metrics
from flywheel_assets.stages.predicted import Predicted
from flywheel_tests.logged import EFFECT, flywheel, log

Row = tuple[float, bool, float, float]
rows_of = st.lists(
    st.tuples(
        st.integers(-3, 3).map(float),
        st.booleans(),
        st.sampled_from([-math.inf, 0.0, 1.0, 2.0, math.inf]),
        st.sampled_from([0.1, 0.25, 0.5, 0.9]),
    ),
    min_size=2,
    max_size=25,
)


def columns(rows: list[Row]) -> tuple[npt.NDArray[Any], ...]:
    """Give reward, acted, score and propensity as arrays."""
    return tuple(np.array(c) for c in zip(*rows, strict=True))


def gain_of(rows: list[Row]) -> float:
    """Give the difference of the weighted means of both sides, 0 without one of them."""
    means = []
    for side in (True, False):
        weights = [1 / p for _, acted, _, p in rows if acted == side]
        worth = [r / p for r, acted, _, p in rows if acted == side]
        if not weights:
            return 0.0
        means.append(sum(worth) / sum(weights))
    return means[0] - means[1]


def curve(rows: list[Row]) -> list[tuple[float, float]]:
    """Draw the uplift curve by its definition."""
    points = [(0.0, 0.0)]
    for at in sorted({row[2] for row in rows}, reverse=True):
        best = [row for row in rows if row[2] >= at]
        share = len(best) / len(rows)
        points.append((share, share * gain_of(best)))
    return points


@given(rows_of)
@settings(deadline=None)
def test_qini_is_the_area_over_the_diagonal(rows: list[Row]) -> None:
    """By trapezoids between the points of the definition; NaN where only one side is there."""
    points = curve(rows)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    found = metrics.qini(*columns(rows))
    if len({acted for _, acted, _, _ in rows}) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(area - points[-1][1] / 2)


@given(rows_of, st.sampled_from([0.1, 0.3, 0.5, 1.0]))
@settings(deadline=None)
def test_uplift_at_k_is_the_difference_among_the_best(rows: list[Row], k: float) -> None:
    least = sorted((row[2] for row in rows), reverse=True)[math.ceil(k * len(rows)) - 1]
    best = [row for row in rows if row[2] >= least]
    reward, acted, score, propensity = columns(rows)
    found = metrics.uplift_at_k(reward, acted, score, propensity, k)
    if len({acted for _, acted, _, _ in best}) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(gain_of(best))


@given(rows_of, st.randoms())
@settings(deadline=None)
def test_the_order_of_rows_does_not_count(rows: list[Row], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    assert metrics.qini(*columns(rows)) == pytest.approx(
        metrics.qini(*columns(shuffled)), nan_ok=True
    )


def test_qini_of_radcliffes_kind_by_hand() -> None:
    """Constant propensity: the best half gains 1 a row, the rest nothing; 0 for the reverse sum."""
    acted = np.array([True, False] * 4)
    reward = np.array([1, 0, 1, 0, 0, 0, 0, 0])
    score = np.array([4, 4, 3, 3, 2, 2, 1, 1.0])
    half = np.full(8, 0.5)
    # The curve: 0, 1/4, 1/2, then flat to 1/2: an area of 3/8, less the diagonal's 1/4.
    assert metrics.qini(reward, acted, score, half) == pytest.approx(1 / 8)
    assert metrics.qini(reward, acted, -score, half) == pytest.approx(-1 / 8)
    assert metrics.qini(reward, acted, np.zeros(8), half) == pytest.approx(0.0)


def test_weights_undo_a_log_that_acted_on_those_who_buy_anyway() -> None:
    """Whoever has a high base rate was acted on more often: unweighted, that looks like uplift."""
    rows = log(
        40_000,
        chance=lambda x: np.column_stack([0.1 + 0.8 * x[:, 0], 0.9 - 0.8 * x[:, 0]]),
        rate=lambda x, a: 0.1 + 0.8 * x[:, 0] + np.where(a == 0, 0.1 * x[:, 1], 0.0),
    )
    reward, acted = rows["reward"].to_numpy(), (rows["action"] == "contact").to_numpy()
    score, propensity = rows[EFFECT].to_numpy(), rows["propensity"].to_numpy()
    weighted = metrics.uplift_at_k(reward, acted, score, propensity, 1.0)
    blind = metrics.uplift_at_k(reward, acted, score, np.full(len(rows), 0.5), 1.0)
    assert weighted == pytest.approx(0.05, abs=0.02)
    assert blind > 0.2
    # The best half by the true effect gains .075 a row, and the area over the diagonal is 1/12 of
    # the slope of the effect.
    assert metrics.uplift_at_k(reward, acted, score, propensity, 0.5) == pytest.approx(
        0.075, abs=0.02
    )
    assert metrics.qini(reward, acted, score, propensity) == pytest.approx(0.1 / 12, abs=0.004)


def test_calibration_error_by_hand() -> None:
    """Two bins of two rows: .1 expected and 0 seen, .8 expected and 1/2 seen."""
    label, score = np.array([0, 0, 1, 0]), np.array([0.1, 0.1, 0.8, 0.8])
    assert metrics.expected_calibration_error(label, score, 2) == pytest.approx(0.2)
    assert math.isnan(metrics.expected_calibration_error(np.array([]), np.array([])))


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=60),
    st.integers(1, 12),
)
@settings(deadline=None)
def test_calibration_error_lies_between_its_bounds(
    rows: list[tuple[int, float]], bins: int
) -> None:
    """At least what rates are off over all, at most the mean error of single rows."""
    label, score = columns(rows)  # type: ignore[arg-type]
    found = metrics.expected_calibration_error(label, score, bins)
    assert abs(score.mean() - label.mean()) - 1e-9 <= found <= np.abs(score - label).mean() + 1e-9


def test_metrics_of_one_outcome_are_not_a_number() -> None:
    score = np.array([0.2, 0.4])
    assert math.isnan(metrics.roc_auc(np.zeros(2), score))
    assert math.isnan(metrics.average_precision(np.zeros(2), score))
    assert metrics.log_loss(np.zeros(2), score) == pytest.approx(
        -(math.log(0.8) + math.log(0.6)) / 2
    )
    assert metrics.rmse(np.zeros(2), score) == pytest.approx(math.sqrt(0.1))


def test_what_is_measured_is_what_was_expected_of_the_action_taken() -> None:
    """A model that is right about both actions has the truth's own metric."""
    rows, wheel = log(500), flywheel(learner="t")
    label = rows["outcome"].to_numpy().astype(float)
    acted = (rows["action"] == "contact").to_numpy()
    right = Predicted(np.column_stack([np.where(acted, label, 0.3), np.where(acted, 0.3, label)]))
    assert metrics.measure("roc_auc", rows, right, wheel) == 1.0
    assert metrics.measure("rmse", rows, right, wheel) == 0.0
    assert metrics.measure("roc_auc", rows, Predicted(label[:, None]), wheel) == 1.0


def test_qini_of_arms_compares_the_advised_arm_with_the_last() -> None:
    """Rows of the other arm, and rows whose action was certain, tell nothing."""
    rows = log(
        12, actions=("low", "high", "none"), chance=lambda x: np.full((len(x), 3), 1 / 3), seed=3
    )
    expected = np.tile([0.1, 0.4, 0.2], (12, 1))
    told = metrics.compared(rows, Predicted(expected), flywheel(arms=True))
    assert len(told.reward) == rows.filter(action="high").height + rows.filter(action="none").height
    assert told.acted.sum() == rows.filter(action="high").height
    assert told.score == pytest.approx(np.full(len(told.score), 0.2))
    certain = rows.with_columns(propensity=1.0)
    assert len(metrics.compared(certain, Predicted(expected), flywheel(arms=True)).reward) == 0
    assert math.isnan(
        metrics.measure("qini", certain, Predicted(expected), flywheel(arms=True, metric="qini"))
    )
