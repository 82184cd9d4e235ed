"""Policies: the logged propensity is the frequency of the action, for every way to allocate."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flywheel_assets import (
    Arm,
    Arms,
    Epsilon,
    Flywheel,
    FlywheelError,
    Slate,
    Softmax,
    Thompson,
    Threshold,
    TopK,
)
from flywheel_assets.flywheels.repurchase import contact_policy, order_probability, repurchase
from flywheel_assets.stages.checks import decisions as check_decisions
from flywheel_assets.stages.policy import Drawn, chances, decide, draw, in_control
from flywheel_assets.stages.predicted import Floats, Predicted
from flywheel_tests.shelf import shelf

T = datetime(2026, 1, 2, tzinfo=UTC)
N_DRAWS = 100_000
SCORES = np.array([0.8, 0.5, 0.3, 0.3, 0.1])
KIND = ["a", "a", "b", "b", None]
REPLICATES = np.array(
    [[0.9, 0.4, 0.6, 0.2, 0.3], [0.7, 0.5, 0.5, 0.5, 0.0], [0.2, 0.8, 0.1, 0.4, 0.9]]
)
ARM_SCORES = np.array([[0.2, 0.5, 0.4], [0.3, 0.3, 0.1]])
ARM_REPLICATES = np.array([[[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]], [[0.3, 0.2, 0.2], [0.1, 0.4, 0.4]]])
LEARNT = replace(order_probability, learner="s", replicates=3)
ARMS = Arms(
    arms=tuple(Arm(name=n, features={"price": p}) for n, p in zip("abc", (3, 2, 1), strict=True))
)
EXPLORATIONS = {
    "none": None,
    "epsilon": Epsilon(share=0.3),
    "softmax": Softmax(temperature=0.15),
    "thompson": Thompson(),
}


def wheel(allocation: Any, exploration: Any = None, control: float = 0.0, **more: Any) -> Flywheel:
    """Declare the bundled flywheel with another policy."""
    changes = {"allocation": allocation, "exploration": exploration, "control": control, **more}
    return replace(repurchase, model=LEARNT, decisions=replace(contact_policy, **changes))


def candidates(ids: Any, as_of: Any = T, **columns: Any) -> pl.DataFrame:
    """Make candidates of the bundled flywheel."""
    frame = pl.DataFrame({"customer_id": ids, **columns})
    moment = as_of if isinstance(as_of, pl.Series) else pl.lit(as_of)
    return frame.with_columns(moment.cast(pl.Datetime("us", "UTC")).alias("as_of"))


def on_many_days(n: int) -> pl.DataFrame:
    """Make the same candidates on as many days as there are draws."""
    days = pl.Series([T]).cast(pl.Datetime("us", "UTC")).gather(np.zeros(N_DRAWS * n, dtype=int))
    moments = days + pl.Series(np.repeat(np.arange(N_DRAWS), n) * 86_400_000_000).cast(
        pl.Duration("us")
    )
    return candidates(np.tile(np.arange(n), N_DRAWS), moments, country=KIND[:n] * N_DRAWS)


def of_many_customers(n: int) -> pl.DataFrame:
    """Make the same slate for as many customers as there are draws."""
    return candidates(
        np.repeat(np.arange(N_DRAWS), n),
        item_id=[f"i{i}" for i in range(n)] * N_DRAWS,
        kind=KIND[:n] * N_DRAWS,
    )


def tiled(values: Floats) -> Floats:
    """Repeat what is expected of some candidates for every draw, (..., n, k)."""
    return np.tile(values, (*([1] * (values.ndim - 2)), N_DRAWS, 1))


def held_against_draws(frame: pl.DataFrame, expected: Floats, again: Floats, of: Flywheel) -> Drawn:
    """Compare how often each action was drawn with its probability; (n, k) and (r, n, k)."""
    n = len(expected)
    one = chances(frame.head(n), Predicted(expected, again), of)
    drawn = draw(frame, Predicted(tiled(expected), tiled(again)), of)
    action = drawn.action.reshape(N_DRAWS, n)
    logged = drawn.propensity.reshape(N_DRAWS, n)
    assert np.allclose(logged, one[np.arange(n), action], rtol=1e-9, atol=0)
    taken = np.stack([(action == a).mean(axis=0) for a in range(one.shape[1])], axis=1)
    assert (np.abs(taken - one) <= 4.5 * np.sqrt(one * (1 - one) / N_DRAWS) + 1e-9).all()
    assert ((taken == one) | ((one > 0) & (one < 1))).all()
    return drawn


@pytest.mark.parametrize("control", [0.0, 0.25])
@pytest.mark.parametrize("exploration", EXPLORATIONS)
@pytest.mark.parametrize("each", [None, "country"])
def test_places_of_a_day_against_draws(each: str | None, exploration: str, control: float) -> None:
    """Marginal over who shares the day's places; the places are never more, and all are taken."""
    of = wheel(TopK(capacity=3, action="act", each=each), EXPLORATIONS[exploration], control)
    frame = on_many_days(5)
    drawn = held_against_draws(frame, SCORES[:, None], REPLICATES[:, :, None], of)
    acted = (drawn.action == 0).reshape(N_DRAWS, 5)
    assert (acted.sum(axis=1) <= 3).all()
    assert control or (acted.sum(axis=1) == 3).all()
    if each:
        assert (acted[:, :2].sum(axis=1) <= 1).all()
        assert (acted[:, 2:4].sum(axis=1) <= 1).all()


@pytest.mark.parametrize("control", [0.0, 0.25])
@pytest.mark.parametrize("exploration", EXPLORATIONS)
@pytest.mark.parametrize("at_most", [{}, {"kind": 1}])
def test_slates_against_draws(at_most: dict[str, int], exploration: str, control: float) -> None:
    """The propensity of an item is its marginal inclusion in the slate of its customer."""
    of = shelf(
        allocation=Slate(size=3, per="customer_id", at_most=at_most),
        exploration=EXPLORATIONS[exploration],
        control=control,
        replicates=3,
    )
    drawn = held_against_draws(of_many_customers(5), SCORES[:, None], REPLICATES[:, :, None], of)
    shown = (drawn.action == 0).reshape(N_DRAWS, 5)
    assert (shown.sum(axis=1) <= 3).all()
    assert control or (shown.sum(axis=1) == 3).all()
    if at_most:
        assert (shown[:, :2].sum(axis=1) <= 1).all()


@pytest.mark.parametrize("control", [0.0, 0.25])
@pytest.mark.parametrize("exploration", ["none", "epsilon", "thompson"])
def test_thresholds_against_draws(exploration: str, control: float) -> None:
    """Each candidate for itself; at the level is above it."""
    of = wheel(Threshold(at=0.5, action="act"), EXPLORATIONS[exploration], control)
    frame = candidates(np.arange(5 * N_DRAWS))
    held_against_draws(frame, SCORES[:, None], REPLICATES[:, :, None], of)


@pytest.mark.parametrize("control", [0.0, 0.25])
@pytest.mark.parametrize("exploration", EXPLORATIONS)
def test_arms_against_draws(exploration: str, control: float) -> None:
    """Each candidate gets one arm; equally good ones are equally likely."""
    of = wheel(ARMS, EXPLORATIONS[exploration], control)
    frame = candidates(np.arange(2 * N_DRAWS))
    held_against_draws(frame, ARM_SCORES, ARM_REPLICATES, of)


scores = st.lists(
    st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(-2, 2), st.just(float("nan"))),
    max_size=12,
)
explorations = st.one_of(
    st.none(),
    st.builds(Epsilon, share=st.floats(0, 1)),
    st.builds(Softmax, temperature=st.floats(1e-3, 10)),
    st.just(Thompson()),
)


@settings(deadline=None, max_examples=150)
@given(scores, explorations, st.integers(1, 6), st.sampled_from([0.0, 0.3]), st.randoms())
def test_chances_add_up(
    values: list[float], exploration: Any, capacity: int, control: float, random: Any
) -> None:
    """To one over a candidate's actions, to the places over the candidates, in any row order.

    Places that the scored leave are nobody's, but those that are explored.
    """
    if isinstance(exploration, Epsilon):
        assume(exploration.share == 0 or round(capacity * exploration.share))  # else: refused
    of = wheel(TopK(capacity=capacity, action="act"), exploration, control)
    n = len(values)
    value = np.array(values).reshape(n, 1)
    again = np.stack([value, np.flip(value, axis=0)])
    frame = candidates(pl.Series(range(n), dtype=pl.Int64))
    chance = chances(frame, Predicted(value, again), of)
    assert np.allclose(chance.sum(axis=1), 1)
    assert ((chance >= 0) & (chance <= 1)).all()
    explored = round(capacity * exploration.share) if isinstance(exploration, Epsilon) else 0
    n_sure = min(int((~np.isnan(value)).sum()), capacity - explored)
    n_acted = n_sure + min(explored, n - n_sure)
    assert np.isclose(chance[:, 0].sum(), n_acted * (1 - control))
    drawn = draw(frame, Predicted(value, again), of)
    acted = int((drawn.action == 0).sum())
    assert acted <= n_acted
    assert control or acted == n_acted
    if not explored and not isinstance(exploration, Thompson):
        assert (drawn.action[np.isnan(value[:, 0])] == 1).all()
    order = list(range(n))
    random.shuffle(order)
    mixed = draw(frame[order], Predicted(value[order], again[:, order]), of)
    assert (mixed.action == drawn.action[order]).all()
    assert (mixed.propensity == drawn.propensity[order]).all()


def decided(of: Flywheel, values: Any, day: date = date(2026, 1, 1)) -> pl.DataFrame:
    """Decide about customers 0, 1, ... of whom a model expects these values."""
    value = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    frame = pl.DataFrame({"customer_id": pl.Series(range(len(value)), dtype=pl.Int64)})
    return decide(frame, Predicted(value), of, day, 1)


def test_a_share_of_the_places_is_explored() -> None:
    """The best c - round(c e) for sure, each of the others with the same probability."""
    found = decided(wheel(TopK(capacity=20, action="act"), Epsilon(share=0.25)), np.arange(100))
    acted = found.filter(action="act")
    assert found["rank"].to_list() == list(range(1, 101))
    assert found["customer_id"].to_list() == list(range(99, -1, -1))
    assert found.head(15)["propensity"].to_list() == [1.0] * 15
    assert acted.height == 20
    assert set(acted.filter("explored")["propensity"]) == {5 / 85}
    assert acted.filter("explored").height == 5
    assert set(found.filter(action="hold")["propensity"]) == {1 - 5 / 85}


def test_the_least_share_that_is_accepted_explores() -> None:
    """What the refusal of a smaller one says to write draws one place; a slate has no least."""
    for capacity in range(1, 40):
        share = float(f"{1 / capacity:.2g}")
        found = decided(
            wheel(TopK(capacity=capacity, action="act"), Epsilon(share=share)), range(50)
        )
        assert found.filter(action="act", explored=True).height == 1
    slate = Slate(size=5, per="customer_id")
    one = candidates(np.zeros(50, dtype=int))
    worth = Predicted(np.arange(50.0)[:, None])
    chance = chances(one, worth, wheel(slate, Epsilon(share=0.1)))[:, 0]
    assert chance[:45].sum() == pytest.approx(0.5 * 45 / 46)
    assert chance.sum() == pytest.approx(5)


def test_deciding_again_decides_the_same_and_another_day_does_not() -> None:
    """Chance is a function of the names, and of nothing else."""
    of = wheel(TopK(capacity=20, action="act"), Epsilon(share=0.5), 0.1)
    once = decided(of, np.arange(100))
    assert once.equals(decided(of, np.arange(100)))
    other = decided(of, np.arange(100), date(2026, 1, 2))
    assert not once["action"].equals(other["action"])
    assert not once["action"].equals(decided(replace(of, name="other"), np.arange(100))["action"])


def test_training_rows_have_the_chances_of_their_decisions() -> None:
    """What is said of a logged day is what was logged."""
    of = wheel(TopK(capacity=5, action="act"), Softmax(temperature=0.3), 0.1)
    value = np.linspace(0, 1, 30)
    logged = decided(of, value)
    rows = logged.rename({"score": "value"}).sample(fraction=1, shuffle=True, seed=1)
    chance = chances(rows, Predicted(rows["value"].to_numpy()[:, None]), of)
    taken = (rows["action"] == "hold").cast(pl.Int64).to_numpy()
    assert np.allclose(chance[np.arange(30), taken], rows["propensity"].to_numpy())


@pytest.mark.parametrize("exploration", EXPLORATIONS)
def test_a_day_without_candidates(exploration: str) -> None:
    """Nothing is decided, and nothing fails."""
    for allocation in (TopK(capacity=3, action="act", each="country"), ARMS):
        of = wheel(allocation, EXPLORATIONS[exploration], 0.1)
        nobody = candidates(pl.Series([], dtype=pl.Int64), country=pl.Series([], dtype=pl.String))
        nothing = Predicted(np.empty((0, 3)), np.empty((2, 0, 3)))
        if allocation is not ARMS:
            nothing = Predicted(np.empty((0, 1)), np.empty((2, 0, 1)))
        assert decide(nobody, nothing, of, date(2026, 1, 1), 1).is_empty()
        assert chances(nobody, nothing, of).shape == (0, len(of.policy.actions))


@pytest.mark.parametrize("exploration", EXPLORATIONS)
def test_what_a_model_cannot_score_comes_last_and_is_refused(exploration: str) -> None:
    """It is acted on by exploring alone; the check before publishing says so."""
    of = wheel(TopK(capacity=3, action="act"), EXPLORATIONS[exploration])
    values = np.array([[np.nan], [0.4], [np.nan], [0.9]])
    frame = pl.DataFrame({"customer_id": [0, 1, 2, 3]})
    found = decide(frame, Predicted(values, values[None]), of, date(2026, 1, 1), 1)
    assert found["customer_id"].to_list()[:2] == [3, 1]
    assert found.filter(action="act").height == (3 if exploration == "epsilon" else 2)
    assert found["propensity"].is_between(0, 1).all()
    assert [c.name for c in check_decisions(found, of) if not c.passed] == ["score_range"]


def test_whom_the_bootstrap_rule_cannot_score_is_published_last_and_held() -> None:
    """Null or NaN: the score is null, and the place stays empty; infinity is no score."""
    of = wheel(TopK(capacity=3, action="act"), bootstrap=pl.col("recency_days"))
    frame = candidates([1, 2, 3, 4], recency_days=[None, 1.0, 2.0, float("nan")])
    found = decide(frame, None, of, date(2026, 1, 1), None)
    assert found["customer_id"].to_list()[:2] == [3, 2]
    assert found["score"].to_list() == [2.0, 1.0, None, None]
    assert found["action"].to_list() == ["act", "act", "hold", "hold"]
    assert found["propensity"].to_list() == [1.0] * 4
    assert all(c.passed for c in check_decisions(found, of))
    endless = decide(candidates([1], recency_days=[float("inf")]), None, of, date(2026, 1, 1), None)
    assert [c.name for c in check_decisions(endless, of) if not c.passed] == ["score_range"]


@pytest.mark.parametrize("share", [0.3, 0.5])
@pytest.mark.parametrize("slate", [False, True])
def test_the_unscored_are_explored_as_often_as_is_logged(share: float, *, slate: bool) -> None:
    """Exact where they outnumber the places, also with a part of a place explored in a slate."""
    scores = np.array([[0.8], [np.nan], [np.nan], [0.3], [np.nan]])
    allocation = Slate(size=3, per="customer_id") if slate else TopK(capacity=3, action="act")
    of = wheel(allocation, Epsilon(share=share))
    frame = of_many_customers(5) if slate else on_many_days(5)
    drawn = held_against_draws(frame, scores, np.repeat(scores[None], 2, axis=0), of)
    acted = (drawn.action == 0).reshape(N_DRAWS, 5)
    assert (acted.sum(axis=1) <= 3).all()
    assert acted[:, [1, 2, 4]].any()


def test_an_arm_that_cannot_be_scored_is_not_the_best() -> None:
    """Where none can be, all are as likely; the score of whoever got one of these is null."""
    rule = pl.when(pl.col("price") < pl.col("recency_days")).then(pl.col("price"))
    of = wheel(ARMS, bootstrap=rule)
    frame = candidates([1, 2, 3], recency_days=[2.5, 9.0, 0.0])
    assert np.allclose(chances(frame, None, of), np.array([[0, 1, 0], [1, 0, 0], [1 / 3] * 3]))
    found = decide(frame, None, of, date(2026, 1, 1), None)
    assert found["score"].to_list() == [3.0, 2.0, None]
    assert all(c.passed for c in check_decisions(found, of))


def test_a_rule_of_arms_uses_their_features() -> None:
    """The arm with the best score is given; where all are equal each is as likely."""
    frame = candidates([1, 2], recency_days=[2.5, 1.2])
    by_price = wheel(ARMS, bootstrap=-(pl.col("price") - pl.col("recency_days")).abs())
    assert chances(frame, None, by_price).tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    uniform = chances(frame, None, wheel(ARMS, bootstrap=pl.lit(0)))
    assert np.allclose(uniform, 1 / 3)


def test_uplift_ranks_what_acting_changes() -> None:
    """Who would come anyway comes last; a model that knows nothing of actions is refused."""
    of = wheel(TopK(capacity=1, action="act"), rank_by="uplift")
    found = decided(of, [[0.9, 0.9], [0.3, 0.1], [0.2, 0.4]])
    assert found["customer_id"].to_list() == [1, 0, 2]
    assert found["score"].round(9).to_list() == [0.2, 0.0, -0.2]
    assert all(c.passed for c in check_decisions(found, of))
    with pytest.raises(FlywheelError, match="learner='s'"):
        decided(of, [0.9, 0.3])


def test_thompson_needs_replicates_of_a_model_and_none_of_a_rule() -> None:
    """One is believed; until there is a champion there is nothing to believe."""
    of = wheel(TopK(capacity=1, action="act"), Thompson(), bootstrap=pl.col("customer_id"))
    assert chances(candidates([1, 2]), None, of)[:, 0].tolist() == [0.0, 1.0]
    with pytest.raises(FlywheelError, match="replicates=20"):
        decided(of, [0.9, 0.3])


def test_the_control_group_is_known_by_its_decisions() -> None:
    """They are held whatever their score, as often as declared."""
    of = wheel(Threshold(at=0.0, action="act"), control=0.2)
    found = decided(of, np.linspace(0, 1, 5_000))
    controlled = in_control(found["decision_id"], of.policy)
    assert ((found["action"] == "hold").to_numpy() == controlled).all()
    assert abs(controlled.mean() - 0.2) < 0.03
