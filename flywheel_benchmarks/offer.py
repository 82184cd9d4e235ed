"""The offer flywheel on a real trial: ``python -m flywheel_benchmarks.offer FILE``.

FILE is Kevin Hillstrom's e-mail trial. Its 64,000 customers come in 20 batches, a day each, in 20
random orders; the flywheel starts evenly and learns from what came true. Printed is what the
decisions of the last five batches brought, beside the doubly robust estimate of the same policies
from all that the trial did on these days, and the bars.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from flywheel_assets.flywheels.offer import OFFERS, offer
from flywheel_assets.off_policy import Estimate, LoggedDecisions, dr
from flywheel_assets.rehearsal import Rehearsal
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.policy import chances
from flywheel_assets.worlds.trial import Trial, TrialConfig, read_trial

START = date(2026, 1, 5)
SHUFFLES, LAST_BATCHES = 20, 5
BEST_ARM, UNIFORM, BAR = 0.1828, 0.1468, 0.180


@dataclass(frozen=True)
class Run:
    """What the flywheel brought in one order of the customers.

    Parameters
    ----------
    batches : DataFrame, (n_batches, 4)
        ``batch``, and of its decisions that came true how many there were (``n``), the mean
        ``visit`` and the mean ``spend``, dollars.
    visit_rate, spend : float
        Of the decisions of the last five batches that came true.
    estimate : Estimate
        The doubly robust estimate of that visit rate.
    """

    batches: pl.DataFrame
    visit_rate: float
    spend: float
    estimate: Estimate

    @property
    def covered(self) -> bool:
        """Whether the estimate's 95% interval holds what the decisions brought."""
        return self.estimate.lower <= self.visit_rate <= self.estimate.upper


def run(rows: pl.DataFrame, seed: int) -> Run:
    """Turn the flywheel over one order of the customers."""
    trial = Trial(rows, TrialConfig(start=START, seed=seed))
    rehearsal = Rehearsal(offer, trial)
    came, logs = [], []
    for batch, day in enumerate(days(START, trial.last - DAY)):
        came.append(trial.replayed(rehearsal.turn(day)).with_columns(batch=pl.lit(batch)))
        if batch >= trial.n_batches - LAST_BATCHES:
            logs.append(_log(trial, rehearsal))
    means = pl.len().alias("n"), pl.col("visit").mean(), pl.col("spend").mean()
    last = pl.concat(came[-LAST_BATCHES:]).select(*means).row(0, named=True)
    return Run(
        batches=pl.concat(came).group_by("batch").agg(*means).sort("batch"),
        visit_rate=last["visit"],
        spend=last["spend"],
        estimate=dr(_together(logs)),
    )


def _log(trial: Trial, rehearsal: Rehearsal) -> dict[str, np.ndarray[tuple[int, ...], np.dtype]]:
    """Lay out a day of the trial for evaluating what decided on it; no model has seen that day."""
    considered, predicted = rehearsal.considered, rehearsal.predicted
    if predicted is None:
        raise ValueError("no model decides yet: give the trial more batches")
    did = trial.answered(considered)
    numbers = {name: number for number, name in enumerate(OFFERS)}
    return {
        "reward": did["visit"].to_numpy(),
        "propensity": np.full(did.height, 1 / len(OFFERS)),
        "action": did["offer"].replace_strict(numbers, return_dtype=pl.Int64).to_numpy(),
        "target": chances(considered, predicted, offer),
        "predicted": predicted.expected,
    }


def _together(logs: list[dict[str, np.ndarray[tuple[int, ...], np.dtype]]]) -> LoggedDecisions:
    return LoggedDecisions.of_actions(**{n: np.concatenate([g[n] for g in logs]) for n in logs[0]})


def runs(rows: pl.DataFrame, shuffles: int) -> Iterator[Run]:
    """Turn the flywheel over so many orders of the customers."""
    return (run(rows, seed) for seed in range(shuffles))


def uniform_spend(rows: pl.DataFrame) -> tuple[float, float]:
    """Give the mean spend of offers drawn evenly, dollars, and half of its 95% interval."""
    spend = rows["spend"].to_numpy()
    return float(spend.mean()), 1.96 * float(spend.std(ddof=1)) / np.sqrt(spend.size)


def main() -> None:
    """Turn and print."""
    rows = read_trial(Path(sys.argv[1]))
    found = []
    print(f"{'shuffle':>7} {'visits':>7} {'spend':>6}   doubly robust estimate")
    for seed, one in enumerate(runs(rows, SHUFFLES)):
        found.append(one)
        held = "covers" if one.covered else "MISSES"
        low, value, high = one.estimate.lower, one.estimate.value, one.estimate.upper
        print(
            f"{seed:>7} {one.visit_rate:>7.4f} {one.spend:>6.3f}   "
            f"{value:.4f} ({low:.4f} to {high:.4f}) {held}",
            flush=True,
        )
    visits = np.array([one.visit_rate for one in found])
    spend = np.array([one.spend for one in found])
    even, half = uniform_spend(rows)
    print(f"\nby batch: {_by_batch(found)}")
    print(f"visit rate {visits.mean():.4f} (bar {BAR}, best arm {BEST_ARM}, uniform {UNIFORM})")
    print(f"spend ${spend.mean():.3f} (uniform ${even:.3f} +- {half:.3f})")
    estimates = np.array([one.estimate.value for one in found])
    covered = sum(one.covered for one in found)
    print(f"doubly robust estimate {estimates.mean():.4f}; covers in {covered} of {SHUFFLES}")
    if visits.mean() < BAR or spend.mean() < even - half:
        sys.exit("below the bar")


def _by_batch(found: list[Run]) -> str:
    pooled = pl.concat(one.batches for one in found).group_by("batch").agg(pl.col("visit").mean())
    return " ".join(f"{rate:.3f}" for rate in pooled.sort("batch")["visit"])


if __name__ == "__main__":
    main()
