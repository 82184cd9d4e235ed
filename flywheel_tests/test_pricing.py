"""The pricing flywheel: the market it is held against, and what it must earn there."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flywheel_assets.api.client import Local
from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.dagster_assets.turn import Run, Turner
from flywheel_assets.flywheels.pricing import PRICES, pricing
from flywheel_assets.rehearsal import Rehearsal
from flywheel_assets.stages.clock import days, opens
from flywheel_assets.stores.home import Home
from flywheel_assets.worlds.market import Market, MarketConfig
from flywheel_benchmarks.pricing import BAR, one_price, run

START, DAY = date(2026, 1, 5), timedelta(days=1)
CONFIG = MarketConfig(start=START, prices=PRICES)
NOBODY = pl.DataFrame(schema={"product_id": pl.Int64, "action": pl.String})


def priced(market: Market, actions: list[str]) -> pl.DataFrame:
    """Lay out decisions about the first products."""
    ids = market.products["product_id"][: len(actions)]
    return pl.DataFrame({"product_id": ids, "action": actions})


def test_the_same_prices_sell_the_same() -> None:
    """A market is a function of its seed and of the prices."""
    config = replace(CONFIG, n_products=20, seed=3)
    one, same, other = Market(config), Market(config), Market(replace(config, seed=4))
    for day in days(START, START + 3 * DAY):
        sold = one.day(day, NOBODY)["product_day"]
        assert sold.equals(same.day(day, NOBODY)["product_day"])
        assert not sold.equals(other.day(day, NOBODY)["product_day"])


def test_a_price_moves_its_own_product_alone() -> None:
    """The noise is shared: all that differs is the product that is priced otherwise."""
    config = replace(CONFIG, n_products=20)
    one, other = Market(config), Market(config)
    usual = one.day(START, NOBODY)["product_day"]
    dear = other.day(START, priced(other, ["price_140"]))["product_day"]
    assert dear[1:].equals(usual[1:])
    assert dear["price_factor"].to_list()[:2] == [1.4, 1.0]
    assert dear["units"][0] <= usual["units"][0]


def test_sales_are_as_expected() -> None:
    """Mean revenue of many products at each price is what the market says it expects."""
    for action, factor in PRICES.items():
        market = Market(replace(CONFIG, n_products=20_000))
        column = list(PRICES).index(action)
        expected = market.expected_revenue()[:, column].sum()
        sold = market.day(START, priced(market, [action] * 20_000))["product_day"]
        revenue = (sold["units"] * sold["list_price"] * sold["price_factor"]).sum()
        assert (sold["price_factor"] == factor).all()
        assert revenue == pytest.approx(expected, rel=0.02)
        assert market.earned == pytest.approx([expected])
        assert market.best[0] >= expected


def test_demand_drifts() -> None:
    """In two months most products change their best price, and keeping it costs a sixth."""
    market = Market(CONFIG)
    first = market.expected_revenue().argmax(axis=1)
    for day in days(START, START + 59 * DAY):
        market.day(day, NOBODY)
    revenue = market.expected_revenue()
    assert (revenue.argmax(axis=1) != first).mean() > 0.5
    kept = revenue[np.arange(first.size), first].sum()
    assert kept < 0.87 * revenue.max(axis=1).sum()


def test_another_days_turn_is_refused() -> None:
    """Days come in order."""
    with pytest.raises(ValueError, match="the next day is 2026-01-05"):
        Market(CONFIG).day(START + DAY, NOBODY)


def test_it_starts_evenly_and_keeps_exploring() -> None:
    """A fifth for each price until there is a model; then 1% for each of those not chosen."""
    rehearsal = Rehearsal(pricing, Market(replace(CONFIG, n_products=40)))
    turned = [rehearsal.turn(day) for day in days(START, START + 9 * DAY)]
    first, last = turned[0], turned[-1]
    assert first["propensity"].unique().to_list() == pytest.approx([0.2])
    assert last["model_version"].null_count() == 0
    likely = last.filter(~pl.col("explored"))["propensity"]
    assert likely.to_list() == pytest.approx([0.96] * likely.len())


def test_it_earns_what_the_oracle_does_within_a_tenth() -> None:
    """One of the five markets of ``flywheel_benchmarks.pricing``; no single price comes near."""
    assert run(CONFIG).last_week >= BAR
    assert max(one_price(CONFIG, action).last_week for action in PRICES) < BAR - 0.03
    assert run(CONFIG, "never").last_week < 0.8


def test_the_dagster_loop_decides_what_the_rehearsal_does(tmp_path: Path) -> None:
    """Four days of a small market that reads its prices and logs its sales: the same decisions."""
    config, last = replace(CONFIG, n_products=30), START + 3 * DAY
    home = Home(tmp_path)
    home.extend(START, last, {}, ongoing=False, demo=False)
    turner, market, now = Turner(home, [pricing]), Market(config), [0]
    api = Local(home, [pricing], clock=lambda: now[0])
    for day in days(START, last):
        decided = published(api, market, day) if day > START else NOBODY
        now[0] = int((opens(day) + timedelta(hours=23)).timestamp()) * 1_000_000
        said = api.log_observations(records(market.day(day, decided)))
        assert {answer.status for answer in said} == {"accepted"}
        turner.turn([Run(tuple(whole(pricing)), day, day)], lambda _: None)
    api.close()
    theirs = pl.read_delta(str(home.lakehouse / "pricing" / "decisions"))
    rehearsal = Rehearsal(pricing, Market(config))
    ours = pl.concat(rehearsal.turn(day) for day in days(START, last))
    order = ["partition_date", "decision_id"]
    assert ours["model_version"].n_unique() > 1, "no model decided: the test is too short"
    assert_frame_equal(ours.sort(order), theirs.select(ours.columns).sort(order), check_exact=True)
    assert rehearsal.world.earned == market.earned  # type: ignore[attr-defined]


def published(api: Local, market: Market, day: date) -> pl.DataFrame:
    """Read the day's prices, as the product does."""
    ids = market.products["product_id"].to_list()
    found = api.get_decisions("pricing", ids, as_of=opens(day))
    rows = [(i, f["action"]) for i, f in zip(ids, found, strict=True) if f is not None]
    return pl.DataFrame(rows, schema=NOBODY.schema, orient="row")


def records(told: Mapping[str, pl.DataFrame]) -> list[dict[str, object]]:
    """Write what a market tells as records of the API."""
    return [
        {
            "kind": "product_day",
            "entity": {"product_id": row.pop("product_id")},
            "event_time": row.pop("event_time").isoformat(),
            "payload": row,
        }
        for row in told["product_day"].to_dicts()
    ]
