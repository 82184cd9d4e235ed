"""What a model expects of each candidate, for each action."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predicted:
    """What a model expects.

    Parameters
    ----------
    expected : ndarray of float64, (n_rows, n_actions) or (n_rows, 1)
        The outcome or reward expected under each of the policy's actions, in their order; one
        column for a model that knows nothing of actions.
    replicates : ndarray of float64, (n_replicates, n_rows, n_actions), optional
        The same by each of the model's replicates.
    """

    expected: Floats
    replicates: Floats | None = None


Scorer: TypeAlias = Callable[[pl.DataFrame], Predicted]
"""Of what decisions see, (n_rows, ...)."""


def action_numbers(rows: pl.DataFrame, actions: Sequence[str]) -> npt.NDArray[np.int64]:
    """Say which of the policy's actions each decision took, (n_rows,); -1 for none of them."""
    numbers = {action: number for number, action in enumerate(actions)}
    return rows["action"].replace_strict(numbers, default=-1, return_dtype=pl.Int64).to_numpy()
