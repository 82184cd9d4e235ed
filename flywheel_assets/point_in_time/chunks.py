"""Columns as they lie in memory, chunk by chunk, so that none is copied into one piece first."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Chunks: TypeAlias = list[NDArray[Any]]
"""The values of a column, one array after another."""


def chunks_of(column: pl.Series) -> Chunks:
    """View a column without nulls as arrays, (n_rows,) together."""
    return [chunk.to_numpy() for chunk in column.get_chunks()]


def flat(chunks: Chunks) -> NDArray[Any]:
    """Bring chunks into one array."""
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def size(chunks: Chunks) -> int:
    """Count the values."""
    return sum(chunk.size for chunk in chunks)


def side_by_side(chunks: Chunks, work: Callable[[int, int, NDArray[Any]], None]) -> None:
    """Work through chunks on all cores: ``work(share, first_row, values)``.

    A share is one core's part of the rows; its chunks come in order, one after another.
    """
    from flywheel_assets.point_in_time.kernels.threads import rows_in_parts, spread

    begins = np.cumsum([0, *(chunk.size for chunk in chunks)])
    shares = {part: k for k, part in enumerate(rows_in_parts(int(begins[-1])))}

    def share(first: int, last: int) -> None:
        for begin, chunk in zip(begins[:-1].tolist(), chunks, strict=True):
            start, end = max(first, begin), min(last, begin + chunk.size)
            if start < end:
                work(shares[first, last], start, chunk[start - begin : end - begin])

    spread(share, shares)
