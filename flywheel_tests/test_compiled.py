"""Compiled loops: kept on disk, also where nothing of ours can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNTED = """
import os
os.access = lambda *_, **__: False
import numpy as np
from flywheel_assets.point_in_time.kernels.order import count
counts = np.zeros(3, np.int64)
count(0, 4, np.array([5, 6, 5, 7]), 5, counts)
print(*counts, sum(count.stats.cache_hits.values()))
"""

LOOKED_UP = """
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
import polars as pl
from flywheel_assets.point_in_time import Moments
day = datetime(2026, 1, 1, tzinfo=UTC)
moves = pl.DataFrame({"customer": [7], "event_time": [day], "country": ["UK"]})
spine = pl.DataFrame({"customer": [7], "as_of": [day + timedelta(days=1)]})
moments, together = Moments(spine, by=["customer"]), Barrier(4)
def look_up(_):
    together.wait()
    return moments.newest(moves, ["country"])[0].item()
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(look_up, range(4)))
"""


def test_loops_are_kept_where_nothing_of_ours_can_be_written(tmp_path: Path) -> None:
    """Compiled once into the machine's temporary files, and loaded from there by the next."""
    environment = {n: v for n, v in os.environ.items() if n != "NUMBA_CACHE_DIR"}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    said = [
        subprocess.run(
            [sys.executable, "-c", COUNTED],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["2", "1", "1", "0"], ["2", "1", "1", "1"]]
    assert list(tmp_path.glob("flywheel-loops-*/*/*.nbi"))


@pytest.mark.parametrize("go", range(4))
def test_threads_that_all_come_first_wait_for_each_other_not_for_ever(go: int) -> None:
    """The first calls of a process, at once, as of a service that has just started; 4 times."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKED_UP], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["UK"] * 4
