"""The flywheel effect: what learning from one's own decisions earns, in a shop that changes.

Ten worlds, ninety days, a shock on day 45: the flywheel beside a model frozen after its first
training, one that does not explore, the bootstrap rule and an oracle, all in the same worlds with
the same noise. Run it with ``make effect``; ``--seeds 2 --days 60`` is a quick look. Stopped and
started again it goes on where it was; remove ``data/effect`` after a change.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets.flywheels.shop_contacts import shop_contacts
from flywheel_assets.rehearsal import Rehearsal, without_exploration
from flywheel_assets.stages.clock import days
from flywheel_assets.worlds.shop import Customers, Shock, Shop, ShopConfig
from flywheel_assets.worlds.shop_observer import WatchedShop
from flywheel_assets.worlds.shop_world import ShopWorld
from flywheel_benchmarks.effect_figures import comparable, markdown, plot

START = date(2026, 1, 5)
SHOCK_DAY = 45
N_CUSTOMERS = 12_000
"""Four times the shop that flywheels are usually turned in, and as many contacts: what limits
learning is evidence, and this is as much as ten worlds can be run with in a quarter of an hour."""
CAPACITY = shop_contacts.policy.capacity or 0
REFERENCES: dict[str, tuple[type[Shop], Callable[[Any, int], Customers]]] = {
    "oracle": (Shop, Shop.best),
    "all but noise": (Shop, Shop.guess),
    "ideal observer": (WatchedShop, WatchedShop.believed),
    "bootstrap": (Shop, Shop.recent),
}
"""Policies that look into the shop: ``all but noise`` lacks only each customer's own response, and
the ``ideal observer`` also the rate of orders and who has left, which it infers from the orders."""


@dataclass(frozen=True)
class Task:
    """One policy in one world."""

    policy: str
    seed: int
    n_days: int
    folder: Path

    @property
    def file(self) -> Path:
        """Where the result is kept."""
        return self.folder / f"{self.seed}-{self.policy.replace(' ', '_')}-{self.n_days}.parquet"

    @property
    def world(self) -> ShopConfig:
        """The world, with its shock."""
        shock = Shock(day=START + timedelta(days=SHOCK_DAY))
        return ShopConfig(start=START, n_customers=N_CUSTOMERS, seed=self.seed, shock=shock)

    @property
    def last(self) -> date:
        """The last day."""
        return START + timedelta(days=self.n_days - 1)


def run(task: Task) -> pl.DataFrame:
    """Run a policy in a world.

    Returns
    -------
    DataFrame, (n_days, ...)
        ``policy``, ``seed``, ``day`` from 0, and ``expected``: the pounds that the day's contacts
        were expected to add, by the shop's own hidden numbers. What was run before is read.
    """
    if task.file.exists():
        return pl.read_parquet(task.file)
    expected = _refer(task) if task.policy in REFERENCES else _rehearse(task)
    frame = pl.DataFrame({"day": range(task.n_days), "expected": expected}).with_columns(
        pl.lit(task.policy).alias("policy"), pl.lit(task.seed).alias("seed")
    )
    task.file.parent.mkdir(parents=True, exist_ok=True)
    part = task.file.with_suffix(".part")
    frame.write_parquet(part)
    part.replace(task.file)
    return frame


def _refer(task: Task) -> list[float]:
    kind, choose = REFERENCES[task.policy]
    shop = kind(task.world)

    def turned() -> Iterator[float]:
        for day in days(START, task.last):
            # Nobody can be contacted on the first day: the first decisions are made at its end.
            chosen = choose(shop, CAPACITY) if day > START else []
            yield float(shop.gain()[np.isin(shop.ids, chosen)].sum())
            shop.day(day, chosen)

    return list(turned())


def _rehearse(task: Task) -> list[float]:
    world = ShopWorld(task.world, tells_contacts=True)
    flywheel = shop_contacts
    if task.policy == "no exploration":
        flywheel = without_exploration(flywheel)
    rehearsal = Rehearsal(flywheel, world, learning="once" if task.policy == "frozen" else "always")
    for day in days(START, task.last):
        rehearsal.turn(day)
    return world.expected


def measure(
    seeds: int, n_days: int, processes: int, folder: Path, minutes: float | None = None
) -> pl.DataFrame:
    """Run every policy in every world, and tell how far it is.

    Parameters
    ----------
    minutes : float, optional
        After which no more runs are begun: the figures are then of those that are done.
    """
    # The processes share the cores; threads within them would only wait for each other.
    for library in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(library, "1")
    tasks = [
        Task(policy, seed, n_days, folder)
        for policies in (REFERENCES, ("flywheel", "frozen"), ("no exploration",))
        for seed in range(seeds)
        for policy in policies
    ]
    done = [run(task) for task in tasks if task.file.exists()]
    if minutes is not None and minutes <= 0:
        tasks = []
    new = [task for task in tasks if not task.file.exists()]
    ends = math.inf if minutes is None else time.perf_counter() + 60 * minutes
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(run, task) for task in new]
        for finished in _told(as_completed(running), len(new)):
            if not finished.cancelled():
                done.append(finished.result())
            if time.perf_counter() > ends:
                pool.shutdown(wait=False, cancel_futures=True)
    return pl.concat(done).sort("policy", "seed", "day")


def _told(finished: Iterator, total: int) -> Iterator:  # type: ignore[type-arg]  # of futures
    """Show a bar in a terminal, and a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import track

    console = Console()
    if console.is_terminal:
        yield from track(finished, "worlds x policies", total=total, console=console)
        return
    begun = time.perf_counter()
    for number, one in enumerate(finished, 1):
        yield one
        if number % 6 == 0 or number == total:
            print(f"{number} of {total} runs, {time.perf_counter() - begun:.0f} s", flush=True)


def main() -> None:
    """Measure, and write the plot and the table that the README shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--minutes", type=float, help="After which no more runs are begun; 0 writes what was kept."
    )
    parser.add_argument("--to", type=Path, default=Path("docs"))
    parser.add_argument(
        "--work", type=Path, default=Path("data/effect"), help="Runs are kept here."
    )
    asked = parser.parse_args()
    frame = comparable(measure(asked.seeds, asked.days, asked.processes, asked.work, asked.minutes))
    asked.to.mkdir(parents=True, exist_ok=True)
    rounded = frame.with_columns(pl.col("expected").round(1))
    rounded.pivot("policy", index=["seed", "day"], values="expected").write_csv(
        asked.to / "effect.csv"
    )
    text = markdown(frame, SHOCK_DAY, N_CUSTOMERS, CAPACITY)
    print(text)
    (asked.to / "effect.md").write_text(text)
    (asked.to / "effect.svg").write_text(plot(frame, SHOCK_DAY))


if __name__ == "__main__":
    main()
