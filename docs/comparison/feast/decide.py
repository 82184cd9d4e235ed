"""Whom to write to: python decide.py DAY."""

import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import joblib
import numpy as np
import polars as pl
from feast import FeatureStore

DAY = timedelta(days=1)
CAPACITY, EXPLORED = 200, 20
DECISIONS, MODELS = Path("data/decisions"), Path("data/models")


def main(day: date) -> None:
    moment = datetime.combine(day + DAY, time(), UTC)
    customers = pl.read_parquet("data/customer_orders.parquet").filter(as_of=moment)
    asked = customers.select("customer_id", event_timestamp="as_of").to_pandas()
    store = FeatureStore("feature_repo")
    service = store.get_feature_service("repurchase")
    seen = pl.from_pandas(store.get_historical_features(asked, service).to_df())
    models = [m for m in sorted(MODELS.glob("*.joblib")) if date.fromisoformat(m.stem) <= day]
    if models:
        model = joblib.load(models[-1])
        score = model.predict_proba(seen.select(model.feature_names_in_).to_pandas())[:, 1]
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
    DECISIONS.mkdir(parents=True, exist_ok=True)
    ranked.select(
        "customer_id",
        "score",
        action=pl.Series(np.where(acts, "contact", "hold")),
        propensity=pl.Series(propensity),
        decided_at=pl.lit(moment).dt.cast_time_unit("us"),
    ).write_parquet(DECISIONS / f"{day}.parquet")


if __name__ == "__main__":
    main(date.fromisoformat(sys.argv[1]))
