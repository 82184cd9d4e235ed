"""What the first call costs: compiling, loading compiled loops in a new process, a warm call.

Run it by ``python -m flywheel_benchmarks.first_call``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta

import polars as pl

from flywheel_assets import Aggregation

FAMILIES = ("sum", "stddev", "max", "last", "n_unique")


def call(functions: tuple[str, ...], n: int = 1_000) -> float:
    """Compute some functions over a thousand rows, and say how many seconds it took."""
    from flywheel_assets.point_in_time import windows

    begin = datetime(2026, 1, 1, tzinfo=UTC)
    times = [begin + timedelta(minutes=i) for i in range(n)]
    events = pl.DataFrame({"entity": [i % 50 for i in range(n)], "event_time": times})
    events = events.with_columns(value=pl.int_range(n).cast(pl.Float64))
    spine = events.select("entity", pl.col("event_time").alias("as_of"))
    asked = [
        Aggregation(name=f, function=f, column="value", window=timedelta(hours=5))  # type: ignore[arg-type]
        for f in functions
    ]
    begun = time.perf_counter()
    windows(events, spine, asked, by=["entity"])
    return time.perf_counter() - begun


def main() -> None:
    """Print a line for each kind of first call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions")
    options = parser.parse_args()
    if options.functions:
        functions = tuple(options.functions.split(","))
        first = call(functions)
        warm = min(call(functions) for _ in range(5))
        print(f"{first:.3f} {warm:.3f}")
        return
    for functions in (*((f,) for f in FAMILIES), FAMILIES):
        with tempfile.TemporaryDirectory() as cache:
            name = ",".join(functions)
            command = [sys.executable, "-m", "flywheel_benchmarks.first_call", "--functions", name]
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            cold, new = (
                subprocess.run(  # noqa: S603  our own module
                    command, env=environment, stdout=subprocess.PIPE, text=True, check=True
                ).stdout.split()
                for _ in range(2)
            )
        print(f"{name}: first ever {cold[0]} s, first in a new process {new[0]} s, warm {new[1]} s")


if __name__ == "__main__":
    main()
