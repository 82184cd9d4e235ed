"""Off-policy evaluation: what another policy would have earned, from what this one logged.

A library of its own: arrays in, an estimate with its interval out, or the reason why there is none.

>>> from flywheel_assets.off_policy import LoggedDecisions, difference, snips
>>> log = {"reward": [1, 0, 0, 1, 0, 0] * 50, "propensity": [0.5] * 300}
>>> challenger = snips(LoggedDecisions(**log, target=[0.8, 0.35, 0.35] * 100))
>>> champion = snips(LoggedDecisions(**log, target=[0.5, 0.5, 0.5] * 100))
>>> print(champion)
0.3333 (95% interval 0.2812 to 0.3887; effective sample size 300 of 300 rows, largest weight 1)
>>> print(f"{difference(challenger, champion):+.3f}")
+0.200
"""

from flywheel_assets.off_policy.estimate import Estimate, difference
from flywheel_assets.off_policy.estimators import dm, dr, dr_os, ips, replay, snips, switch_dr
from flywheel_assets.off_policy.logged import LoggedDecisions
from flywheel_assets.off_policy.overlap import Bars, Overlap, overlap

__all__ = [
    "Bars",
    "Estimate",
    "LoggedDecisions",
    "Overlap",
    "difference",
    "dm",
    "dr",
    "dr_os",
    "ips",
    "overlap",
    "replay",
    "snips",
    "switch_dr",
]
