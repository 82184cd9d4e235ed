"""Two flywheels on one click: it is the outcome of one, and a feature of the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets import (
    Aggregation,
    DailyFiles,
    Dimension,
    Entity,
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
from flywheel_assets.api.client import Local
from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.dagster_assets.turn import Run, Turner
from flywheel_assets.stores.home import Home

DAY = timedelta(days=1)
START = date(2026, 1, 5)
LAST = START + 2 * DAY
OWNERS = ["team:web"]
VISITORS = [7_310_245_998_100 + i for i in range(40)]
ANNA = VISITORS[13]
"""Who is to be forgotten: an id that is nothing else, as text and in eight bytes."""
BEN = VISITORS[5]
"""Who clicks once."""
ONE_CLICK = "click:the-one"
RECEIVED = ("collect/click", "collect/click_rejected", "organize/fct_click")
COMMON: dict[str, Any] = {"owners": OWNERS, "description": "For tests."}

visitor = Entity(name="visitor", keys=("visitor_id",), **COMMON)
click = Observation(
    name="click",
    entity=visitor,
    source=DailyFiles(
        path="clicks", pattern="{day}.csv", event_time="at", columns={"visitor_id": "Visitor"}
    ),
    fields=(
        Field(name="visitor_id", dtype=pl.Int64, description="Who."),
        Field(name="page", dtype=pl.String, description="Where."),
        Field(name="seconds", dtype=pl.Float64, description="How long."),
    ),
    **COMMON,
)
purchase = Observation(
    name="purchase",
    entity=visitor,
    fields=(
        Field(name="visitor_id", dtype=pl.Int64, description="Who."),
        Field(name="amount", dtype=pl.Float64, description="Pounds."),
        Field(name="street", dtype=pl.String, description="Where to."),
    ),
    **COMMON,
)
clicks = Fact(name="click", observation=click, **COMMON)
purchases = Fact(name="purchase", observation=purchase, **COMMON)
homes = Dimension(
    name="visitor", entity=visitor, observation=purchase, attributes=("street",), **COMMON
)


def _sum(name: str, function: Any, column: str | None = None) -> Aggregation:
    return Aggregation(
        name=name, function=function, column=column, window=7 * DAY, description="In 7 days."
    )


browsing = FeatureView(
    name="browsing",
    entity=visitor,
    fact=clicks,
    aggregations=(_sum("clicks_7d", "count"), _sum("seconds_7d", "sum", "seconds")),
    **COMMON,
)
spending = FeatureView(
    name="spending",
    entity=visitor,
    fact=purchases,
    aggregations=(_sum("purchases_7d", "count"), _sum("amount_7d", "sum", "amount")),
    dimensions={homes: ("street",)},
    **COMMON,
)


def estimator() -> Any:
    """Build a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def _flywheel(
    name: str, view: FeatureView, outcome: Fact, features: Sequence[str], retrain: Any
) -> Flywheel:
    return Flywheel(
        name=name,
        features=view,
        training_set=Outcome(fact=outcome, horizon=DAY, **COMMON),
        model=Model(
            name=f"{name}_model",
            estimator=estimator,
            features=tuple(features),
            retrain=retrain,
            training_window=30 * DAY,
            gate=Gate(minimum=0.0, minimum_gain=-1.0, holdout=DAY),
            **COMMON,
        ),
        decisions=Policy(
            candidates=pl.lit(value=True),
            bootstrap=pl.col(features[0]),
            allocation=TopK(capacity=10, action="show"),
            **COMMON,
        ),
        **COMMON,
    )


comes_back = _flywheel("comes_back", spending, clicks, ["purchases_7d", "amount_7d"], "wednesday")
"""Who clicks after a purchase? A click is its outcome."""
buys = _flywheel("buys", browsing, purchases, ["clicks_7d", "seconds_7d"], "daily")
"""Who buys after clicks? A click moves its features."""
WHEELS = (comes_back, buys)


def write_clicks(folder: Path, day: date, who: Sequence[int]) -> None:
    """Write the clicks of a day as the site's own file; one of each day's lines is broken."""
    folder.mkdir(exist_ok=True)
    lines = ["Visitor,page,seconds,at"]
    for i, one in enumerate(who):
        page = "anna-was-here.html" if one == ANNA else f"page{one % 3}.html"
        lines.append(f"{one},{page},{1 + one % 7}.5,{day} {8 + i % 12:02}:{i % 60:02}:00")
    broken = ANNA if day == START else VISITORS[0]
    lines.append(f"{broken},page.html,of-{broken % 100}-her-own,{day} 07:00:00")
    (folder / f"{day}.csv").write_text("\n".join(lines) + "\n")


def moment(day: date, hour: int) -> datetime:
    """Give an hour of a day."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def at_noon(api: Local, day: date, random: np.random.Generator) -> None:
    """Log a day's purchases."""
    bought = [v for v in VISITORS if v in {ANNA, BEN} or random.random() < 0.6]
    told = api.log_observations(
        {
            "kind": "purchase",
            "observation_id": f"till:{day}:{one}",
            "entity": {"visitor_id": one},
            "event_time": moment(day, 9),
            "payload": {"amount": 1.5 + one % 11, "street": _street(one)},
        }
        for one in bought
    )
    assert {said.status for said in told} == {"accepted"}


def _street(who: int) -> str:
    return "24 Anna's Own Lane" if who == ANNA else f"{who % 5} High Street"


@dataclass
class Web:
    """A home in which both turned."""

    turner: Turner
    sources: Path
    now: list[int]
    api: Local

    @property
    def home(self) -> Home:
        """Where everything is."""
        return self.turner.home

    def clock(self, day: date, hour: int = 12) -> None:
        """Set the time at which things are received."""
        self.now[0] = int(moment(day, hour).timestamp()) * 1_000_000

    def turn(self, day: date) -> None:
        """Turn both over a day, in one run."""
        keys = dict.fromkeys(key for wheel in WHEELS for key in whole(wheel))
        # What they were worth is no part of what is tried here.
        beside = {f"{w.name}/{table}" for w in WHEELS for table in ("performance", "drift")}
        self.turner.turn([Run(tuple(k for k in keys if k not in beside), day, day)], lambda _: None)


def spun_web(folder: Path) -> Web:
    """Turn both over three days: files, and an API that accepts, corrects, withdraws, rejects."""
    home, now = Home(folder / "home"), [0]
    sources = folder / "clicks"
    home.extend(START, LAST + 3 * DAY, {"click": str(sources)}, ongoing=False, demo=False)
    web = Web(Turner(home, WHEELS), sources, now, Local(home, WHEELS, clock=lambda: now[0]))
    random = np.random.default_rng(1)
    for i in range((LAST - START).days + 1):
        day = START + i * DAY
        web.clock(day)
        others = [v for v in VISITORS if v not in {ANNA, BEN} and random.random() < 0.5]
        at_noon(web.api, day, random)
        if day == START:  # made twice: the first version is an old one by now
            write_clicks(sources, day, [ANNA, *others[1:]])
            web.turner.force(Run(RECEIVED, day, day))
        write_clicks(sources, day, [ANNA, *others])
        if day == START + DAY:
            _in_passing(web.api, day)
        if day == START + DAY:
            web.api.log_observation(
                "click",
                {"visitor_id": BEN},
                moment(day, 10),
                {"page": "the-one.html", "seconds": 1000.0},
                observation_id=ONE_CLICK,
            )
        web.turn(day)
    return web


def _in_passing(api: Local, day: date) -> None:
    """Log what is corrected, withdrawn, and refused, of Anna and of another."""
    for one in (ANNA, VISITORS[2]):
        mine: dict[str, Any] = {"kind": "click", "entity": {"visitor_id": one}}
        at = {"event_time": moment(day, 6)}
        payload = {"page": "by-api.html", "seconds": 2.0}
        first = {**mine, **at, "payload": payload, "observation_id": f"api:{one}"}
        told = api.log_observations(
            [
                first,
                {**mine, **at, "payload": payload | {"seconds": 3.0}, "corrects": f"api:{one}"},
                {**mine, **at, "retracts": f"till:{day - DAY}:{one}", "kind": "purchase"},
                {**mine, **at, "payload": {"page": f"secret {one % 100} of hers", "seconds": "x"}},
                {**mine, "kind": "klick", "note": f"secret {one % 100} of hers"},
                first,
            ]
        )
        said = ["accepted", "accepted", "accepted", "rejected", "rejected", "duplicate"]
        assert [answer.status for answer in told] == said
