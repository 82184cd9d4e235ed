"""Chance: numbers that look random and are a function of names, so that any day decides again."""

import numpy as np
import polars as pl
import polars_hash as plh

from flywheel_assets.stages.predicted import Floats

_BITS = 53
"""As many as a float64 holds, so that no number rounds up to one."""


def uniform(names: pl.Series, purpose: str) -> Floats:
    """Give each name a number, uniform in [0, 1).

    Parameters
    ----------
    names : Series of String, (n_names,)
    purpose : str
        What it is for: numbers of the same name for different purposes are independent.

    Examples
    --------
    >>> names = pl.Series(["a", "b", "a"])
    >>> one, other, again = uniform(names, "tie")
    >>> bool(one == again != other), bool(uniform(names, "control")[0] == one)
    (True, False)
    """
    salted = plh.concat_str(pl.lit(f"{purpose}:"), pl.col("name"))
    hashed = pl.DataFrame({"name": names}).select(salted.nchash.xxhash64().alias("hash"))
    kept = hashed["hash"].to_numpy() >> np.uint64(64 - _BITS)
    return kept.astype(np.float64) * 2.0**-_BITS
