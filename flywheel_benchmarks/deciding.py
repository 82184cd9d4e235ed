"""A million candidates with 30 features, from frame to decisions, beside bare ``predict_proba``.

Run ``python -m flywheel_benchmarks.deciding [candidates]``. The bare call is given what it likes
best: all rows at once, as a C-ordered float64 matrix that is there already. Both are taken in
turns, in one process; the ratio is that of the fastest turns, once by the clock and once by the
processor's seconds, which other work on the machine spoils less (set OMP_NUM_THREADS=1 there). The
bar is 1.5 for the model that is the default, gradient boosted trees; beside a cheaper one hashes,
ranking and frames weigh more.

Memory is the most that a process had beyond what it had before, each in a process of its own.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets import Flywheel, TopK
from flywheel_assets.flywheels.repurchase import customer_orders, repurchase
from flywheel_assets.stages.model import scorer, train
from flywheel_assets.stages.policy import decide
from flywheel_assets.stages.predicted import Scorer

DAY = date(2026, 3, 1)
N_FEATURES = 30
N_TRAINED_ON = 20_000
TURNS = 3


def declared(estimator: Callable[[], Any] | None) -> Flywheel:
    """Declare the bundled flywheel with as many features, and a capacity of a tenth."""
    features = tuple(
        name for name in customer_orders.descriptions if not name.endswith(("_at", "country"))
    )[:N_FEATURES]
    policy = replace(repurchase.policy, allocation=TopK(capacity=100_000, action="contact"))
    model = replace(repurchase.model, estimator=estimator, features=features)
    return replace(repurchase, model=model, decisions=policy)


def candidates(flywheel: Flywheel, n_rows: int) -> pl.DataFrame:
    """Draw what so many decisions see."""
    random = np.random.default_rng(0)
    closes = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1)
    return pl.DataFrame(
        {
            "customer_id": np.arange(n_rows),
            **{name: random.random(n_rows) for name in flywheel.model.features},
        }
    ).with_columns(pl.lit(closes).cast(pl.Datetime("us", "UTC")).alias("as_of"))


def fitted(flywheel: Flywheel) -> Any:
    """Train on rows whose outcome follows from a few of the features."""
    seen = candidates(flywheel, N_TRAINED_ON)
    names = flywheel.model.features
    odds = (seen[names[0]] + seen[names[1]] * seen[names[2]] - 0.7).to_numpy()
    random = np.random.default_rng(1)
    rows = seen.with_columns(
        pl.lit(DAY).alias("partition_date"),
        pl.col("customer_id").cast(pl.String).alias("decision_id"),
        pl.lit("contact").alias("action"),
        pl.Series("outcome", (random.random(len(seen)) < 1 / (1 + np.exp(-3 * odds)))).cast(
            pl.Int8
        ),
        reward=1.0,
        weight=1.0,
    )
    return train(rows, flywheel)


def logistic() -> Any:
    """Build the cheapest model there is."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200)


MODELS: dict[str, Callable[[], Any] | None] = {"trees": None, "logistic": logistic}


def race(name: str, n_rows: int) -> None:
    """Take bare and whole in turns, and print the fastest."""
    flywheel = declared(MODELS[name])
    trained, seen = fitted(flywheel), candidates(flywheel, n_rows)
    score: Scorer = scorer(trained, flywheel)
    matrix = seen.select(flywheel.model.features).to_numpy(order="c")
    taken: dict[str, list[tuple[float, float]]] = {"bare": [], "whole": []}
    for _ in range(TURNS):
        begun = time.perf_counter(), time.process_time()
        bare = trained.estimator.predict_proba(matrix)[:, 1]
        taken["bare"].append(_since(begun))
        begun = time.perf_counter(), time.process_time()
        predicted = score(seen)
        decide(seen, predicted, flywheel, DAY, 1)
        taken["whole"].append(_since(begun))
        if not np.array_equal(bare, predicted.expected[:, 0]):
            raise SystemExit("in chunks it scores something else")
    for number, what in enumerate(("clock", "processor")):
        bare_s, whole_s = (min(turn[number] for turn in taken[w]) for w in ("bare", "whole"))
        print(
            f"{name:10} {what:10} bare {bare_s:6.2f} s, whole {whole_s:6.2f} s, "
            f"ratio {whole_s / bare_s:5.2f}",
            flush=True,
        )


def _since(begun: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def memory(n_rows: int, *, bare: bool) -> None:
    """Print what one turn takes at most beyond the frame, in a process that did nothing else."""
    flywheel = declared(None)
    trained = fitted(flywheel)
    score = scorer(trained, flywheel)
    decide(candidates(flywheel, 1_000), score(candidates(flywheel, 1_000)), flywheel, DAY, 1)
    seen = candidates(flywheel, n_rows)
    # Linux: forget the peak of what came before.
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    if bare:
        trained.estimator.predict_proba(seen.select(flywheel.model.features).to_numpy(order="c"))
        what = "the matrix and predict_proba"
    else:
        decide(seen, score(seen), flywheel, DAY, 1)
        what = "scoring and deciding"
    print(
        f"{n_rows:>9,} candidates, a frame of {seen.estimated_size() / 1e6:.0f} MB: "
        f"{what} {_peak() - before:.0f} MB more",
        flush=True,
    )


def _peak() -> float:
    """Give the most memory since the peak was forgotten, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(n_rows: int = 1_000_000) -> None:
    """Print ratios, then memory for half as many and for all."""
    for name in MODELS:
        race(name, n_rows)
    for size in (n_rows // 2, n_rows):
        for which in ("bare", "whole"):
            asked = [sys.executable, "-m", "flywheel_benchmarks.deciding", which, str(size)]
            subprocess.run(asked, check=True)  # noqa: S603  ourselves


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in {"bare", "whole"}:
        memory(int(sys.argv[2]), bare=sys.argv[1] == "bare")
    else:
        main(*map(int, sys.argv[1:]))
