"""Windows under two clocks, against a brute force that reads like the definition."""

import math
import statistics
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from flywheel_assets import Aggregation
from flywheel_assets.declare.features import FUNCTIONS
from flywheel_assets.point_in_time.snapshot import ORDER, snapshot

T = datetime(2026, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
AGGREGATIONS = [
    Aggregation(
        name=f"{function}_{days}",
        function=function,  # type: ignore[arg-type]  # FUNCTIONS lists the literal's values
        column="value",
        window=timedelta(days=days) if days else None,
        description="One of each.",
    )
    for function in FUNCTIONS
    for days in (1, 3, 0)
]

event = st.tuples(
    st.integers(0, 2),
    st.integers(-100, 6),
    st.integers(0, 30),
    st.one_of(st.none(), st.integers(-5, 5).map(float)),
    st.one_of(st.none(), st.none(), st.integers(0, 11)),
)


def frame(events: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Make a fact of events: entity, hour, hours until known, value, what it withdraws."""
    rows = [
        (f"{i:02}", T + h * HOUR, T + (h + d) * HOUR, e, v, None if r is None else f"{r:02}")
        for i, (e, h, d, v, r) in enumerate(events)
    ]
    time = pl.Datetime("us", "UTC")
    schema = {
        "observation_id": pl.String(),
        "event_time": time,
        "known_at": time,
        "entity": pl.Int64(),
        "value": pl.Float64(),
        "retracts": pl.String(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row").sort(ORDER)


def expected(rows: list[dict[str, Any]], aggregation: Aggregation) -> Any:
    """Compute one aggregation of one entity's visible rows, in order."""
    window = aggregation.window
    values = [
        r["value"]
        for r in rows
        if r["value"] is not None and (window is None or r["event_time"] >= T - window)
    ]
    always: dict[str, Callable[[list[float]], Any]] = {
        "count": len,
        "sum": sum,
        "n_unique": lambda v: len(set(v)),
    }
    never_empty: dict[str, Callable[[list[float]], Any]] = {
        "mean": statistics.mean,
        "min": min,
        "max": max,
        "first": lambda v: v[0],
        "last": lambda v: v[-1],
        "stddev": lambda v: statistics.stdev(v) if len(v) > 1 else None,
    }
    if aggregation.function in always:
        return always[aggregation.function](values)
    return never_empty[aggregation.function](values) if values else None


@given(events=st.lists(event, max_size=12))
def test_a_snapshot_is_what_the_definition_says(events: list[tuple[Any, ...]]) -> None:
    """Visible: happened and known before t, not withdrawn by what was known; window [t - w, t)."""
    facts = frame(events)
    seen = [r for r in facts.iter_rows(named=True) if r["event_time"] < T and r["known_at"] < T]
    withdrawn = {r["retracts"] for r in seen}
    visible = [r for r in seen if r["retracts"] is None and r["observation_id"] not in withdrawn]
    found = snapshot(facts, T, ["entity"], AGGREGATIONS)
    assert found["entity"].to_list() == sorted({r["entity"] for r in visible})
    for row in found.iter_rows(named=True):
        mine = [r for r in visible if r["entity"] == row["entity"]]
        for aggregation in AGGREGATIONS:
            want, got = expected(mine, aggregation), row[aggregation.name]
            assert (want is None) == (got is None), aggregation.name
            assert want is None or math.isclose(want, got, abs_tol=1e-9), aggregation.name
