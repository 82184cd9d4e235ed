"""The probability of an order within 30 days."""

import dagster as dg
import joblib
from shop.days import DATA, DAY, day_of, days, read
from shop.training_set import HORIZON
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WINDOW, HOLDOUT = 90 * DAY, 7 * DAY
INPUTS = ["orders_7d", "orders_30d", "orders_90d", "revenue_30d", "revenue_90d", "recency_days"]


@dg.asset(
    partitions_def=days,
    group_name="model",
    owners=["team:growth"],
    deps=[
        dg.AssetDep(
            "training_set", partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-90)
        )
    ],
)
def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Trained on Mondays, judged on newer decisions than all it learnt from."""
    day = day_of(context)
    if day.weekday() != 0:
        return dg.MaterializeResult(metadata={"verdict": "not a Monday"})
    judged = read("training_set", day - HOLDOUT + DAY, day)
    learnt = read("training_set", day - WINDOW + DAY, day - HOLDOUT - HORIZON)
    if learnt.is_empty() or judged.is_empty() or judged["outcome"].n_unique() < 2:
        return dg.MaterializeResult(metadata={"verdict": "too few decisions have matured"})
    estimator = make_pipeline(StandardScaler(), LogisticRegression())
    estimator.fit(learnt.select(INPUTS).to_numpy(), learnt["outcome"].to_numpy())
    scores = estimator.predict_proba(judged.select(INPUTS).to_numpy())[:, 1]
    metric = float(roc_auc_score(judged["outcome"].to_numpy(), scores))
    if metric >= 0.55:
        path = DATA / "models" / f"{day}.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(estimator, path)
    return dg.MaterializeResult(metadata={"roc_auc": metric, "rows": learnt.height})
