"""How often off-policy intervals cover what is known, in simulated logs and in a real one."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from flywheel_assets.off_policy import (
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
from flywheel_benchmarks.off_policy_coverage import World, world
from flywheel_tests.conftest import shared_data

Estimator = Callable[..., Estimate]
Floats = npt.NDArray[np.float64]


def covers(found: list[Estimate], value: float) -> float:
    """Give the share of intervals that hold the value."""
    return float(np.mean([each.lower <= value <= each.upper for each in found]))


def normal_covers(found: list[Estimate], value: float) -> float:
    """Give what the normal intervals of the same standard errors would."""
    return float(np.mean([abs(each.value - value) <= 1.96 * each.standard_error for each in found]))


def holds(found: list[Estimate], value: float) -> float:
    """Give the share of lower bounds that the value is above."""
    return float(np.mean([each.lower_bound <= value for each in found]))


def mild(rng: np.random.Generator) -> tuple[World, Floats]:
    """Make a world of moderate weights, and a model of it that is off by half."""
    made = world(rng, n_actions=5, rate=0.2, spread=0.8, alignment=0.3)
    return made, made.rate * np.exp(rng.normal(0, 0.5, made.rate.shape))


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_intervals_cover_at_their_level(estimator: Estimator) -> None:
    """1,500 logs of 500 rows, within two and a half points."""
    rng = np.random.default_rng(7)
    made, model = mild(rng)
    found = [estimator(made.log(rng, 500, model)) for _ in range(1_500)]
    assert all(each.supported for each in found)
    assert 0.925 <= covers(found, made.value) <= 0.975
    assert 0.925 <= holds(found, made.value) <= 0.975


@pytest.mark.parametrize("estimator", [switch_dr, dr_os, dm])
def test_bias_is_no_way_to_a_short_interval(estimator: Estimator) -> None:
    """Where a wrong model is trusted, intervals cover all the same; their own would not."""
    rng = np.random.default_rng(7)
    made, model = mild(rng)
    found = [estimator(made.log(rng, 500, model)) for _ in range(750)]
    assert covers(found, made.value) >= 0.925
    assert holds(found, made.value) >= 0.925
    assert normal_covers(found, made.value) < 0.9


def test_replay_covers_at_its_level() -> None:
    """The policy follows the context in a log of two arms by equal chance."""
    rng = np.random.default_rng(8)
    found = []
    for _ in range(1_500):
        context, action = rng.integers(2, size=(2, 300))
        reward = (rng.random(300) < np.where(context == action, 0.3, 0.1)).astype(float)
        target = (context == action).astype(float)
        found.append(replay(LoggedDecisions(reward, np.full(300, 0.5), target)))
    assert 0.925 <= covers(found, 0.3) <= 0.975


@pytest.mark.parametrize("estimator", [ips, snips])
def test_few_clicks_under_skewed_weights(estimator: Estimator) -> None:
    """46 clicks are expected in 10,000 rows: the normal interval is far too short above."""
    rng = np.random.default_rng(9)
    made = world(rng, n_actions=34, rate=0.0046, spread=1.5, alignment=0.3)
    found = [estimator(made.log(rng, 10_000)) for _ in range(500)]
    found = [each for each in found if each.supported]
    assert len(found) > 480
    assert covers(found, made.value) >= 0.9
    assert normal_covers(found, made.value) <= 0.85
    assert holds(found, made.value) >= 0.93


@pytest.mark.parametrize(("n_rows", "rate"), [(10_000, 0.0046), (1_000, 0.005), (100, 0.1)])
def test_few_clicks_of_the_policy_itself(n_rows: int, rate: float) -> None:
    """Without weights it is the interval of a proportion: never short where there are few."""
    rng, even = np.random.default_rng(10), np.full(n_rows, 0.5)
    clicks = [count for count in rng.binomial(n_rows, rate, 1_000) if count]
    found = [ips(LoggedDecisions(np.arange(n_rows) < count, even, even)) for count in clicks]
    assert covers(found, rate) >= 0.94


def test_rows_that_depend_on_each_other_are_clusters() -> None:
    """Rows of a day share its luck: taken as independent, they promise too much."""
    rng, found, naive = np.random.default_rng(11), [], []
    half = np.full(1_000, 0.5)
    for _ in range(300):
        day = np.repeat(np.arange(40), 25)
        reward = 1 + rng.normal(0, 1, 40)[day] + rng.normal(0, 1, 1_000)
        target = rng.random(1_000)
        found.append(snips(LoggedDecisions(reward, half, target, cluster=day)))
        naive.append(snips(LoggedDecisions(reward, half, target)))
    assert 0.92 <= covers(found, 1.0) <= 0.98
    assert covers(naive, 1.0) < 0.6


@pytest.mark.parametrize("estimator", [ips, snips, dr])
def test_a_paired_difference_covers_and_is_narrower(estimator: Estimator) -> None:
    """Two policies that differ in a tenth of their choices: most of the noise is shared."""
    rng = np.random.default_rng(12)
    made, model = mild(rng)
    best = np.zeros_like(made.rate)
    best[np.arange(len(best)), made.rate.argmax(axis=1)] = 1.0
    found, apart = [], []
    for _ in range(750):
        context = rng.integers(len(best), size=2_000)
        below = rng.random(2_000)[:, None] > made.propensity.cumsum(axis=1)[context]
        action = np.minimum(below.sum(axis=1), 4)
        log: dict[str, Any] = {
            "reward": rng.random(2_000) < made.rate[context, action],
            "propensity": made.propensity[context],
            "action": action,
            "predicted": model[context],
        }
        even = np.full((2_000, 5), 0.2)
        champion = estimator(LoggedDecisions.of_actions(**log, target=even))
        target = 0.9 * even + 0.1 * best[context]
        challenger = estimator(LoggedDecisions.of_actions(**log, target=target))
        found.append(difference(challenger, champion))
        apart.append(challenger.standard_error + champion.standard_error)
    gain = 0.1 * float((made.rate.max(axis=1) - made.rate.mean(axis=1)).mean())
    assert 0.925 <= covers(found, gain) <= 0.975
    assert 0.925 <= holds(found, gain) <= 0.975
    assert np.mean([each.standard_error for each in found]) < np.mean(apart) / 4


def open_bandit(log: str, campaign: str) -> LoggedDecisions:
    """Read a log under the uniform random policy, with a cross-fitted model of clicks.

    Each row shows one item in one of three positions; its propensity is the probability of the
    item in that position, and the random policy's is the same for every item.
    """
    file = shared_data() / "open_bandit" / log / campaign / f"{campaign}.csv"
    if not file.exists():
        pytest.skip(f"the Open Bandit data is not at {file}; set FLYWHEEL_SHARED_DATA")
    frame = pl.read_csv(file, columns=["item_id", "position", "click", "propensity_score"])
    item, position = frame["item_id"].to_numpy(), frame["position"].to_numpy() - 1
    click, n_items = frame["click"].to_numpy(), item.max() + 1
    predicted, predicted_value = np.empty(frame.height), np.empty(frame.height)
    for half in (0, 1):
        out = np.arange(frame.height) % 2 == half
        cells = np.ravel_multi_index((item, position), (n_items, 3))
        shown, clicked = (
            np.bincount(cells[~out], weights=w[~out], minlength=3 * n_items)
            for w in (np.ones(frame.height), click)
        )
        # As if each cell had been shown a thousand times more at the overall rate.
        model = (clicked + 1_000 * click[~out].mean()) / (shown + 1_000)
        predicted[out] = model[cells[out]]
        predicted_value[out] = model.reshape(n_items, 3).mean(axis=0)[position[out]]
    return LoggedDecisions(
        reward=click,
        propensity=frame["propensity_score"].to_numpy(),
        target=np.full(frame.height, 1 / n_items),
        predicted=predicted,
        predicted_value=predicted_value,
    )


def every(logged: LoggedDecisions) -> Iterator[Estimate]:
    """Estimate in every way."""
    for estimator in (ips, snips, dr, switch_dr, dr_os, dm):
        yield estimator(logged)


def test_open_bandit_men() -> None:
    """The random policy's click rate, .0046 where it ran, from the log of another."""
    logged = open_bandit("bts", "men")
    found = ips(logged)
    assert found.value == pytest.approx(0.0030, abs=5e-5)
    assert found.standard_error == pytest.approx(0.0008, abs=5e-5)
    assert found.overlap.effective_sample_size == pytest.approx(656, abs=0.5)
    shown = ips(open_bandit("random", "men"))
    assert shown.value == pytest.approx(0.0046)
    for estimate in every(logged):
        assert estimate.lower <= 0.0046 <= estimate.upper
        assert estimate.lower > 0.001
        assert estimate.upper < 0.01


def test_open_bandit_women() -> None:
    """One row of a weight of 21,739 carries it all: nothing that looks like a rate is printed."""
    logged = open_bandit("bts", "women")
    for estimate in every(logged):
        assert not estimate.supported
        for text in (str(estimate), f"{estimate:.4f}"):
            assert text == (
                "no estimate: effective sample size 2 of 10,000 rows, where 100 are needed; one "
                "row carries 69% of the weight, where 5% is allowed (largest weight 21,739)"
            )
    terms = ips(logged).terms
    assert terms.mean() == pytest.approx(0.0074, abs=5e-5)
    assert np.std(terms, ddof=1) / 100 == pytest.approx(0.0041, abs=5e-5)
