"""The training set, by Feast's point-in-time join, and the model: python train.py DAY."""

import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import joblib
import polars as pl
from feast import FeatureStore
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DAY = timedelta(days=1)
HORIZON, WINDOW, HOLDOUT = 30 * DAY, 90 * DAY, 7 * DAY
INPUTS = ["orders_7d", "orders_30d", "orders_90d", "revenue_30d", "revenue_90d", "recency_days"]


def training_set(now: datetime) -> pl.DataFrame:
    made = pl.read_parquet("data/decisions/*.parquet").filter(
        pl.col("decided_at").is_between(now - WINDOW - HORIZON, now - HORIZON)
    )
    lines = pl.read_parquet("data/order_lines.parquet").filter(~pl.col("is_cancellation"))
    follow = made.join(lines.select("customer_id", "event_time"), on="customer_id").filter(
        pl.col("event_time") >= pl.col("decided_at"),
        pl.col("event_time") < pl.col("decided_at") + HORIZON,
    )
    ordered = follow.select("customer_id", "decided_at").unique().with_columns(outcome=pl.lit(1))
    labelled = made.join(ordered, on=["customer_id", "decided_at"], how="left").with_columns(
        pl.col("outcome").fill_null(0)
    )
    asked = labelled.rename({"decided_at": "event_timestamp"}).to_pandas()
    store = FeatureStore("feature_repo")
    service = store.get_feature_service("repurchase")
    return pl.from_pandas(store.get_historical_features(asked, service).to_df())


def main(day: date) -> None:
    now = datetime.combine(day + DAY, time(), UTC)
    rows = training_set(now)
    rows.write_parquet("data/training_set.parquet")
    decided = pl.col("event_timestamp")
    judged = rows.filter(decided > now - HORIZON - HOLDOUT)
    learnt = rows.filter(decided <= now - 2 * HORIZON - HOLDOUT)
    if learnt.is_empty() or judged.is_empty() or judged["outcome"].n_unique() < 2:
        print("too few decisions have matured")
        return
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(learnt.select(INPUTS).to_pandas(), learnt["outcome"].to_numpy())
    scores = model.predict_proba(judged.select(INPUTS).to_pandas())[:, 1]
    metric = roc_auc_score(judged["outcome"].to_numpy(), scores)
    print("roc_auc", metric)
    if metric >= 0.55:
        path = Path("data/models") / f"{day}.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, path)


if __name__ == "__main__":
    main(date.fromisoformat(sys.argv[1]))
