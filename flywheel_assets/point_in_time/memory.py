"""New memory for large columns."""

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LARGE = 2**20
"""Bytes from which on memory is asked of the system, not of numpy."""
_PRIVATE: dict[str, int] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
)
"""Shared memory, what one gets elsewhere, takes a sixth longer to come by."""


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Give an array of zeros, whose memory is taken only where it is written.

    As numpy's own, but for the wish for huge pages that numpy utters: where the system has to make
    room for one first, each of them stalls the loop that writes there. Measured with 10 million
    rows: a third of the time of the folds.

    Examples
    --------
    >>> zeros((2, 3), np.int64).tolist()
    [[0, 0, 0], [0, 0, 0]]
    """
    n_bytes = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
    if n_bytes < _LARGE:
        return np.zeros(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, n_bytes, **_PRIVATE), dtype).reshape(shape)
