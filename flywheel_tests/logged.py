"""Matured decisions whose outcomes are known functions of what they saw and of the action."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets import Arm, Arms, Flywheel
from flywheel_assets.flywheels.repurchase import contact_policy, order_probability, repurchase

BASE, EFFECT = "log_orders_7d", "log_orders_30d"
"""Features of the bundled flywheel that stand for what moves the outcome, and the uplift."""
DAY = date(2026, 3, 1)
ARMS = (
    Arm(name="low", features={"price": 1.0}),
    Arm(name="high", features={"price": 2.0}),
    Arm(name="none", features={"price": 0.0}),
)
Floats = npt.NDArray[np.float64]


def flywheel(*, arms: bool = False, **model: Any) -> Flywheel:
    """Declare the bundled flywheel with another model, and to choose between arms if asked."""
    declared: dict[str, Any] = {"estimator": None, "features": (BASE, EFFECT), "trusted_types": ()}
    policy = contact_policy
    if arms:
        declared["learner"] = "t"
        policy = replace(policy, allocation=Arms(arms=ARMS), exploration=None, baselines={})
    return replace(
        repurchase, model=replace(order_probability, **(declared | model)), decisions=policy
    )


def log(
    n_rows: int,
    actions: tuple[str, ...] = ("contact", "hold"),
    chance: Callable[[Floats], Floats] = lambda x: np.full((len(x), 2), 0.5),
    rate: Callable[[Floats, npt.NDArray[np.int64]], Floats] = lambda x, a: (
        0.3 + 0.2 * x[:, 0] + np.where(a == 0, 0.6 * (x[:, 1] - 0.5), 0.0)
    ),
    seed: int = 0,
) -> pl.DataFrame:
    """Log random actions, (n_rows, ...); features are uniform in [0, 1]."""
    random = np.random.default_rng(seed)
    x = random.random((n_rows, 2))
    chances = chance(x)
    action = (random.random((n_rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    propensity = chances[np.arange(n_rows), action]
    outcome = (random.random(n_rows) < rate(x, action)).astype(np.int8)
    return pl.DataFrame(
        {
            "partition_date": pl.Series([DAY]).gather([0] * n_rows),
            "decision_id": [f"d{i:06}" for i in range(n_rows)],
            "customer_id": np.arange(n_rows),
            "action": np.array(actions)[action].tolist(),
            "propensity": propensity,
            "outcome": outcome,
            "reward": outcome.astype(np.float64),
            "weight": 1 / propensity,
            BASE: x[:, 0],
            EFFECT: x[:, 1],
            "country": random.choice(["France", "Spain", "Italy"], n_rows).tolist(),
        }
    )
