"""Offer: each day, send every customer of the day's audience the e-mail likeliest to bring a visit.

Three arms, one of which is to send nothing. The first day draws evenly between them; from then on
the better offers are drawn more often, so that the flywheel goes on learning what the others bring.
It is held against a real trial (`flywheel_assets.worlds.trial`), which sent each customer one of
the three by lot: only where that was what the flywheel decided did its decision come true, which
`email`, the exposure, tells; the other decisions teach nothing.
"""

from datetime import timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
    Arm,
    Arms,
    DailyFiles,
    Entity,
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
    Softmax,
)

DAY = timedelta(days=1)
OFFERS = ("mens_email", "womens_email", "no_email")

# collect ------------------------------------------------------------------------------------------

recipient = Entity(
    name="recipient",
    keys=("customer_id",),
    owners=["team:crm"],
    description="Somebody who may be written to.",
)

customer_id = Field(name="customer_id", dtype=pl.Int64, description="Whose it is.")

audience = Observation(
    name="audience",
    entity=recipient,
    owners=["team:crm"],
    description="A customer in the day's audience, and what the last twelve months say of them.",
    source=DailyFiles(path="landing/audience", event_time="asked_at"),
    fields=(
        customer_id,
        Field(name="recency", dtype=pl.Int64, minimum=1, description="Months since a purchase."),
        Field(name="history", dtype=pl.Float64, minimum=0, description="Dollars spent."),
        Field(name="mens", dtype=pl.Boolean, description="Bought men's merchandise."),
        Field(name="womens", dtype=pl.Boolean, description="Bought women's merchandise."),
        Field(name="newbie", dtype=pl.Boolean, description="Is a new customer."),
        Field(
            name="zip_code",
            dtype=pl.String,
            allowed=("Rural", "Surburban", "Urban"),  # spelt as the source spells it
            description="What kind of place they live in.",
        ),
        Field(
            name="channel",
            dtype=pl.String,
            allowed=("Multichannel", "Phone", "Web"),
            description="How they bought.",
        ),
    ),
)

email = Observation(
    name="email",
    entity=recipient,
    owners=["team:crm"],
    description="What a customer was sent, or that it was nothing, in answer to a decision.",
    source=DailyFiles(path="landing/email", event_time="sent_at", decision_id="decision_id"),
    fields=(
        customer_id,
        Field(name="action", dtype=pl.String, allowed=OFFERS, description="The offer."),
    ),
)

visit = Observation(
    name="visit",
    entity=recipient,
    owners=["team:web"],
    description="A customer came to the site.",
    source=DailyFiles(path="landing/visit", event_time="visited_at"),
    fields=(
        customer_id,
        Field(name="spend", dtype=pl.Float64, minimum=0, description="Dollars spent there."),
    ),
)

# organize -----------------------------------------------------------------------------------------

audiences = Fact(
    name="audience",
    observation=audience,
    owners=["team:crm"],
    description="The day's audiences.",
    derive={
        "area": pl.col("zip_code").replace("Surburban", "Suburban"),
    },
)

emails = Fact(
    name="email",
    observation=email,
    owners=["team:crm"],
    description="What customers were sent.",
)

visits = Fact(
    name="visit",
    observation=visit,
    owners=["team:web"],
    description="Visits, with what was spent.",
)

# features -----------------------------------------------------------------------------------------


def asked(column: str, description: str) -> Aggregation:
    """Take what the day's audience says of a customer; nobody else is in the view."""
    return Aggregation(
        name=column, function="last", column=column, window=DAY, description=description
    )


def number(name: str, expression: pl.Expr, description: str) -> Expression:
    """Write a feature as a number, for a model of numbers."""
    return Expression(name=name, expression=expression.cast(pl.Float64), description=description)


audience_profile = FeatureView(
    name="audience_profile",
    entity=recipient,
    fact=audiences,
    owners=["team:crm"],
    description="Who is in the day's audience.",
    aggregations=(
        asked("recency", "Months since the last purchase."),
        asked("history", "Dollars spent in the last twelve months."),
        asked("mens", "Whether they bought men's merchandise."),
        asked("womens", "Whether they bought women's merchandise."),
        asked("newbie", "Whether they are new."),
        asked("area", "What kind of place they live in."),
        asked("channel", "How they bought."),
    ),
    expressions=(
        number("log_history", pl.col("history").log1p(), "log(1 + history)."),
        number("bought_mens", pl.col("mens"), "1 where they bought men's merchandise."),
        number("bought_womens", pl.col("womens"), "1 where they bought women's merchandise."),
        number("is_new", pl.col("newbie"), "1 for a new customer."),
        number("is_rural", pl.col("area") == "Rural", "1 where they live in the country."),
        number("by_web", pl.col("channel") != "Phone", "1 where they bought on the web."),
        number("by_phone", pl.col("channel") != "Web", "1 where they bought by telephone."),
    ),
)

# training_set -------------------------------------------------------------------------------------

visited = Outcome(
    fact=visits,
    exposure=emails,
    horizon=DAY,
    owners=["team:crm"],
    description="A visit within a day of the decision, of a customer sent what was decided.",
)

# model --------------------------------------------------------------------------------------------


def estimator() -> Any:
    """Build a logistic regression, held close to the mean rate while there is little to learn from.

    The learner builds one for each offer.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01))


visit_probability = Model(
    name="visit_probability",
    estimator=estimator,
    learner="t",
    features=(
        "recency",
        "log_history",
        "bought_mens",
        "bought_womens",
        "is_new",
        "is_rural",
        "by_web",
        "by_phone",
    ),
    metric="roc_auc",
    retrain="daily",
    training_window=90 * DAY,
    gate=Gate(minimum=0.5, minimum_gain=-0.05, holdout=DAY, refit=True),
    owners=["team:crm", "mlops@example.com"],
    description="The probability of a visit, for each offer.",
)

# decisions ----------------------------------------------------------------------------------------

offer_policy = Policy(
    candidates=pl.lit(value=True),
    bootstrap=pl.lit(0.0),
    allocation=Arms(arms=tuple(Arm(name=name) for name in OFFERS)),
    exploration=Softmax(temperature=0.005),
    owners=["team:crm"],
    description="Draw an offer for each customer: one expected to bring .01 fewer visits is drawn "
    "a seventh as often.",
)

offer = Flywheel(
    name="offer",
    owners=["team:crm"],
    description="Which offer should each customer be sent?",
    features=audience_profile,
    training_set=visited,
    model=visit_probability,
    decisions=offer_policy,
    api="get_offer",
)
