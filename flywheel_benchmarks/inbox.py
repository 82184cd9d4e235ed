"""A million observations, 30% of them sent again days apart: exact facts, and at what cost.

Run ``python -m flywheel_benchmarks.inbox [records] [days]``. Each day's new records and those sent
again go through the inbox in batches of 1,000, then the day is collected. The cost of a receipt on
the last days, with history beyond the horizon, is compared with that on the first day after the
horizon filled up, in the same run.
"""

import random
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import polars as pl

from flywheel_assets import Observation
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox, Received
from flywheel_tests.clicks import DAY, START, click, home_with, sent, us

HORIZON = 7
BATCH = 1_000
logged = Observation(
    name="click",
    entity=click.entity,
    owners=click.owners,
    description=click.description,
    fields=click.fields,
    duplicates_within=timedelta(days=HORIZON),
)


def receive(inbox: Inbox, records: list[Received]) -> float:
    """Put records in batches, and give the processor seconds that it took."""
    begun = time.process_time()
    for start in range(0, len(records), BATCH):
        inbox.put(records[start : start + BATCH])
    return time.process_time() - begun


def day_of(home: Home, day: int, records: list[Received]) -> tuple[float, float]:
    """Receive and collect a day: processor microseconds for a receipt, seconds to collect."""
    now = us(day)
    inbox = Inbox(home.inbox, clock=lambda: now)
    spent = receive(inbox, records)
    inbox.close()
    begun = time.process_time()
    partition = START + day * DAY
    Collecting(logged, home, Settings(start=START)).collect(partition, partition)
    return spent / max(len(records), 1) * 1e6, time.process_time() - begun


def main(total: int = 1_000_000, days: int = 30) -> None:
    """Print a line for each day, and whether the facts are exact."""
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        home = home_with(Path(folder))
        unique = round(total / 1.3)
        again: list[list[Received]] = [[] for _ in range(days)]
        costs, received, number = [], 0, 0
        for day in range(days):
            fresh = []
            for _ in range(unique * (day + 1) // days - unique * day // days):
                fresh.append(sent(f"{chance.getrandbits(128):032x}", number, day=day))
                number += 1
            for record in fresh:
                if chance.random() < 0.3:
                    later = min(day + chance.randint(0, HORIZON), days - 1)
                    again[later].append(record)
            records = [*fresh, *again[day]]
            again[day] = []
            chance.shuffle(records)
            received += len(records)
            put, collected = day_of(home, day, records)
            costs.append(put)
            size = sum(f.stat().st_size for f in home.inbox.iterdir()) / 1e6
            print(
                f"day {day}: {len(records):,} received at {put:.1f} us each, "
                f"collected in {collected:.1f} s; the inbox is {size:.0f} MB",
                flush=True,
            )
        table = pl.read_delta(str(home.lakehouse / "collect" / "click"))
        accounts = pl.read_delta(str(home.lakehouse / "collect" / "click_accounts"))
        exact = table.height == table["observation_id"].n_unique() == number
        exact &= set(table["visitor_id"]) == set(range(number))
        sums = accounts.select("received", "collected", "rejected", "duplicates").sum().row(0)
        print(f"sent {received:,}; received, collected, rejected, duplicates: {sums}")
        early, late = costs[HORIZON : HORIZON + 5], costs[-5:]
        print(f"facts exact: {exact and sums == (received, number, 0, received - number)}")
        print(f"cost of a receipt, last 5 days over days 8 to 12: {min(late) / min(early):.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
