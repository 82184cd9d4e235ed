"""Whom to write to."""

from datetime import date

import dagster as dg
import joblib
import numpy as np
import polars as pl
from shop.days import DATA, day_of, days, read, write
from shop.model import INPUTS

CAPACITY, EXPLORED = 200, 20


@dg.asset(
    partitions_def=days,
    group_name="decisions",
    owners=["team:growth"],
    deps=["customer_orders", "model"],
)
def decisions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The 180 likeliest, and 20 drawn from the others."""
    day = day_of(context)
    seen = read("customer_orders", day, day)
    models = [
        m for m in sorted((DATA / "models").glob("*.joblib")) if date.fromisoformat(m.stem) <= day
    ]
    if models:
        score = joblib.load(models[-1]).predict_proba(seen.select(INPUTS).to_numpy())[:, 1]
    else:
        score = -seen["recency_days"].to_numpy()
    ranked = seen.select("customer_id", score=pl.Series(score)).sort("score", descending=True)
    best = min(CAPACITY - EXPLORED, ranked.height)
    others = ranked.height - best
    drawn = np.random.default_rng(day.toordinal()).permutation(others) < EXPLORED
    chance = min(EXPLORED / others, 1.0) if others else 1.0
    acts = np.concatenate([np.ones(best, bool), drawn])
    propensity = np.where(
        np.arange(ranked.height) < best, 1.0, np.where(acts, chance, 1.0 - chance)
    )
    return write(
        "decisions",
        day,
        ranked.select(
            "customer_id",
            "score",
            action=pl.Series(np.where(acts, "contact", "hold")),
            propensity=pl.Series(propensity),
        ),
    )
