"""Shop contacts: each day, write to the 800 customers whom a letter moves most, in pounds.

Contacting those who would have bought anyway earns nothing, so what is ranked is what a contact
changes. Three choices make that possible to learn:

- Each customer is considered every fourth day. A contact fades within a week; were the held ones
  contacted a day later, there would be nothing to compare with.
- Every twentieth contact is drawn at random, so that what a change of habits brings is seen.
- A contact changes how often a customer orders, not how much. The model says so: a regression of
  who orders, in which the action interacts with four features and is held back, times what an order
  is worth. It is trained every day on four weeks, but not on what was before a sudden change.
"""

from datetime import timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
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
from flywheel_assets.flywheels.repurchase import customer, customer_orders, order_lines, ordered

DAY = timedelta(days=1)
CONSIDERED_EVERY = 4  # days
EFFECT_DAYS = 7  # after which a contact is forgotten

# collect ------------------------------------------------------------------------------------------

contact = Observation(
    name="contact",
    entity=customer,
    owners=["team:crm"],
    description="The shop wrote to a customer.",
    fields=(Field(name="customer_id", dtype=pl.Int64, description="To whom."),),
)

# organize -----------------------------------------------------------------------------------------

contacts = Fact(
    name="contact",
    observation=contact,
    owners=["team:crm"],
    description="Letters sent, each with the decision that it answers.",
)

# features -----------------------------------------------------------------------------------------

customer_contacts = FeatureView(
    name="customer_contacts",
    entity=customer,
    fact=contacts,
    owners=["team:growth"],
    description="How often and how recently a customer was written to.",
    aggregations=(
        Aggregation(
            name="contacts_14d",
            function="count",
            window=14 * DAY,
            description="Contacts in the last 14 days.",
        ),
        Aggregation(
            name="last_contact_at",
            function="max",
            column="event_time",
            window=28 * DAY,
            description="The last contact of the last 28 days.",
        ),
    ),
)

expressions = (
    Expression(
        name="contacts",
        expression=pl.col("contacts_14d").fill_null(0),
        description="Contacts in the last 14 days; 0 without any.",
    ),
    Expression(
        name="log_contact_days",
        expression=((pl.col("as_of") - pl.col("last_contact_at")).dt.total_seconds() / 86_400)
        .fill_null(28.0)
        .log1p(),
        description="log(1 + days since the last contact, 28 without any).",
    ),
    Expression(
        name="contact_left",
        expression=(1 - (pl.col("log_contact_days").exp() - 1) / EFFECT_DAYS).clip(0),
        description="What is left of the last contact's effect, if it fades evenly in a week.",
    ),
    Expression(
        name="just_ordered",
        expression=(-pl.col("recency_days") / 4).exp(),
        description="Near 1 after an order, fading over a few days.",
    ),
    Expression(
        name="log_rate",
        expression=pl.col("order_rate").log(),
        description="log(orders a day of tenure, held back for new customers).",
    ),
    Expression(
        name="log_order_value",
        expression=((pl.col("revenue_180d") + 60) / (pl.col("orders_180d") + 1)).log(),
        description="log(pounds an order of the last 180 days, as if one more had been of 60).",
    ),
)

# training_set -------------------------------------------------------------------------------------

ordered_for = Outcome(
    fact=order_lines,
    where=ordered,
    horizon=EFFECT_DAYS * DAY,
    reward=pl.col("revenue"),
    owners=["team:growth"],
    description="Pounds ordered within a week of the decision.",
)

# model --------------------------------------------------------------------------------------------

LEVEL = (
    "log_orders_7d",
    "log_orders_30d",
    "log_orders_90d",
    "log_recency_days",
    "log_recency_in_gaps",
    "log_tenure_days",
    "contact_left",
)
"""What moves how much a customer orders, contact or no contact."""
EFFECT = ("log_rate", "log_order_value", "just_ordered", "contacts")
"""What may change, beside that, how much a contact multiplies it."""


def estimator() -> Any:
    """Build a regression of who orders, level and effect apart; the effect is held back."""
    from flywheel_assets.flywheels.shop_effect import EffectRegressor

    column = (*LEVEL, *EFFECT).index("log_order_value")
    return EffectRegressor(n_effect=len(EFFECT), log_value=column, alpha=0.003, held_back=4_000.0)


contact_uplift = Model(
    name="contact_uplift",
    estimator=estimator,
    features=(*LEVEL, *EFFECT),
    target="reward",
    learner="s",
    metric="rmse",
    retrain="daily",
    training_window=28 * DAY,
    from_last_change=True,
    trusted_types=(
        "flywheel_assets.flywheels.shop_effect.EffectRegressor",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._bsplines._BSpline",
    ),
    gate=Gate(minimum=1_000, minimum_gain=-5.0, holdout=2 * DAY, refit=True),
    owners=["team:growth", "mlops@example.com"],
    description="The pounds that a customer orders within a week, contacted and not.",
)

# decisions ----------------------------------------------------------------------------------------

considered = (pl.col("customer_id") + pl.col("as_of").dt.epoch("d")) % CONSIDERED_EVERY == 0

contact_policy = Policy(
    candidates=(pl.col("orders_180d") > 0) & considered,
    bootstrap=-pl.col("recency_days"),
    baselines={"recency": -pl.col("recency_days"), "frequency": pl.col("orders_365d")},
    rank_by="uplift",
    allocation=TopK(capacity=800, action="contact"),
    exploration=Epsilon(share=0.05),
    owners=["team:growth"],
    description="Contact the 800 whom it moves most, a twentieth of them drawn at random.",
)

shop_contacts = Flywheel(
    name="shop_contacts",
    owners=["team:growth"],
    description="To whom should the shop write today, so that it makes a difference?",
    features=(customer_orders, customer_contacts),
    expressions=expressions,
    training_set=ordered_for,
    model=contact_uplift,
    decisions=contact_policy,
)
