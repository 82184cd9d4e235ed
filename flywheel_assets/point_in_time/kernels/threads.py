"""Running a compiled loop over parts of the entities, on all cores.

Compiled loops release the interpreter's lock, so plain threads run them side by side. That compiles
several times faster than loops that are parallel themselves, and may be called from any thread.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PARTS_A_CORE = 8
_SMALL = 20_000
"""Below so many rows, a second thread costs more than it saves."""


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(loop: Callable[..., None], parts: Iterable[tuple[int, int]], *arguments: Any) -> None:
    """Call ``loop(first, last, *arguments)`` for each part."""
    todo = list(parts)
    if len(todo) == 1 or cores() == 1:
        for first, last in todo:
            loop(first, last, *arguments)
        return
    pool = _pool(os.getpid())
    for done in [pool.submit(loop, first, last, *arguments) for first, last in todo]:
        done.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="windows")


def rows_in_parts(n_rows: int, width: int = 1) -> list[tuple[int, int]]:
    """Part rows of so many values evenly, one part for each core."""
    k = cores() if n_rows * width > _SMALL else 1
    return [(n_rows * i // k, n_rows * (i + 1) // k) for i in range(k)]


def entities_in_parts(*starts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Part entities into runs of about equal numbers of rows and queries.

    Parameters
    ----------
    starts : ndarray of int64, (n_entities + 1,)
        Where the rows of each entity begin; likewise of the queries.
    """
    work = np.arange(starts[0].size, dtype=np.int64)
    for begins in starts:
        work += begins
    k = cores() * _PARTS_A_CORE if work[-1] > _SMALL else 1
    edges = np.searchsorted(work, work[-1] * np.arange(k + 1) // k)
    edges[0], edges[-1] = 0, work.size - 1
    return [(int(a), int(b)) for a, b in pairwise(edges) if a < b]
