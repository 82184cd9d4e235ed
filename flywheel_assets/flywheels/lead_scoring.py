"""Lead scoring: each evening, call the likelier half of the day's leads on the next day."""

from datetime import timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
    DailyFiles,
    Entity,
    Epsilon,
    Expression,
    Fact,
    FeatureView,
    Field,
    Flywheel,
    Gate,
    Model,
    Observation,
    Outcome,
    Policy,
    TopK,
)

DAY = timedelta(days=1)

# collect ------------------------------------------------------------------------------------------

lead = Entity(
    name="lead",
    keys=("lead_id",),
    owners=["team:sales"],
    description="Somebody on the list of those to be called.",
)

TEXTS = {
    "job": "What the lead does for a living.",
    "marital": "Whether the lead is married.",
    "education": "The highest school.",
    "in_default": "Whether a credit is in default.",
    "housing": "Whether there is a housing loan.",
    "loan": "Whether there is a personal loan.",
    "channel": "The kind of telephone.",
    "month": "Month of the call.",
    "weekday": "Weekday of the call.",
    "last_result": "What the campaign before came to.",
}
NUMBERS = {
    "age": "Age in years.",
    "calls_now": "Calls in this campaign, this one included.",
    "days_since_call": "Days since the last call of a campaign before; 999 for never.",
    "calls_before": "Calls in campaigns before.",
    "employment_change": "Change of employment in the quarter, in %.",
    "consumer_prices": "Consumer price index of the month.",
    "consumer_confidence": "Consumer confidence index of the month.",
    "euribor_3m": "Interest rate between banks for three months, in %.",
    "employees": "People employed in the quarter, in thousands.",
}

listed_lead = Observation(
    name="listed_lead",
    entity=lead,
    owners=["team:sales"],
    description="A lead is put on the list of those to be called on the next day.",
    source=DailyFiles(
        path="landing/leads",
        pattern="{day}.csv",
        separator=";",
        event_time="listed_at",
        columns={
            "in_default": "default",
            "channel": "contact",
            "weekday": "day_of_week",
            "last_result": "poutcome",
            "calls_now": "campaign",
            "days_since_call": "pdays",
            "calls_before": "previous",
            "employment_change": "emp.var.rate",
            "consumer_prices": "cons.price.idx",
            "consumer_confidence": "cons.conf.idx",
            "euribor_3m": "euribor3m",
            "employees": "nr.employed",
        },
    ),
    fields=(
        Field(name="lead_id", dtype=pl.Int64, description="Number of the lead."),
        *(Field(name=n, dtype=pl.String, description=said) for n, said in TEXTS.items()),
        *(Field(name=n, dtype=pl.Float64, description=said) for n, said in NUMBERS.items()),
    ),
    id_fields=("lead_id",),
)

call = Observation(
    name="call",
    entity=lead,
    owners=["team:sales"],
    description="A lead was called, and subscribed or not.",
    source=DailyFiles(
        path="landing/calls",
        pattern="{day}.csv",
        separator=";",
        event_time="called_at",
        columns={"subscribed": "y"},
    ),
    fields=(
        Field(name="lead_id", dtype=pl.Int64, description="Number of the lead."),
        Field(
            name="subscribed",
            dtype=pl.String,
            allowed=("yes", "no"),
            known="with_outcome",
            description="Whether the lead subscribed.",
        ),
        Field(
            name="duration",
            dtype=pl.Float64,
            minimum=0,
            known="with_outcome",
            description="How long the call took, in seconds: those who subscribe talk longer.",
        ),
    ),
    id_fields=("lead_id",),
)

# organize -----------------------------------------------------------------------------------------


def unless(column: str, missing: object) -> pl.Expr:
    """Make null of what stands for nothing."""
    return pl.when(pl.col(column) != missing).then(pl.col(column))


leads = Fact(
    name="listed_lead",
    observation=listed_lead,
    owners=["team:sales-data"],
    description="Leads as they were listed, with nulls where nothing is known.",
    derive={
        **{f"known_{name}": unless(name, "unknown") for name in TEXTS},
        "days_since_last_call": unless("days_since_call", 999.0),
    },
)

calls = Fact(
    name="call",
    observation=call,
    owners=["team:sales-data"],
    description="Calls and what came of them.",
)

# features -----------------------------------------------------------------------------------------


def listed(column: str, description: str) -> Aggregation:
    """Take what the list of the day says."""
    return Aggregation(
        name=column, function="last", column=column, window=DAY, description=description
    )


listed_leads = FeatureView(
    name="listed_lead",
    entity=lead,
    fact=leads,
    owners=["team:growth"],
    description="The leads that were listed on the day.",
    aggregations=(
        *(listed(f"known_{name}", said) for name, said in TEXTS.items()),
        *(listed(n, said) for n, said in NUMBERS.items() if n != "days_since_call"),
        listed("days_since_last_call", "Days since the last call of a campaign before."),
    ),
    expressions=(
        Expression(
            name="called_before",
            expression=pl.col("days_since_last_call").is_not_null().cast(pl.Int64),
            description="1 for those whom a campaign before had called.",
        ),
    ),
)

# training_set -------------------------------------------------------------------------------------

subscribed = Outcome(
    fact=calls,
    where=pl.col("subscribed") == "yes",
    horizon=DAY,
    owners=["team:growth"],
    description="The lead subscribed when called on the next day.",
)

# model --------------------------------------------------------------------------------------------


def estimator() -> Any:
    """Build gradient boosted trees on mixed types; what is missing is a value of its own."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    )
    nothing = SimpleImputer(strategy="constant", fill_value=-1_000.0, keep_empty_features=True)
    texts = [f"known_{name}" for name in TEXTS]
    trees = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=40, random_state=0
    )
    return make_pipeline(make_column_transformer((codes, texts), remainder=nothing), trees)


subscription_probability = Model(
    name="subscription_probability",
    estimator=estimator,
    features=tuple(listed_leads.descriptions),
    metric="roc_auc",
    retrain="daily",
    training_window=90 * DAY,
    gate=Gate(minimum=0.5, minimum_gain=-0.1, holdout=2 * DAY, refit=True),
    owners=["team:growth", "mlops@example.com"],
    description="The probability that a lead subscribes when called.",
)

# decisions ----------------------------------------------------------------------------------------

call_policy = Policy(
    candidates=pl.lit(True),  # noqa: FBT003  everybody on the list
    bootstrap=-pl.col("calls_now"),
    baselines={"called_before": pl.col("called_before")},
    allocation=TopK(capacity=344, action="call_first", hold="call_later"),
    exploration=Epsilon(share=0.1),
    owners=["team:growth"],
    description="Call the likelier half of the list first, a tenth of it drawn at random.",
)

lead_scoring = Flywheel(
    name="lead_scoring",
    owners=["team:growth"],
    description="Which leads should be called first tomorrow?",
    features=listed_leads,
    training_set=subscribed,
    model=subscription_probability,
    decisions=call_policy,
    api="get_call",
)
