"""The demo: the simulated shop reads each day's decisions and logs the next day's orders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType

import numpy as np
import polars as pl

from flywheel_assets.api.client import Local
from flywheel_assets.dagster_assets.selection import whole
from flywheel_assets.dagster_assets.turn import Clock, Run, Turner
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.clock import days, opens
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables
from flywheel_assets.worlds.shop import Shop, ShopConfig, as_records, simulate
from flywheel_assets.worlds.shop_world import contact_records

REPORTED_AT = timedelta(hours=23)
"""When the shop logs its day (UTC): the tills have closed, the day has not."""
_NOBODY: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True)
class Earned:
    """Net revenue in pounds over the same days of the same world, by who chose the contacts."""

    flywheel: float
    bootstrap: float
    oracle: float
    nobody: float


def prepare(home: Home, flywheel: Flywheel, config: ShopConfig) -> Shop:
    """Open the shop, and log the orders of the days before the first decision."""
    shop, till = Shop(config), _Till(home, flywheel)
    for day, lines in shop.history_files():
        till.log(day, lines)
    till.close()
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
    till = _Till(turner.home, flywheel)
    for day in days(shop.config.start, last):
        # The first decisions are made when the first day closes.
        answered = till.contacts(shop, day) if day > shop.config.start else {}
        till.log(day, shop.day(day, list(answered)), answered)
        if day >= first:
            turner.turn([Run(tuple(whole(flywheel)), day, day)], progress, until=last)
    till.close()
    return turner.clock


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


class _Till:
    """The shop's way to the flywheel: it reads decisions and logs its days through the API alone.

    Each day is logged once, at the simulated time. A day whose acknowledgement was lost is logged
    again; the inbox knows its records.
    """

    def __init__(self, home: Home, flywheel: Flywheel) -> None:
        self._now, self._flywheel = 0, flywheel
        declared = {o.name for o in catalog([flywheel]).observations}
        self._tells_contacts = "contact" in declared
        self._api = Local(home, [flywheel], clock=lambda: self._now)
        self._file = home.root / "product" / "logged_until"
        self._until = self._file.read_text() if self._file.exists() else ""

    def contacts(self, shop: Shop, day: date) -> dict[int, str]:
        """Read whom to contact on a day, by which decision: of when the day before closed."""
        ids = shop.ids.tolist()
        decided = self._api.get_decisions(self._flywheel.name, ids, as_of=opens(day))
        action = self._flywheel.policy.action
        return {
            customer: decision["decision_id"]
            for customer, decision in zip(ids, decided, strict=True)
            # The newest of somebody whom no decision was about that day is an older one.
            if decision is not None
            and decision["action"] == action
            and decision["decided_at"] == opens(day)
        }

    def log(self, day: date, lines: pl.DataFrame, contacts: Mapping[int, str] = _NOBODY) -> None:
        """Log a day's lines, and its contacts, unless they have been acknowledged before."""
        if day.isoformat() <= self._until:
            return
        self._now = int((opens(day) + REPORTED_AT).timestamp()) * 1_000_000
        self._api.log_observations(as_records(lines))
        if self._tells_contacts and contacts:
            self._api.log_observations(contact_records(day, contacts))
        self._until = day.isoformat()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        written = self._file.with_suffix(".tmp")
        written.write_text(self._until)
        written.replace(self._file)

    def close(self) -> None:
        """Let the inbox go."""
        self._api.close()
