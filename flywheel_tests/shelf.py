"""A small flywheel of pairs: which two items does a shop show each customer?"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets import (
    Aggregation,
    Entity,
    Expression,
    Fact,
    FeatureView,
    Field,
    Flywheel,
    Generator,
    Model,
    Observation,
    Outcome,
    Pairs,
    Policy,
    Slate,
    TableFile,
)

DAY = timedelta(days=1)
START = date(2026, 1, 5)
OWNERS = ["team:shelf"]

customer = Entity(
    name="customer", keys=("customer_id",), owners=OWNERS, description="Somebody who buys."
)
item = Entity(name="item", keys=("item_id",), owners=OWNERS, description="A thing to buy.")
pair = Entity(
    name="customer_item",
    keys=("customer_id", "item_id"),
    owners=OWNERS,
    description="A customer and an item.",
)


def purchases(source: TableFile | None = None) -> Fact:
    """Declare what was bought."""
    bought = Observation(
        name="purchase",
        entity=pair,
        owners=OWNERS,
        description="A customer bought an item.",
        source=source,
        fields=(
            Field(name="customer_id", dtype=pl.Int64, description="Who."),
            Field(name="item_id", dtype=pl.String, description="What."),
        ),
    )
    return Fact(name="purchase", observation=bought, owners=OWNERS, description="Purchases.")


def _count(fact: Fact, entity: Entity, name: str) -> FeatureView:
    counted = Aggregation(
        name=f"{name}_30d", function="count", window=30 * DAY, description="In 30 days."
    )
    return FeatureView(
        name=name,
        entity=entity,
        fact=fact,
        aggregations=(counted,),
        owners=OWNERS,
        description="How much is bought.",
    )


def estimator() -> Any:
    """Build a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def shelf(fact: Fact | None = None, *, replicates: int = 0, **policy: Any) -> Flywheel:
    """Declare the flywheel; ``policy`` changes its policy."""
    fact = fact or purchases()
    by_customer, by_item = _count(fact, customer, "buys"), _count(fact, item, "sold")
    common: dict[str, Any] = {"fact": fact, "window": 7 * DAY}
    generators = (
        Generator(name="popular", kind="popular", n=3, description="Buyers.", **common),
        Generator(name="recent", kind="recent", n=2, description="Recency.", **common),
        Generator(name="together", kind="co_occurrence", n=3, description="Cosine.", **common),
    )
    declared: dict[str, Any] = {
        "candidates": Pairs(entity=pair, of=by_customer, generators=generators),
        "bootstrap": pl.col("sold_30d"),
        "allocation": Slate(size=2, per="customer_id"),
        "owners": OWNERS,
        "description": "Show two items to each customer.",
        **policy,
    }
    return Flywheel(
        name="shelf",
        owners=OWNERS,
        description="What is shown to whom?",
        features=(by_customer, by_item),
        training_set=Outcome(
            fact=fact, horizon=2 * DAY, owners=OWNERS, description="Bought within two days."
        ),
        model=Model(
            name="buys",
            estimator=estimator,
            features=("buys_30d", "sold_30d"),
            replicates=replicates,
            retrain="sunday",
            training_window=30 * DAY,
            owners=OWNERS,
            description="The probability of buying.",
        ),
        decisions=Policy(**declared),
        expressions=(
            Expression(
                name="kind",
                expression=pl.col("item_id").str.slice(1).cast(pl.Int64) // 3,
                description="What sort of item.",
            ),
        ),
    )


def bought(n_days: int, n_customers: int = 12, n_items: int = 8, salt: int = 0) -> pl.DataFrame:
    """Simulate purchases: ``customer_id``, ``item_id``, ``at``."""
    rng = np.random.default_rng(salt)
    n = 4 * n_days * n_customers // 3
    hours = rng.integers(0, 24 * n_days, n)
    start = datetime(START.year, START.month, START.day, tzinfo=UTC)
    items = (rng.exponential(2.0, n) + rng.integers(0, 3, n)).astype(int) % n_items
    return pl.DataFrame(
        {
            "customer_id": rng.integers(0, n_customers, n),
            "item_id": [f"i{i}" for i in items],
            "at": [start + timedelta(hours=int(h), minutes=30) for h in hours],
        }
    ).unique(maintain_order=True)


def stored(folder: Path, rows: pl.DataFrame) -> TableFile:
    """Write purchases as a source."""
    rows.write_parquet(folder / "purchases.parquet")
    return TableFile(path=str(folder / "purchases.parquet"), event_time="at")
