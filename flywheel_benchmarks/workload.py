"""Events with a skew like Zipf's, a fifth of them late and one in a hundred corrected."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

DAY = 86_400_000_000  # microseconds
START = 1_700_006_400_000_000  # a midnight
LATE, CORRECTED = 0.2, 0.01  # shares of the events


@dataclass(frozen=True)
class Workload:
    """How much of everything.

    Parameters
    ----------
    days : int
        The length of the history.
    """

    n_events: int
    n_spine: int
    n_entities: int
    days: int = 365
    seed: int = 0

    def write(self, folder: Path) -> Path:
        """Write ``events.parquet`` in order of arrival, and ``spine.parquet``; once."""
        size = f"{self.n_events}-{self.n_spine}-{self.n_entities}-{self.days}-{self.seed}"
        there = folder / size
        if not (there / "spine.parquet").exists():
            there.mkdir(parents=True, exist_ok=True)
            chance = np.random.default_rng(self.seed)
            share = np.cumsum(1.0 / np.arange(1, self.n_entities + 1) ** 0.7)
            entities = chance.permutation(self.n_entities)

            def drawn(n: int) -> NDArray[np.int64]:
                found: NDArray[np.int64] = np.searchsorted(share, chance.random(n) * share[-1])
                return entities[found]

            self._events(drawn(self.n_events), chance).write_parquet(there / "events.parquet")
            moments = chance.integers(min(30, self.days // 2) * DAY, self.days * DAY, self.n_spine)
            spine = pl.DataFrame({"entity": drawn(self.n_spine), "as_of": START + moments})
            spine.with_columns(_time("as_of")).write_parquet(there / "spine.parquet")
        return there

    def _events(self, entity: NDArray[np.int64], chance: np.random.Generator) -> pl.DataFrame:
        n = self.n_events
        happened = START + chance.integers(0, self.days * DAY, n)
        late = chance.random(n) < LATE
        delay = np.where(late, chance.integers(0, 3 * DAY, n), chance.integers(0, 2_000_000, n))
        events = pl.DataFrame(
            {
                "observation_id": np.arange(n),
                "entity": entity,
                "event_time": happened,
                "known_at": happened + delay,
                "value": np.round(chance.lognormal(3, 1, n), 2),
                "corrects": pl.Series(np.zeros(n, np.int64)).replace(0, None),
            }
        )
        wrong = events.filter(pl.Series(chance.random(n) < CORRECTED))
        later = pl.Series(chance.integers(0, 5 * DAY, wrong.height))
        corrections = wrong.with_columns(
            pl.col("observation_id").alias("corrects"),
            pl.col("observation_id") + n,
            pl.col("known_at") + later,
            pl.col("value") + 1,
        )
        whole = pl.concat([events, corrections]).sort("known_at")
        return whole.with_columns(_time("event_time"), _time("known_at"))


def _time(name: str) -> pl.Expr:
    return pl.from_epoch(pl.col(name), "us").dt.replace_time_zone("UTC").alias(name)
