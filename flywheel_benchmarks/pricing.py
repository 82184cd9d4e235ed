"""The pricing flywheel in a market that drifts: ``python -m flywheel_benchmarks.pricing``.

Five markets of 200 products, 60 days each. Printed is the expected revenue of the last seven days,
over that of the best price of each product on each day, which nobody but the market knows: of the
flywheel, of its first model kept for ever, of prices drawn evenly (its bootstrap rule), and of the
one price over list that is best for all; and for the flywheel that of all 60 days.
"""

import sys
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import numpy as np
import polars as pl

from flywheel_assets.flywheels.pricing import PRICES, pricing
from flywheel_assets.rehearsal import Rehearsal
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.worlds.market import Market, MarketConfig

START = date(2026, 1, 5)
SEEDS, N_DAYS, WEEK = 5, 60, 7
BAR = 0.90


@dataclass(frozen=True)
class Earned:
    """Expected revenue over the oracle's: of the last week, and of all days."""

    last_week: float
    all_days: float


def run(config: MarketConfig, learning: Literal["always", "once", "never"] = "always") -> Earned:
    """Turn the flywheel in a market."""
    market = Market(config)
    rehearsal = Rehearsal(pricing, market, learning=learning)
    for day in days(config.start, config.start + (N_DAYS - 1) * DAY):
        rehearsal.turn(day)
    return earned(market)


def one_price(config: MarketConfig, action: str) -> Earned:
    """Give every product the same price over list, always."""
    market = Market(config)
    same = market.products.select("product_id", action=pl.lit(action))
    for day in days(config.start, config.start + (N_DAYS - 1) * DAY):
        market.day(day, same)
    return earned(market)


def earned(market: Market) -> Earned:
    """Hold what a market earned against its oracle."""
    got, best = np.array(market.earned), np.array(market.best)
    return Earned(
        last_week=float(got[-WEEK:].sum() / best[-WEEK:].sum()),
        all_days=float(got.sum() / best.sum()),
    )


def main() -> None:
    """Turn and print."""
    print(f"{'seed':>4} {'flywheel':>9} {'60 days':>8} {'frozen':>7} {'even':>6} {'one price':>10}")
    base = MarketConfig(start=START, prices=PRICES)
    reached = []
    for seed in range(SEEDS):
        config = replace(base, seed=seed)
        turned = run(config)
        frozen, even = run(config, "once").last_week, run(config, "never").last_week
        fixed = max(one_price(config, action).last_week for action in PRICES)
        reached.append(turned.last_week)
        print(
            f"{seed:>4} {turned.last_week:>9.3f} {turned.all_days:>8.3f} "
            f"{frozen:>7.3f} {even:>6.3f} {fixed:>10.3f}",
            flush=True,
        )
    print(f"\nflywheel: mean {np.mean(reached):.3f}, least {min(reached):.3f} (bar {BAR})")
    if min(reached) < BAR:
        sys.exit("below the bar")


if __name__ == "__main__":
    main()
