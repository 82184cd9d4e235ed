"""A small shop whose declaration changes while there is data, turned without Dagster."""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from flywheel_assets import (
    Aggregation,
    Entity,
    Fact,
    FeatureView,
    Field,
    Flywheel,
    Model,
    Observation,
    Outcome,
    Policy,
    TopK,
)
from flywheel_assets.api.records import Parsed, Reader
from flywheel_assets.changes.meaning import meanings
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.declare.collect import Source
from flywheel_assets.stages.collect import observation_schema
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stages.features import feature_schema, features
from flywheel_assets.stages.organize import fact_schema, facts
from flywheel_assets.stores.declared import Declared
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox, Received
from flywheel_assets.stores.tables import Tables
from flywheel_tests.clicks import DAY, START, us
from flywheel_tests.staged import matured

OWNERS = ["team:shop"]
SALE, FACT, VIEW = "collect/sale", "organize/fct_sale", "features/spending"
TABLES = (SALE, FACT, VIEW)
buyer = Entity(name="buyer", keys=("buyer_id",), owners=OWNERS, description="Who buys.")
BUYER = Field(name="buyer_id", dtype=pl.Int64, description="Who.")
AMOUNT = Field(name="amount", dtype=pl.Int32, minimum=0, description="For how much.")
CITY = Field(name="city", dtype=pl.String, description="Where.")


def shop(
    *told: Field, of: str = "amount", reward: str | None = None, source: Source | None = None
) -> Flywheel:
    """Declare the shop over the fields that its sales tell; what it makes of sales is ``of``."""
    sale = Observation(
        name="sale",
        entity=buyer,
        fields=(BUYER, *told),
        owners=["team:till"],
        description="A sale.",
        source=source,
    )
    fact = Fact(
        name="sale",
        observation=sale,
        owners=["team:till"],
        description="Sales.",
        derive={"twice": pl.col(of) * 2},
    )
    spent = Aggregation(
        name="spent", function="sum", column="twice", window=7 * DAY, description="Twice."
    )
    dear = Aggregation(
        name="dear",
        function="count",
        where=pl.col(of) > 5,
        window=7 * DAY,
        description="Dear sales.",
    )
    view = FeatureView(
        name="spending",
        entity=buyer,
        fact=fact,
        aggregations=(spent, dear),
        owners=OWNERS,
        description="What is spent.",
    )
    return Flywheel(
        name="shop",
        owners=OWNERS,
        description="Whom to call?",
        features=view,
        training_set=Outcome(
            fact=fact,
            horizon=DAY,
            reward=pl.col(reward or of).cast(pl.Float64),
            owners=OWNERS,
            description="A sale within a day.",
        ),
        model=Model(
            name="buys",
            estimator=lambda: None,
            features=("spent", "dear"),
            retrain="sunday",
            training_window=30 * DAY,
            owners=OWNERS,
            description="The probability of a sale.",
        ),
        decisions=Policy(
            candidates=pl.col("dear") >= 0,
            bootstrap=pl.col("spent"),
            allocation=TopK(capacity=1, action="call"),
            owners=["team:calls"],
            description="Call one.",
        ),
    )


def send(home: Home, wheel: Flywheel, day: int, own: str, payload: dict[str, Any]) -> Parsed:
    """Send a record to the API at noon of a day; what it takes is received."""
    record = {
        "kind": "sale",
        "observation_id": own,
        "event_time": f"{START + day * DAY}T01:00:00Z",
        "entity": {"buyer_id": 1},
        "payload": payload,
    }
    observation = wheel.outcome.fact.observation
    parsed = Reader([observation], clock=lambda: us(day)).one(json.dumps(record).encode())
    if isinstance(parsed, Received):
        inbox = Inbox(home.inbox, clock=lambda: us(day))
        inbox.put([parsed])
        inbox.close()
    return parsed


def turn(
    home: Home, wheel: Flywheel, first: date, last: date, tables: Sequence[str] = TABLES
) -> None:
    """Make tables of a range of days, and keep by what declaration."""
    fact, view, lakehouse = wheel.outcome.fact, wheel.views[0], Tables(home.lakehouse)
    seen, schema = observation_schema(fact.observation), fact_schema(fact)
    if SALE in tables:
        settings = home.settings()
        assert settings is not None
        Collecting(fact.observation, home, settings).collect(first, last)
    if FACT in tables:
        collected = lakehouse.read(SALE, seen, first, last).collect()
        made = facts(collected, pl.DataFrame(schema=schema), fact)
        lakehouse.replace(FACT, made, schema, first, last)
    if VIEW in tables:
        rows = lakehouse.read(FACT, schema, None, last).collect()
        days = [first + i * DAY for i in range((last - first).days + 1)]
        lakehouse.replace(VIEW, features(rows, {}, view, days), feature_schema(view), first, last)
    for table in tables:
        Declared(home.declared).record(table, first, last, meanings([wheel])[table])


def opened(home: Home, wheel: Flywheel, first: date = START) -> None:
    """Begin a home in which the shop has decided, as far as a plan asks."""
    home.save(Settings(start=first))
    schema = decision_schema(wheel)
    Tables(home.lakehouse).replace(
        "shop/decisions", pl.DataFrame(schema=schema), schema, first, first
    )


def rows(home: Home, wheel: Flywheel, table: str) -> list[dict[str, Any]]:
    """Read a table as the declaration says, without what the flywheel writes itself."""
    fact = wheel.outcome.fact
    schema = observation_schema(fact.observation) if table == SALE else fact_schema(fact)
    frame = Tables(home.lakehouse).read(table, schema).sort("partition_date", "observation_id")
    return frame.select(f.name for f in fact.observation.fields[1:]).collect().to_dicts()


def spent(home: Home, wheel: Flywheel) -> list[float]:
    """Read the feature of each day."""
    schema = feature_schema(wheel.views[0])
    frame = Tables(home.lakehouse).read(VIEW, schema).sort("partition_date").collect()
    return frame["spent"].to_list()


def rewards(home: Home, wheel: Flywheel, first: date, last: date) -> list[float | None]:
    """Give what the decisions of some days earned, by the training set; null for no sale."""
    fact, view, lakehouse = wheel.outcome.fact, wheel.views[0], Tables(home.lakehouse)
    known = {fact: lakehouse.read(FACT, fact_schema(fact)).collect()}
    views = {view: lakehouse.read(VIEW, feature_schema(view)).collect()}
    span = [first + i * DAY for i in range((last - first).days + 1)]
    made = matured(wheel, known, views, span).sort("decided_at")
    earned = pl.when(pl.col("outcome") == 1).then("reward")
    return made.select(earned.alias("reward"))["reward"].to_list()


def days(n: int) -> tuple[date, date]:
    """Give the first and last of so many days."""
    return START, START + timedelta(days=n - 1)
