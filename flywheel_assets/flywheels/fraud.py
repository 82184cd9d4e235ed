"""Fraud: each night, check the 100 cards whose transactions of the day look most like fraud."""

from datetime import timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
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
    TableFile,
    TopK,
)

DAY = timedelta(days=1)
WINDOWS = (1, 7, 30)

# collect ------------------------------------------------------------------------------------------

transaction = Entity(
    name="transaction",
    keys=("transaction_id",),
    owners=["team:payments"],
    description="One payment by card at a terminal.",
)

card = Entity(
    name="card",
    keys=("card_id",),
    owners=["team:payments"],
    description="A payment card.",
)

terminal = Entity(
    name="terminal",
    keys=("terminal_id",),
    owners=["team:payments"],
    description="Where cards are put in.",
)

COLUMNS = {
    "transaction_id": "TRANSACTION_ID",
    "card_id": "CUSTOMER_ID",
    "terminal_id": "TERMINAL_ID",
    "amount": "TX_AMOUNT",
}

PAYMENT = (
    Field(name="transaction_id", dtype=pl.Int64, description="Number of the transaction."),
    Field(name="card_id", dtype=pl.Int64, description="The card that paid."),
    Field(name="terminal_id", dtype=pl.Int64, description="The terminal it was put in."),
    Field(name="amount", dtype=pl.Float64, minimum=0, description="What was paid."),
)

card_payment = Observation(
    name="card_payment",
    entity=transaction,
    owners=["team:payments"],
    description="One payment by card, known at once.",
    source=TableFile(
        path="landing/transactions.parquet", event_time="TX_DATETIME", columns=COLUMNS
    ),
    fields=PAYMENT,
    id_fields=("transaction_id",),
)

fraud_verdict = Observation(
    name="fraud_verdict",
    entity=transaction,
    owners=["team:disputes"],
    description="Whether a payment was fraud, as it turns out seven days after it.",
    source=TableFile(
        path="landing/transactions.parquet",
        known_at="TX_DATETIME",
        delay=7 * DAY,
        columns={**COLUMNS, "is_fraud": "TX_FRAUD"},
    ),
    fields=(
        *PAYMENT,
        Field(name="is_fraud", dtype=pl.Int64, allowed=(0, 1), description="1 for a fraud."),
    ),
    id_fields=("transaction_id",),
)

# organize -----------------------------------------------------------------------------------------

card_payments = Fact(
    name="card_payment",
    observation=card_payment,
    owners=["team:risk-data"],
    description="Payments, with what the hour and the weekday say.",
    derive={
        "at_night": (pl.col("event_time").dt.hour() <= 6).cast(pl.Int64),  # noqa: PLR2004  an hour
        "at_weekend": (pl.col("event_time").dt.weekday() >= 6).cast(pl.Int64),  # noqa: PLR2004  Saturday
    },
)

fraud_verdicts = Fact(
    name="fraud_verdict",
    observation=fraud_verdict,
    owners=["team:risk-data"],
    description="Verdicts, at the moment at which they were given.",
)

# features -----------------------------------------------------------------------------------------


def paid(column: str, description: str) -> Aggregation:
    """Take what the transaction itself says."""
    return Aggregation(
        name=column, function="last", column=column, window=DAY, description=description
    )


def payments(of: str, days: int) -> Aggregation:
    """Count payments of so many days."""
    return Aggregation(
        name=f"{of}_payments_{days}d",
        function="count",
        window=days * DAY,
        description=f"Payments of the {of} in the last {days} days.",
    )


def mean_amount(days: int) -> Aggregation:
    """Average what a card pays over so many days."""
    return Aggregation(
        name=f"card_mean_amount_{days}d",
        function="mean",
        column="amount",
        window=days * DAY,
        description=f"What the card paid on average in the last {days} days.",
    )


def risk(days: int) -> Aggregation:
    """Take the share of frauds in the verdicts of so many days."""
    return Aggregation(
        name=f"terminal_risk_{days}d",
        function="mean",
        column="is_fraud",
        window=days * DAY,
        description=f"Share of frauds in the terminal's verdicts of the last {days} days.",
    )


transactions = FeatureView(
    name="transaction",
    entity=transaction,
    fact=card_payments,
    owners=["team:risk"],
    description="The payments of the day, one by one.",
    aggregations=(
        paid("card_id", "The card that paid."),
        paid("terminal_id", "The terminal it was put in."),
        paid("amount", "What was paid."),
        paid("at_night", "1 from midnight to seven."),
        paid("at_weekend", "1 on Saturdays and Sundays."),
    ),
)

card_habits = FeatureView(
    name="card_habits",
    entity=card,
    fact=card_payments,
    owners=["team:risk"],
    description="How often and how much a card pays.",
    aggregations=(
        *(payments("card", days) for days in WINDOWS),
        *(mean_amount(days) for days in WINDOWS),
    ),
)

card_verdicts = FeatureView(
    name="card_verdicts",
    entity=card,
    fact=fraud_verdicts,
    owners=["team:risk"],
    description="What turned out about a card: a week late, as verdicts are.",
    aggregations=(
        Aggregation(
            name="card_frauds_14d",
            function="sum",
            column="is_fraud",
            window=14 * DAY,
            description="Verdicts of fraud on the card in the last 14 days.",
        ),
        Aggregation(
            name="card_sound_amount_60d",
            function="mean",
            column="amount",
            where=pl.col("is_fraud") == 0,
            window=60 * DAY,
            description="Mean of the card's payments that turned out sound in the last 60 days.",
        ),
    ),
)

terminal_use = FeatureView(
    name="terminal_use",
    entity=terminal,
    fact=card_payments,
    owners=["team:risk"],
    description="How often a terminal is used.",
    aggregations=tuple(payments("terminal", days) for days in WINDOWS),
)

terminal_verdicts = FeatureView(
    name="terminal_verdicts",
    entity=terminal,
    fact=fraud_verdicts,
    owners=["team:risk"],
    description="What turned out about a terminal: a week late, as verdicts are.",
    aggregations=(
        *(risk(days) for days in WINDOWS),
        Aggregation(
            name="terminal_frauds_7d",
            function="sum",
            column="is_fraud",
            window=7 * DAY,
            description="Verdicts of fraud at the terminal in the last 7 days.",
        ),
    ),
)

VIEWS = (transactions, card_habits, card_verdicts, terminal_use, terminal_verdicts)

amount_over_usual = Expression(
    name="amount_over_usual",
    expression=pl.col("amount") / pl.col("card_sound_amount_60d"),
    description="What was paid over what the card's sound payments are on average.",
)

# training_set -------------------------------------------------------------------------------------

turned_out_fraud = Outcome(
    fact=fraud_verdicts,
    where=pl.col("is_fraud") == 1,
    horizon=7 * DAY,
    owners=["team:risk"],
    description="A verdict of fraud within the seven days that verdicts take.",
)

# model --------------------------------------------------------------------------------------------


def estimator() -> Any:
    """Build a random forest; a null is an entity that nothing is known of yet."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    forest = RandomForestClassifier(100, min_samples_leaf=10, max_features=0.3, random_state=0)
    nothing = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)
    return make_pipeline(nothing, forest)


NOT_LEARNT = ("card_id", "terminal_id", "card_frauds_14d", "card_sound_amount_60d")

fraud_probability = Model(
    name="fraud_probability",
    estimator=estimator,
    features=(
        *(name for view in VIEWS for name in view.descriptions if name not in NOT_LEARNT),
        "amount_over_usual",
    ),
    metric="average_precision",
    retrain="monday",
    training_window=15 * DAY,
    trusted_types=("sklearn.tree._tree.Tree",),
    gate=Gate(minimum=0.1, minimum_gain=-0.1, holdout=DAY),
    owners=["team:risk", "mlops@example.com"],
    description="The probability that a transaction turns out to be fraud.",
)

# decisions ----------------------------------------------------------------------------------------

check_policy = Policy(
    candidates=pl.col("card_frauds_14d").fill_null(0) == 0,
    bootstrap=pl.col("amount"),
    baselines={"amount": pl.col("amount"), "terminal": pl.col("terminal_risk_7d").fill_null(0)},
    allocation=TopK(capacity=100, action="check", each="card_id"),
    exploration=Epsilon(share=0.05),
    owners=["team:risk"],
    description="Check 100 cards a day, of those not known as compromised; a few drawn at random.",
)

fraud = Flywheel(
    name="fraud",
    owners=["team:risk"],
    description="Which cards should be checked tonight?",
    features=VIEWS,
    expressions=(amount_over_usual,),
    training_set=turned_out_fraud,
    model=fraud_probability,
    decisions=check_policy,
    api="get_check",
)
