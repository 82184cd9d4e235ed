"""Off-policy intervals and the truth: ``python -m flywheel_benchmarks.off_policy_coverage``.

Simulated logs with few outcomes and weights from even to wild; the value of choosing evenly is
known. By the log's effective sample size and by the largest row's share of the weight: how often
the 95% interval of `snips` covers it, how often its one-sided lower bound holds, and how often the
normal interval of the same standard error would cover. The default `Bars` are set by it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from flywheel_assets.off_policy import Bars, LoggedDecisions, snips

Floats = npt.NDArray[np.float64]
N_CONTEXTS, NORMAL = 200, 1.959964
NO_BARS = Bars(effective_sample_size=0, weight_share=1, unsupported_share=float("inf"))
WORLDS = ((34, 0.0046), (10, 0.05))
SPREADS, ALIGNMENTS = (1.0, 1.5, 2.0, 2.5, 3.0), (0.0, 0.3, 0.6)
SIZES = ((1_000, 240), (10_000, 120))  # rows, logs
SAMPLE_EDGES = (0, 10, 30, 50, 100, 200, 400, 800, 1_600, float("inf"))
SHARE_EDGES = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.01)


@dataclass(frozen=True)
class World:
    """Contexts with a logging policy and outcome rates.

    Parameters
    ----------
    propensity, rate : ndarray of float64, (n_contexts, n_actions)
    """

    propensity: Floats
    rate: Floats

    @property
    def value(self) -> float:
        """Give what choosing evenly is worth."""
        return float(self.rate.mean())

    def log(
        self, rng: np.random.Generator, n_rows: int, model: Floats | None = None
    ) -> LoggedDecisions:
        """Draw a log, to evaluate choosing evenly on, beside a model of the rates."""
        n_contexts, n_actions = self.rate.shape
        context = rng.integers(n_contexts, size=n_rows)
        below = rng.random(n_rows)[:, None] > self.propensity.cumsum(axis=1)[context]
        action = np.minimum(below.sum(axis=1), n_actions - 1)
        outcome = rng.random(n_rows) < self.rate[context, action]
        return LoggedDecisions(
            reward=outcome.astype(np.float64),
            propensity=self.propensity[context, action],
            target=np.full(n_rows, 1.0 / n_actions),
            predicted=None if model is None else model[context, action],
            predicted_value=None if model is None else model[context].mean(axis=1),
        )


def world(
    rng: np.random.Generator, n_actions: int, rate: float, spread: float, alignment: float
) -> World:
    """Make a world.

    Parameters
    ----------
    rate : float
        Mean outcome rate.
    spread : float
        Standard deviation of the logging policy's preferences, a softmax's logits.
    alignment : float
        Their correlation with the logarithm of the outcome rates, from 0 to 1.
    """
    shape = (N_CONTEXTS, n_actions)
    preference, other = rng.standard_normal(shape), rng.standard_normal(shape)
    chance = np.exp(spread * preference)
    rates = np.exp(0.7 * (alignment * preference + np.sqrt(1 - alignment**2) * other))
    return World(
        propensity=chance / chance.sum(axis=1, keepdims=True),
        rate=np.minimum(rates * rate / rates.mean(), 1.0),
    )


def main() -> None:
    """Simulate and print."""
    found = np.array(list(_measure()))
    print(f"{len(found):,} logs")
    for title, column, edges in (
        ("effective sample size", 0, SAMPLE_EDGES),
        ("share of the weight in one row", 1, SHARE_EDGES),
    ):
        print(f"\n{title:>32} {'logs':>6} {'covers':>7} {'bound':>6} {'normal':>7}")
        for low, high in pairwise(edges):
            rows = found[(found[:, column] >= low) & (found[:, column] < high)]
            covers, bound, normal = rows[:, 2:].mean(axis=0)
            name = f"{low:g} to {high:g}"
            print(f"{name:>32} {len(rows):>6} {covers:>7.2f} {bound:>6.2f} {normal:>7.2f}")


def _measure() -> Iterator[tuple[float, ...]]:
    rng = np.random.default_rng(0)
    for n_actions, rate in WORLDS:
        for spread in SPREADS:
            for n_rows, n_logs in SIZES:
                for number in range(n_logs):
                    if number % 20 == 0:
                        made = world(rng, n_actions, rate, spread, rng.choice(ALIGNMENTS))
                    logged = made.log(rng, n_rows)
                    if logged.reward.any():
                        yield _judge(logged, made.value)


def _judge(logged: LoggedDecisions, value: float) -> tuple[float, ...]:
    found = snips(logged, bars=NO_BARS)
    overlap = found.overlap
    return (
        overlap.effective_sample_size,
        overlap.largest_share,
        found.lower <= value <= found.upper,
        found.lower_bound <= value,
        abs(found.value - value) <= NORMAL * found.standard_error,
    )


if __name__ == "__main__":
    main()
