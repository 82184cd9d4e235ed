"""What the watched shop believes of a customer, against adding up all that may have happened."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from flywheel_assets.worlds.shop import (
    EFFECT_DAYS,
    FIRST_CUSTOMER,
    GUEST_SHARE,
    Shock,
    ShopConfig,
)
from flywheel_assets.worlds.shop_observer import WatchedShop

START = date(2026, 1, 5)
CONFIG = ShopConfig(
    start=START,
    n_customers=60,
    history=timedelta(days=40),
    seed=3,
    shock=Shock(day=START + timedelta(days=6)),
)


def test_beliefs_are_what_bayes_says() -> None:
    """For each rate and hazard: the sum over all days on which the customer may have left."""
    shop = WatchedShop(CONFIG)
    n_days = CONFIG.history.days
    ordered = np.zeros((n_days + 12, CONFIG.n_customers), bool)
    lift = np.ones((n_days + 12, CONFIG.n_customers))
    demand = np.ones(n_days + 12)
    first_rates, days = shop._rates.astype(float), iter(range(n_days + 12))
    for (_, lines), day in zip(shop.history_files(), days, strict=False):
        ordered[day, _buyers(lines)] = True
    for number in range(12):
        today = START + timedelta(days=number)
        lines = shop.day(today, shop.ids[number::4])
        day = n_days + number
        ordered[day, _buyers(lines)] = True
        since = day - shop._contacted
        lift[day] = np.exp(shop._effect * np.maximum(0, 1 - since / EFFECT_DAYS))
        demand[day] = CONFIG.shock.demand if today >= CONFIG.shock.day else 1.0  # type: ignore[union-attr]
    for who in range(CONFIG.n_customers):
        begun = max(int(shop._joined[who]) + 1, 0)
        there, gone = np.zeros(first_rates.size), np.zeros(first_rates.size)
        for cell, (rate, hazard) in enumerate(zip(first_rates, shop._hazards, strict=True)):
            seen = [
                (1 - GUEST_SHARE) * (1 - np.exp(-rate * demand[day] * lift[day, who]))
                for day in range(begun, n_days + 12)
            ]
            said = [
                p if ordered[day, who] else 1 - p
                for p, day in zip(seen, range(begun, n_days + 12), strict=True)
            ]
            stay = np.exp(-float(hazard))
            there[cell] = np.prod(said) * stay ** len(said)
            for last in range(len(said)):
                if not ordered[begun + last + 1 :, who].any():
                    gone[cell] += np.prod(said[: last + 1]) * stay**last * (1 - stay)
        whole = (there + gone).sum()
        if shop.joined[who]:
            np.testing.assert_allclose(shop._present[who], there / whole, atol=1e-5)
            np.testing.assert_allclose(shop._gone[who], gone / whole, atol=1e-5)


def test_a_belief_that_is_certain_expects_the_gain() -> None:
    """Who is sure of the rates expects what is true of them, but for their own response."""
    shop = WatchedShop(CONFIG)
    for number in range(10):
        shop.day(START + timedelta(days=number), shop.ids[number::3])
    expected = []
    for who in range(CONFIG.n_customers):
        shop._rates = np.full_like(shop._rates, shop._rate[who])
        shop._habits = np.full_like(shop._habits, shop._habit_response[who] / shop._habit_scale)
        shop._hazards = np.full_like(shop._hazards, shop._hazard[who])
        shop._present[who] = (not shop.left[who]) / shop._rates.size
        expected.append(shop._expected(slice(who, who + 1))[0] * shop._value[who])
    np.testing.assert_allclose(expected, shop.gain(peculiar=False), rtol=1e-3, atol=1e-4)


def _buyers(lines: pl.DataFrame) -> np.ndarray:
    bought = lines.filter(pl.col("Quantity") > 0)["CustomerID"].drop_nulls()
    return bought.cast(pl.Int64).unique().to_numpy() - FIRST_CUSTOMER
