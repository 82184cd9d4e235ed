"""Each day, contact the 200 customers most likely to order within 30 days."""

from datetime import timedelta

import polars as pl

from flywheel_assets import (
    Aggregation,
    Cancellation,
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
ordered = ~pl.col("is_cancellation")


def estimator():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def orders(n):
    return Aggregation(
        name=f"orders_{n}d",
        function="n_unique",
        column="invoice",
        where=ordered,
        window=n * DAY,
        description=f"Orders in the last {n} days.",
    )


def revenue(n):
    return Aggregation(
        name=f"revenue_{n}d",
        function="sum",
        column="revenue",
        where=ordered,
        window=n * DAY,
        description=f"Pounds ordered in the last {n} days.",
    )


customer = Entity(
    name="customer",
    keys=("customer_id",),
    owners=["team:crm"],
    description="Somebody with an account.",
)

order_line = Observation(
    name="order_line",
    entity=customer,
    owners=["team:checkout"],
    description="One product on one invoice.",
    source=DailyFiles(
        path="landing/orders",
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

order_lines = Fact(
    name="order_line",
    observation=order_line,
    owners=["team:commerce-data"],
    description="Order lines with their value.",
    derive={"revenue": pl.col("quantity") * pl.col("unit_price")},
    cancellation=Cancellation(
        when=pl.col("invoice").str.starts_with("C"),
        becomes="negative_fact",
        measures=("quantity",),
    ),
)

customer_orders = FeatureView(
    name="customer_orders",
    entity=customer,
    fact=order_lines,
    owners=["team:growth"],
    description="How often, how recently and how much a customer orders.",
    aggregations=(
        orders(7),
        orders(30),
        orders(90),
        revenue(30),
        revenue(90),
        Aggregation(
            name="last_order_at",
            function="max",
            column="event_time",
            where=ordered,
            window=90 * DAY,
            description="The last order of the last 90 days.",
        ),
    ),
    expressions=(
        Expression(
            name="recency_days",
            expression=(pl.col("as_of") - pl.col("last_order_at")).dt.total_seconds() / 86_400,
            description="Days since the last order.",
        ),
    ),
)

repurchase = Flywheel(
    name="repurchase",
    owners=["team:growth"],
    description="Who should the shop write to today?",
    features=customer_orders,
    training_set=Outcome(
        fact=order_lines,
        where=ordered,
        horizon=30 * DAY,
        owners=["team:growth"],
        description="An order within 30 days of the decision.",
    ),
    model=Model(
        name="order_probability",
        estimator=estimator,
        features=(
            "orders_7d",
            "orders_30d",
            "orders_90d",
            "revenue_30d",
            "revenue_90d",
            "recency_days",
        ),
        training_window=90 * DAY,
        gate=Gate(minimum=0.55, holdout=7 * DAY),
        owners=["team:growth"],
        description="The probability of an order within 30 days.",
    ),
    decisions=Policy(
        candidates=pl.lit(True),
        bootstrap=-pl.col("recency_days"),
        allocation=TopK(capacity=200, action="contact"),
        exploration=Epsilon(share=0.1),
        owners=["team:growth"],
        description="Contact the 200 likeliest, a tenth of them drawn at random.",
    ),
)
