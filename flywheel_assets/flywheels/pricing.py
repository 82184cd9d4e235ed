"""Pricing: each day, give every product the price that is expected to bring the most revenue.

Five arms, each a price over the product's list price, told to the model as a number: what is learnt
at one price says something of the next. How buyers respond drifts, and nobody says how; so the
features are what the last two weeks showed of it (at which prices a product stood, and what share
of its viewers bought), the model is trained anew each day, and one product in twenty is priced by
lot, as all are until there is a first model. `flywheel_assets.worlds.market` is a market to hold it
against, in which the best price is known.
"""

import math
from datetime import timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
    Arm,
    Arms,
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
)

DAY = timedelta(days=1)
PRICES = {
    "price_70": 0.70,
    "price_85": 0.85,
    "price_100": 1.00,
    "price_120": 1.20,
    "price_140": 1.40,
}
"""Over the list price."""

# collect ------------------------------------------------------------------------------------------

product = Entity(
    name="product",
    keys=("product_id",),
    owners=["team:assortment"],
    description="Something that is sold at a price.",
)

product_day = Observation(
    name="product_day",
    entity=product,
    owners=["team:checkout"],
    description="What a product showed and sold in a day, reported when the day ends.",
    fields=(
        Field(name="product_id", dtype=pl.Int64, description="Which product."),
        Field(name="list_price", dtype=pl.Float64, minimum=0.01, description="Pounds for a unit."),
        Field(
            name="price_factor",
            dtype=pl.Float64,
            minimum=0.01,
            description="The price of that day over the list price.",
        ),
        Field(name="views", dtype=pl.Int64, minimum=0, description="How often it was looked at."),
        Field(name="units", dtype=pl.Int64, minimum=0, description="How many were sold."),
    ),
)

# organize -----------------------------------------------------------------------------------------

log_price = pl.col("price_factor").log()

product_days = Fact(
    name="product_day",
    observation=product_day,
    owners=["team:commerce-data"],
    description="Days of products, with the sums that a regression of sales on prices is made of.",
    derive={
        "revenue": pl.col("units") * pl.col("list_price") * pl.col("price_factor"),
        "views_log_price": pl.col("views") * log_price,
        "views_log_price_squared": pl.col("views") * log_price**2,
        "units_log_price": pl.col("units") * log_price,
    },
)

# features -----------------------------------------------------------------------------------------


def total(column: str, description: str) -> Aggregation:
    """Add up a column of the last two weeks."""
    return Aggregation(
        name=f"{column}_14d",
        function="sum",
        column=column,
        window=14 * DAY,
        description=f"{description}, of the last 14 days.",
    )


def per_view(name: str, column: str, description: str) -> Expression:
    """Average over the viewers of the last two weeks."""
    views = pl.col("views_14d").clip(1)
    return Expression(name=name, expression=pl.col(column) / views, description=description)


product_demand = FeatureView(
    name="product_demand",
    entity=product,
    fact=product_days,
    owners=["team:pricing"],
    description="How the viewers of a product have responded to its prices.",
    aggregations=(
        Aggregation(
            name="list_price",
            function="last",
            column="list_price",
            window=14 * DAY,
            description="Pounds for a unit.",
        ),
        Aggregation(
            name="days_14d",
            function="count",
            window=14 * DAY,
            description="How many of the last 14 days the product was on sale.",
        ),
        total("views", "Views"),
        total("units", "Units sold"),
        total("views_log_price", "The logarithm of the price over list, summed over views"),
        total("views_log_price_squared", "Its square, summed over views"),
        total("units_log_price", "The same logarithm, summed over units sold"),
    ),
    expressions=(
        Expression(
            name="log_list_price",
            expression=pl.col("list_price").log(),
            description="log(list_price).",
        ),
        Expression(
            name="log_views",
            expression=(pl.col("views_14d") / pl.col("days_14d")).log1p(),
            description="log(1 + views a day).",
        ),
        Expression(
            name="log_odds",
            expression=(
                (pl.col("units_14d") + 0.5) / (pl.col("views_14d") - pl.col("units_14d") + 0.5)
            ).log(),
            description="The logarithm of the odds that a viewer bought.",
        ),
        per_view("offered", "views_log_price_14d", "The mean log price over list that they saw."),
        per_view("offered_squared", "views_log_price_squared_14d", "The mean of its square."),
        Expression(
            name="accepted",
            # One more sale at the mean price: who hardly sold anything has shown little.
            expression=(pl.col("units_log_price_14d") + pl.col("offered"))
            / (pl.col("units_14d") + 1),
            description="The mean log price over list at which they bought.",
        ),
        Expression(
            name="elasticity",
            # The slope of a regression of sales on log prices, over the mean of sales. What 0.005
            # is added to is the variance of prices: a product that hardly changed its price has
            # shown little, and is taken to be inelastic.
            expression=(pl.col("accepted") - pl.col("offered"))
            / (pl.col("offered_squared") - pl.col("offered") ** 2 + 0.005),
            description="By how many per cent sales changed with one per cent of price.",
        ),
    ),
)

# training_set -------------------------------------------------------------------------------------

sold = Outcome(
    fact=product_days,
    where=pl.col("units") > 0,
    reward=pl.col("revenue"),
    horizon=DAY,
    owners=["team:pricing"],
    description="Pounds that the product earned on the day after the decision.",
)

# model --------------------------------------------------------------------------------------------


def estimator() -> Any:
    """Build a Poisson regression on products of two: log revenue is a parabola in log price.

    Where its top lies depends on the product, through its features.
    """
    from sklearn.linear_model import PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    return make_pipeline(
        StandardScaler(),
        PolynomialFeatures(degree=2, include_bias=False),
        PoissonRegressor(alpha=1.0, solver="newton-cholesky"),
    )


revenue_at_price = Model(
    name="revenue_at_price",
    estimator=estimator,
    target="reward",
    learner="s",
    features=("log_list_price", "log_views", "log_odds", "offered", "elasticity", "log_price"),
    metric="rmse",
    retrain="daily",
    training_window=28 * DAY,
    gate=Gate(minimum=math.inf, minimum_gain=-50, holdout=DAY, refit=True),
    owners=["team:pricing", "mlops@example.com"],
    description="The revenue of a product on a day, for each price.",
)

# decisions ----------------------------------------------------------------------------------------

price_policy = Policy(
    candidates=pl.lit(value=True),
    bootstrap=pl.lit(0.0),
    allocation=Arms(
        arms=tuple(
            Arm(name=name, features={"log_price": math.log(factor)})
            for name, factor in PRICES.items()
        )
    ),
    exploration=Epsilon(share=0.05),
    owners=["team:pricing"],
    description="The price with the highest expected revenue; for one product in twenty, any.",
)

pricing = Flywheel(
    name="pricing",
    owners=["team:pricing"],
    description="What should each product cost tomorrow?",
    features=product_demand,
    training_set=sold,
    model=revenue_at_price,
    decisions=price_policy,
    api="get_price",
)
