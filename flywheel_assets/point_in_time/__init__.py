"""The window engine: what was true of an entity at a moment, as known at that moment.

A library of its own: columns in, columns out.

>>> from datetime import UTC, datetime, timedelta
>>> import polars as pl
>>> from flywheel_assets import Aggregation
>>> from flywheel_assets.point_in_time import windows
>>> events = pl.DataFrame({"card": [1, 1], "event_time": [datetime(2026, 1, d, tzinfo=UTC)
...                        for d in (1, 2)], "amount": [5.0, 7.0]})
>>> spine = pl.DataFrame({"card": [1], "as_of": [datetime(2026, 1, 3, tzinfo=UTC)]})
>>> spent = Aggregation(name="spent_2d", function="sum", column="amount", window=timedelta(days=2))
>>> windows(events, spine, [spent], by=["card"])["spent_2d"].to_list()
[12.0]
"""

from flywheel_assets.point_in_time.as_of import Moments, as_of
from flywheel_assets.point_in_time.conventions import Conventions
from flywheel_assets.point_in_time.snapshot import snapshot
from flywheel_assets.point_in_time.windows import windows

__all__ = ["Conventions", "Moments", "as_of", "snapshot", "windows"]
