"""Candidates: who is considered, with what a decision about them sees."""

import polars as pl

from flywheel_assets.declare.candidates import Pairs
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.stages.seen import Snapshots, seen


def candidates(snapshots: Snapshots, flywheel: Flywheel) -> pl.DataFrame:
    """Find who a day's decisions are about.

    Parameters
    ----------
    snapshots : mapping of FeatureView to DataFrame
        Each view's partition of the day.

    Returns
    -------
    DataFrame
        One row for each candidate, with all that its decision sees.
    """
    keys = list(flywheel.entity.keys)
    frame = seen(snapshots[flywheel.views[0]].sort(keys), snapshots, flywheel)
    considered = flywheel.policy.candidates
    if isinstance(considered, Pairs):
        raise NotImplementedError
    return frame.filter(considered)
