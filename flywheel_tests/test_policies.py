"""Policies: the logged propensity is the frequency of the action, for every way to allocate."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel_assets import (
    Arm,
    Arms,
    Epsilon,
    Flywheel,
    Slate,
    Softmax,
    Thompson,
    Threshold,
    TopK,
)
from flywheel_assets.flywheels.repurchase import contact_policy, order_probability, repurchase
from flywheel_assets.stages.policy import Drawn, chances, draw
from flywheel_assets.stages.predicted import Floats, Predicted
from flywheel_tests.shelf import shelf

DAY = timedelta(days=1)
T = datetime(2026, 1, 2, tzinfo=UTC)
N_DRAWS = 100_000
SCORES = np.array([0.8, 0.55, 0.5, 0.3, 0.3, 0.1])
KIND = ["a", "a", "b", "b", "c", None]
REPLICATES = np.array(
    [
        [0.9, 0.4, 0.6, 0.1, 0.2, 0.3],
        [0.7, 0.6, 0.5, 0.5, 0.5, 0.0],
        [0.2, 0.8, 0.1, 0.4, 0.6, 0.9],
    ]
)
LEARNT = replace(order_probability, learner="s", replicates=3)
ARMS = Arms(arms=tuple(Arm(name=n, features={"price": p}) for n, p in zip("abc", (3, 2, 1))))
EXPLORATIONS = {
    "none": None,
    "epsilon": Epsilon(share=0.3),
    "softmax": Softmax(temperature=0.15),
    "thompson": Thompson(),
}


def wheel(allocation: Any, exploration: Any = None, control: float = 0.0, **more: Any) -> Flywheel:
    """Declare the bundled flywheel with another policy."""
    changes = {"allocation": allocation, "exploration": exploration, "control": control}
    return replace(repurchase, model=LEARNT, decisions=replace(contact_policy, **changes, **more))


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
    predicted = Predicted(tiled(expected), tiled(again))
    chance, drawn = chances(frame, predicted, of), draw(frame, predicted, of)
    rows = np.arange(len(chance))
    assert (drawn.propensity == chance[rows, drawn.action]).all()
    assert (drawn.propensity > 0).all()
    one = chance[:n]
    assert np.allclose(chance.reshape(N_DRAWS, n, -1), one, atol=1e-9)
    taken = np.eye(one.shape[1])[drawn.action].reshape(N_DRAWS, n, -1).mean(axis=0)
    assert (np.abs(taken - one) <= 4.5 * np.sqrt(one * (1 - one) / N_DRAWS) + 1e-9).all()
    assert ((taken == one) | ((one > 0) & (one < 1))).all()
    return drawn


@pytest.mark.parametrize("control", [0.0, 0.25])
@pytest.mark.parametrize("exploration", EXPLORATIONS)
@pytest.mark.parametrize("each", [None, "country"])
def test_places_of_a_day_against_draws(each: str | None, exploration: str, control: float) -> None:
    """Marginal over who shares the day's places; the places are never more, and all are taken."""
    of = wheel(TopK(capacity=3, action="act", each=each), EXPLORATIONS[exploration], control)
    frame = on_many_days(6)
    drawn = held_against_draws(frame, SCORES[:, None], REPLICATES[:, :, None], of)
    acted = (drawn.action == 0).reshape(N_DRAWS, 6)
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
    drawn = held_against_draws(of_many_customers(6), SCORES[:, None], REPLICATES[:, :, None], of)
    shown = (drawn.action == 0).reshape(N_DRAWS, 6)
    assert (shown.sum(axis=1) <= 3).all()
    assert control or (shown.sum(axis=1) == 3).all()
    if at_most:
        assert (shown[:, :2].sum(axis=1) <= 1).all()


@pytest.mark.parametrize("control", [0.0, 0.25])
@pytest.mark.parametrize("exploration", ["none", "epsilon", "thompson"])
def test_thresholds_against_draws(exploration: str, control: float) -> None:
    """Each candidate for itself; at the level is above it."""
    of = wheel(Threshold(at=0.5, action="act"), EXPLORATIONS[exploration], control)
    frame = candidates(np.arange(6 * N_DRAWS))
    held_against_draws(frame, SCORES[:, None], REPLICATES[:, :, None], of)


@pytest.mark.parametrize("control", [0.0, 0.25])
@pytest.mark.parametrize("exploration", EXPLORATIONS)
def test_arms_against_draws(exploration: str, control: float) -> None:
    """Each candidate gets one arm; equally good ones are equally likely."""
    of = wheel(ARMS, EXPLORATIONS[exploration], control)
    frame = candidates(np.arange(2 * N_DRAWS))
    held_against_draws(frame, SCORES.reshape(2, 3), REPLICATES.reshape(3, 2, 3), of)
