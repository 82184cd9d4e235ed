"""The demo: the simulated shop reads each day's decisions and writes the next day's orders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.dagster_assets.turn import Clock, Run, Turner
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables
from flywheel_assets.worlds.shop import Shop, ShopConfig, simulate, write_day


@dataclass(frozen=True)
class Earned:
    """Net revenue in pounds over the same days of the same world, by who chose the contacts."""

    flywheel: float
    bootstrap: float
    oracle: float
    nobody: float


def prepare(home: Home, flywheel: Flywheel, config: ShopConfig) -> Shop:
    """Open the shop, and write the orders of the days before the first decision."""
    shop = Shop(config)
    for day, lines in shop.history_files():
        write_day(_landing(home, flywheel), day, lines)
    return shop


def turn_with(  # noqa: PLR0913  two players, a game, its length
    shop: Shop,
    turner: Turner,
    flywheel: Flywheel,
    first: date,
    last: date,
    *,
    progress: Callable[[Run], None],
) -> Clock:
    """Let shop and flywheel take turns, a day at a time.

    The shop of a run that was stopped lives its days again with the contacts that were published,
    and comes to the same orders.
    """
    for day in days(shop.config.start, last):
        lines = shop.day(day, contacts(turner.home, flywheel, day))
        write_day(_landing(turner.home, flywheel), day, lines)
        if day >= first:
            turner.turn([Run(tuple(whole(flywheel)), day, day)], progress)
    return turner.clock


def contacts(home: Home, flywheel: Flywheel, day: date) -> Sequence[int]:
    """Read whom the shop contacts on a day: those decided on when the day before closed."""
    table = Tables(home.lakehouse).read(
        f"{flywheel.name}/decisions", decision_schema(flywheel), day - DAY, day - DAY
    )
    acted = table.filter(pl.col("action") == flywheel.policy.action)
    return list(acted.select(flywheel.entity.keys[0]).collect().to_series())


def compare(shop: Shop, flywheel: Flywheel, last: date) -> Earned:
    """Run the same world under other policies: the bootstrap rule, an oracle, and nobody at all."""
    config, capacity = shop.config, flywheel.policy.capacity or 0
    length = (last - config.start).days + 1
    nobody = np.array([], dtype=np.int64)

    def earned(choose: Callable[[Shop], np.ndarray[tuple[int], np.dtype[np.int64]]]) -> float:
        # Nobody can be contacted on the first day: the first decisions are made when it closes.
        run = simulate(config, length, lambda s, d: nobody if d == config.start else choose(s))
        return run.revenue

    return Earned(
        flywheel=shop.revenue,
        bootstrap=earned(lambda s: s.recent(capacity)),
        oracle=earned(lambda s: s.best(capacity)),
        nobody=earned(lambda _: nobody),
    )


def row_counts(home: Home, flywheel: Flywheel) -> dict[str, int]:
    """Count the rows of each table of a flywheel, from the tables' statistics."""
    tables = Tables(home.lakehouse)
    return {
        key: tables.read(key, {PARTITION: pl.Date()}).select(pl.len()).collect().item()
        for key in whole(flywheel)
        if tables.exists(key)
    }


def _landing(home: Home, flywheel: Flywheel) -> Path:
    observation = flywheel.features.fact.observation
    return home.source_path(observation.name, observation.source.path)
