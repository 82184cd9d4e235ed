"""What a model expects of each candidate, for each action."""

from collections.abc import Callable
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
