"""Repurchase: each day, contact the 200 customers most likely to order within 30 days."""

from datetime import timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
    Cancellation,
    DailyFiles,
    Dimension,
    Drift,
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

customer = Entity(
    name="customer",
    keys=("customer_id",),
    owners=["team:crm"],
    description="Somebody with an account in the shop.",
)

order_line = Observation(
    name="order_line",
    entity=customer,
    owners=["team:checkout"],
    description="One product on one invoice; a cancellation is an invoice whose number starts "
    "with C.",
    source=DailyFiles(
        path="landing/orders",
        pattern="{day}.csv",
        event_time="InvoiceDate",
        time_format="%Y-%m-%d %H:%M:%S",
        time_zone="Europe/London",
        columns={
            "invoice": "InvoiceNo",
            "stock_code": "StockCode",
            "description": "Description",
            "quantity": "Quantity",
            "unit_price": "UnitPrice",
            "customer_id": "CustomerID",
            "country": "Country",
        },
    ),
    fields=(
        Field(name="invoice", dtype=pl.String, description="Invoice number."),
        Field(name="stock_code", dtype=pl.String, description="Product number."),
        Field(name="description", dtype=pl.String, nullable=True, description="Product name."),
        Field(name="quantity", dtype=pl.Int64, description="Units; negative when cancelled."),
        Field(name="unit_price", dtype=pl.Float64, minimum=0, description="Pounds for one unit."),
        Field(name="customer_id", dtype=pl.Int64, description="Who ordered."),
        Field(name="country", dtype=pl.String, description="Where the customer lives."),
    ),
)

# organize -----------------------------------------------------------------------------------------

order_lines = Fact(
    name="order_line",
    observation=order_line,
    owners=["team:commerce-data"],
    description="Order lines with their value; cancellations are negative rows of their own.",
    derive={
        "revenue": pl.col("quantity") * pl.col("unit_price"),
        "order_date": pl.col("event_time").dt.date(),
    },
    cancellation=Cancellation(
        when=pl.col("invoice").str.starts_with("C"),
        becomes="negative_fact",
        measures=("quantity",),
    ),
)

customers = Dimension(
    name="customer",
    entity=customer,
    observation=order_line,
    attributes=("country",),
    owners=["team:crm"],
    description="Where customers live, as told by their orders.",
)

# features -----------------------------------------------------------------------------------------

ordered = ~pl.col("is_cancellation")


def orders(days: int) -> Aggregation:
    """Count the orders of so many days."""
    return Aggregation(
        name=f"orders_{days}d",
        function="n_unique",
        column="invoice",
        where=ordered,
        window=days * DAY,
        description=f"Orders in the last {days} days.",
    )


def revenue(days: int) -> Aggregation:
    """Sum the value of the orders of so many days."""
    return Aggregation(
        name=f"revenue_{days}d",
        function="sum",
        column="revenue",
        where=ordered,
        window=days * DAY,
        description=f"Pounds ordered in the last {days} days, cancellations aside.",
    )


def log(column: str) -> Expression:
    """Take the logarithm of one more than a feature."""
    return Expression(
        name=f"log_{column}",
        expression=pl.col(column).log1p(),
        description=f"log(1 + {column}).",
    )


customer_orders = FeatureView(
    name="customer_orders",
    entity=customer,
    fact=order_lines,
    dimensions={customers: ("country",)},
    owners=["team:growth"],
    description="How often, how recently and how much a customer orders.",
    aggregations=(
        orders(7),
        orders(30),
        orders(90),
        orders(180),
        orders(365),
        revenue(30),
        revenue(90),
        revenue(180),
        Aggregation(
            name="lines_90d",
            function="count",
            where=ordered,
            window=90 * DAY,
            description="Order lines in the last 90 days.",
        ),
        Aggregation(
            name="order_days_365d",
            function="n_unique",
            column="order_date",
            where=ordered,
            window=365 * DAY,
            description="Days with an order in the last 365 days.",
        ),
        Aggregation(
            name="first_order_at",
            function="min",
            column="event_time",
            where=ordered,
            window=365 * DAY,
            description="The first order of the last 365 days.",
        ),
        Aggregation(
            name="last_order_at",
            function="max",
            column="event_time",
            where=ordered,
            window=365 * DAY,
            description="The last order of the last 365 days.",
        ),
    ),
    expressions=(
        Expression(
            name="recency_days",
            expression=(pl.col("as_of") - pl.col("last_order_at")).dt.total_seconds() / 86_400,
            description="Days since the last order.",
        ),
        Expression(
            name="tenure_days",
            expression=(pl.col("as_of") - pl.col("first_order_at")).dt.total_seconds() / 86_400,
            description="Days since the first order of the last 365 days.",
        ),
        Expression(
            name="gap_days",
            expression=pl.col("tenure_days") / pl.col("orders_365d"),
            description="Mean days between orders.",
        ),
        Expression(
            name="recency_in_gaps",
            expression=pl.col("recency_days") / pl.col("gap_days"),
            description="Recency over the customer's own mean days between orders.",
        ),
        Expression(
            name="order_rate",
            expression=pl.col("orders_365d") / (pl.col("tenure_days") + 30),
            description="Orders a day of tenure, held back for new customers.",
        ),
        *map(
            log,
            (
                "orders_7d",
                "orders_30d",
                "orders_90d",
                "orders_180d",
                "orders_365d",
                "revenue_30d",
                "revenue_90d",
                "revenue_180d",
                "lines_90d",
                "order_days_365d",
                "recency_days",
                "tenure_days",
                "gap_days",
                "recency_in_gaps",
                "order_rate",
            ),
        ),
    ),
)

# training_set -------------------------------------------------------------------------------------

ordered_again = Outcome(
    fact=order_lines,
    where=ordered,
    horizon=30 * DAY,
    owners=["team:growth"],
    description="An order within 30 days of the decision.",
)

# model --------------------------------------------------------------------------------------------


def estimator() -> Any:
    """Build a logistic regression on splines of the logarithms."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    return make_pipeline(
        StandardScaler(),
        SplineTransformer(n_knots=5),
        # Of many rows and few columns; in a half to a third of the time that the default takes.
        LogisticRegression(C=0.1, solver="newton-cholesky"),
    )


order_probability = Model(
    name="order_probability",
    estimator=estimator,
    features=tuple(n for n in customer_orders.descriptions if n.startswith("log_")),
    metric="roc_auc",
    drift=Drift(expected=("log_tenure_days",)),  # days count on, for everybody
    retrain="monday",
    training_window=90 * DAY,
    trusted_types=(
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._bsplines._BSpline",
    ),
    # A fresher model is preferred to one that is as good, within a hundredth.
    gate=Gate(minimum=0.55, minimum_gain=-0.01, holdout=7 * DAY, refit=True),
    owners=["team:growth", "mlops@example.com"],
    description="The probability of an order within 30 days.",
)

# decisions ----------------------------------------------------------------------------------------

contact_policy = Policy(
    candidates=pl.col("orders_180d") > 0,
    bootstrap=-pl.col("recency_days"),
    baselines={"recency": -pl.col("recency_days"), "frequency": pl.col("orders_365d")},
    allocation=TopK(capacity=200, action="contact"),
    exploration=Epsilon(share=0.1),
    owners=["team:growth"],
    description="Contact the 200 likeliest, a tenth of them drawn at random.",
)

repurchase = Flywheel(
    name="repurchase",
    owners=["team:growth"],
    description="Who should the shop write to today?",
    features=customer_orders,
    training_set=ordered_again,
    model=order_probability,
    decisions=contact_policy,
    api="get_contact",
)
