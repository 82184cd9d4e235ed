"""Recommendation: show each customer ten products, not bought before, that they may buy next."""

from datetime import timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
    AlreadySeen,
    Entity,
    Epsilon,
    Expression,
    FeatureView,
    Flywheel,
    Gate,
    Generator,
    Model,
    Outcome,
    Pairs,
    Policy,
    Slate,
)
from flywheel_assets.flywheels.repurchase import customer, order_lines, ordered

DAY = timedelta(days=1)

# collect and organize are those of repurchase -----------------------------------------------------

product = Entity(
    name="product",
    keys=("stock_code",),
    owners=["team:catalogue"],
    description="What the shop sells.",
)

customer_product = Entity(
    name="customer_product",
    keys=("customer_id", "stock_code"),
    owners=["team:growth"],
    description="A customer and a product that may be shown.",
)

# features -----------------------------------------------------------------------------------------

customer_taste = FeatureView(
    name="customer_taste",
    entity=customer,
    fact=order_lines,
    owners=["team:growth"],
    description="How many products a customer buys, and at what price.",
    aggregations=(
        Aggregation(
            name="products_365d",
            function="n_unique",
            column="stock_code",
            where=ordered,
            window=365 * DAY,
            description="Products ordered in the last 365 days.",
        ),
        Aggregation(
            name="mean_price_365d",
            function="mean",
            column="unit_price",
            where=ordered,
            window=365 * DAY,
            description="Pounds for one unit, over the order lines of the last 365 days.",
        ),
    ),
)


def buyers(days: int) -> Aggregation:
    """Count the customers of a product in so many days."""
    return Aggregation(
        name=f"buyers_{days}d",
        function="n_unique",
        column="customer_id",
        where=ordered,
        window=days * DAY,
        description=f"Customers who ordered the product in the last {days} days.",
    )


product_demand = FeatureView(
    name="product_demand",
    entity=product,
    fact=order_lines,
    owners=["team:growth"],
    description="How many customers a product has, since when, and at what price.",
    aggregations=(
        buyers(7),
        buyers(30),
        buyers(90),
        Aggregation(
            name="price_365d",
            function="mean",
            column="unit_price",
            where=ordered,
            window=365 * DAY,
            description="Pounds for one unit, over the order lines of the last 365 days.",
        ),
        Aggregation(
            name="first_sold_at",
            function="min",
            column="event_time",
            where=ordered,
            window=365 * DAY,
            description="The first order of the product in the last 365 days.",
        ),
        Aggregation(
            name="last_sold_at",
            function="max",
            column="event_time",
            where=ordered,
            window=365 * DAY,
            description="The last order of the product in the last 365 days.",
        ),
    ),
)


def days_since(column: str) -> pl.Expr:
    """Take the logarithm of one more than the days that have passed."""
    return ((pl.col("as_of") - pl.col(column)).dt.total_seconds() / 86_400).log1p()


def log_of(column: str) -> Expression:
    """Take the logarithm of one more than a feature; of nothing it is zero."""
    return Expression(
        name=f"log_{column}",
        expression=pl.col(column).fill_null(0).cast(pl.Float64).log1p(),
        description=f"log(1 + {column}).",
    )


RANKED_BY = (
    Expression(
        name="log_affinity",
        expression=(10 * pl.col("affinity").fill_null(0)).log1p(),
        description="How near the product is to all that the customer has.",
    ),
    Expression(
        name="log_mean_affinity",
        expression=(100 * pl.col("affinity").fill_null(0) / pl.col("products_365d")).log1p(),
        description="How near the product is to what the customer has, on average.",
    ),
    *map(log_of, ("buyers_7d", "buyers_30d", "buyers_90d")),
    Expression(
        name="log_days_on_sale",
        expression=days_since("first_sold_at"),
        description="log(1 + days since the product was first sold).",
    ),
    Expression(
        name="log_days_unsold",
        expression=days_since("last_sold_at"),
        description="log(1 + days since the product was last sold).",
    ),
    Expression(
        name="log_relative_price",
        expression=(pl.col("price_365d") / pl.col("mean_price_365d")).clip(0.01, 100).log(),
        description="The logarithm of the product's price over what the customer pays.",
    ),
)

# training_set -------------------------------------------------------------------------------------

bought = Outcome(
    fact=order_lines,
    where=ordered,
    horizon=30 * DAY,
    owners=["team:growth"],
    description="The customer ordered the product within 30 days.",
)

# model --------------------------------------------------------------------------------------------


def estimator() -> Any:
    """Build a logistic regression on splines of the logarithms."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True),
        StandardScaler(),
        SplineTransformer(n_knots=5),
        LogisticRegression(C=0.1, solver="newton-cholesky"),
    )


purchase_probability = Model(
    name="purchase_probability",
    estimator=estimator,
    features=tuple(e.name for e in RANKED_BY),
    metric="roc_auc",
    retrain="monday",
    training_window=44 * DAY,
    trusted_types=(
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._bsplines._BSpline",
    ),
    gate=Gate(minimum=0.55, minimum_gain=-0.02, holdout=7 * DAY),
    owners=["team:growth", "mlops@example.com"],
    description="The probability that a customer orders a product within 30 days.",
)

# decisions ----------------------------------------------------------------------------------------

show_policy = Policy(
    candidates=Pairs(
        entity=customer_product,
        of=customer_taste,
        where=pl.col("products_365d") > 0,
        generators=(
            Generator(
                name="popularity",
                kind="popular",
                fact=order_lines,
                where=ordered,
                window=30 * DAY,
                n=75,
                description="Customers of the product in the last 30 days, if it is among the "
                "most popular.",
            ),
            Generator(
                name="affinity",
                kind="co_occurrence",
                fact=order_lines,
                where=ordered,
                window=365 * DAY,
                n=75,
                description="How near the product is to what the customer has, if among the "
                "nearest.",
            ),
        ),
    ),
    filters=(AlreadySeen(fact=order_lines, where=ordered),),
    bootstrap=pl.col("affinity").fill_null(0),
    baselines={"popular": pl.col("popularity"), "co_occurrence": pl.col("affinity")},
    allocation=Slate(size=10, per="customer_id"),
    exploration=Epsilon(share=0.1),
    owners=["team:growth"],
    description="Show each customer the ten likeliest of the products not bought before, one of "
    "them drawn at random.",
)

recommendation = Flywheel(
    name="recommendation",
    owners=["team:growth"],
    description="What should the shop show each customer?",
    features=(customer_taste, product_demand),
    expressions=RANKED_BY,
    training_set=bought,
    model=purchase_probability,
    decisions=show_policy,
    api="get_recommendations",
)
