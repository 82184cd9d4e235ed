"""Compiled loops: kept on disk, also where nothing of ours can be written."""

import os
import subprocess
import sys
from pathlib import Path

COUNTED = """
import os
os.access = lambda *_, **__: False
import numpy as np
from flywheel_assets.point_in_time.kernels.order import count
counts = np.zeros(3, np.int64)
count(0, 4, np.array([5, 6, 5, 7]), 5, counts)
print(*counts, sum(count.stats.cache_hits.values()))
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
