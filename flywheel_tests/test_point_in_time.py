"""The window engine equals its definition, read row by row."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel_assets.declare.features import FUNCTIONS, Aggregation
from flywheel_assets.point_in_time.snapshot import ORDER, snapshot
from flywheel_assets.point_in_time.visible import visible

T = datetime(2026, 3, 1, tzinfo=UTC)
DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
TIME = pl.Datetime("us", "UTC")
SCHEMA: dict[str, Any] = {
    "observation_id": pl.String,
    "event_time": TIME,
    "known_at": TIME,
    "who": pl.Int64,
    "value": pl.Float64,
    "retracts": pl.String,
}


@dataclass(frozen=True)
class Row:
    """One row of a fact; `name` is its observation_id."""

    name: str
    event_time: datetime
    known_at: datetime
    who: int
    value: float | None
    retracts: str | None


@dataclass(frozen=True)
class Feature:
    """One windowed feature, in plain Python."""

    function: str
    window: timedelta | None
    positive: bool


# Offsets on a grid of half days, with the edges and the moments beside them, make ties common.
edges = st.sampled_from([timedelta(0), TICK, -TICK, HOUR])
offsets = st.builds(
    lambda halves, edge: halves * DAY / 2 + edge, st.integers(min_value=-12, max_value=2), edges
)
lateness = st.sampled_from([timedelta(0), timedelta(0), TICK, HOUR, DAY, 3 * DAY, -HOUR])
values = st.none() | st.sampled_from([-1.5, 0.0, 0.5, 1.0, 2.0, 7.25])
windows = st.sampled_from([DAY, 2 * DAY, 3 * DAY, 6 * DAY, None])
features = st.builds(Feature, st.sampled_from(FUNCTIONS), windows, st.booleans())


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Draw rows of few entities, some of which withdraw an earlier one."""
    rows: list[Row] = []
    for i in range(draw(st.integers(0, 14))):
        happened = T + draw(offsets)
        target = draw(st.none() | st.sampled_from(rows)) if rows else None
        who = target.who if target else draw(st.integers(1, 3))
        retracts = target.name if target else None
        # Names in random order, so that ties are not broken by the order of drawing.
        name = f"{draw(st.integers(0, 99)):02}-{i}"
        known = happened + draw(lateness)
        rows.append(Row(name, happened, known, who, draw(values), retracts))
    return rows


def table(rows: list[Row], *, retracting: bool = True) -> pl.DataFrame:
    """Write rows as a fact, in the order that `snapshot` asks for."""
    data = [(r.name, r.event_time, r.known_at, r.who, r.value, r.retracts) for r in rows]
    frame = pl.DataFrame(data, schema=SCHEMA, orient="row").sort(ORDER)
    return frame if retracting else frame.drop("retracts")


def declare(asked: list[Feature]) -> list[Aggregation]:
    """Write features as declarations."""
    return [
        Aggregation(
            name=f"f{i}",
            function=feature.function,  # type: ignore[arg-type]
            column="value",
            window=feature.window,
            where=pl.col("value") > 0 if feature.positive else None,
            description="For a test.",
        )
        for i, feature in enumerate(asked)
    ]


APPLY: dict[str, Callable[[list[float]], Any]] = {
    "count": len,
    "sum": sum,
    "n_unique": lambda found: len(set(found)),
    "mean": lambda found: statistics.mean(found) if found else None,
    "min": lambda found: min(found, default=None),
    "max": lambda found: max(found, default=None),
    "stddev": lambda found: statistics.stdev(found) if len(found) > 1 else None,
    "first": lambda found: found[0] if found else None,
    "last": lambda found: found[-1] if found else None,
}


def brute_force(rows: list[Row], at: datetime, asked: list[Feature]) -> list[tuple[Any, ...]]:
    """Compute every feature of every entity as the definition reads."""
    known = [r for r in rows if r.event_time < at and r.known_at < at]
    withdrawn = {r.retracts for r in known}
    seen = [r for r in known if r.name not in withdrawn and r.retracts is None]
    seen.sort(key=lambda r: (r.event_time, r.known_at, r.name))
    starts = [at - f.window if f.window else datetime.min.replace(tzinfo=UTC) for f in asked]
    found = []
    for who in sorted({r.who for r in seen if r.event_time >= min(starts)}):
        mine = [r for r in seen if r.who == who and r.value is not None]
        inside = [
            [r.value for r in mine if r.event_time >= s and r.value > 0]
            if f.positive
            else [r.value for r in mine if r.event_time >= s and r.value is not None]
            for f, s in zip(asked, starts, strict=True)
        ]
        values_of = (APPLY[f.function](v) for f, v in zip(asked, inside, strict=True))
        found.append((who, *values_of))
    return found


@given(rows=histories(), asked=st.lists(features, min_size=1, max_size=4))
def test_the_snapshot_is_its_definition(rows: list[Row], asked: list[Feature]) -> None:
    """Over random late, tied, null and withdrawn rows it equals a brute force of ten lines."""
    found = snapshot(table(rows), T, ["who"], declare(asked))
    expected = brute_force(rows, T, asked)
    assert found.columns == ["who", *(f"f{i}" for i in range(len(asked)))]
    assert found.height == len(expected)
    for got, want in zip(found.rows(), expected, strict=True):
        assert got == pytest.approx(want, nan_ok=False)


@given(rows=histories(), asked=st.lists(features, min_size=1, max_size=4), cut=offsets)
def test_the_future_does_not_matter(rows: list[Row], asked: list[Feature], cut: timedelta) -> None:
    """At a moment, only what was known before it counts: the rest can be cut off."""
    at = T + cut
    past = [row for row in rows if row.known_at < at]
    now = snapshot(table(past), at, ["who"], declare(asked))
    assert snapshot(table(rows), at, ["who"], declare(asked)).equals(now)


@given(rows=histories(), asked=st.lists(features, min_size=1, max_size=4))
def test_a_fact_without_retractions_needs_no_column_for_them(
    rows: list[Row], asked: list[Feature]
) -> None:
    """Where nothing is withdrawn, the column `retracts` makes no difference."""
    kept = [row for row in rows if row.retracts is None]
    with_column = snapshot(table(kept), T, ["who"], declare(asked))
    without = snapshot(table(kept, retracting=False), T, ["who"], declare(asked))
    assert with_column.equals(without)


def one(happened: datetime, known: datetime) -> Row:
    """Make one row of one entity."""
    return Row("a", happened, known, 1, 2.0, None)


@pytest.mark.parametrize(
    ("happened", "known", "counted"),
    [
        (T - DAY, T - DAY, 1),
        (T - DAY - TICK, T - DAY, 0),
        (T - TICK, T - TICK, 1),
        (T, T - TICK, 0),
        (T - TICK, T, 0),
        (T, T, 0),
    ],
    ids=["first in", "just too old", "last in", "happens at t", "known at t", "both at t"],
)
def test_the_edges_of_a_window(happened: datetime, known: datetime, counted: int) -> None:
    """A window is `[t - w, t)` by the time it happened, and `known_at` is below t."""
    count = Aggregation(name="n", function="count", window=DAY, description="Rows.")
    found = snapshot(table([one(happened, known)]), T, ["who"], [count])
    assert found.rows() == ([(1, 1)] if counted else [])


def test_empty_windows_are_zero_or_null() -> None:
    """Count, sum and n_unique of nothing are 0, the rest null, for an entity that is in the view."""
    asked = [Feature(function, DAY, positive=False) for function in FUNCTIONS]
    asked.append(Feature("count", 3 * DAY, positive=False))
    found = snapshot(table([one(T - 2 * DAY, T - 2 * DAY)]), T, ["who"], declare(asked))
    row = dict(zip([*FUNCTIONS, "rows_3d"], found.row(0)[1:], strict=True))
    zero = {"count", "sum", "n_unique"}
    assert row == {**{f: 0 if f in zero else None for f in FUNCTIONS}, "rows_3d": 1}


def test_a_count_of_rows_counts_nulls_too() -> None:
    """Without a column, count is of rows, and an unknown condition is not a true one."""
    rows = [one(T - HOUR, T - HOUR), Row("b", T - HOUR, T - HOUR, 1, None, None)]
    count = Aggregation(name="n", function="count", window=DAY, description="Rows.")
    where = Aggregation(
        name="w", function="count", window=DAY, where=pl.col("value") > 0, description="Above 0."
    )
    assert snapshot(table(rows), T, ["who"], [count, where]).rows() == [(1, 2, 1)]


def test_a_retraction_works_from_when_it_is_known() -> None:
    """Before that its target still counts, whenever the retraction says that it happened."""
    order = one(T - 3 * DAY, T - 3 * DAY)
    back = Row("b", T - 2 * DAY, T - DAY, 1, -2.0, "a")
    frame = table([order, back])
    assert visible(frame, T - DAY)["observation_id"].to_list() == ["a"]
    assert visible(frame, T - DAY + TICK)["observation_id"].to_list() == []


def test_nothing_gives_an_empty_frame_of_the_same_types() -> None:
    """No rows at all is a fine history."""
    asked = declare([Feature(function, DAY, positive=False) for function in FUNCTIONS])
    nothing = snapshot(table([]), T, ["who"], asked)
    something = snapshot(table([one(T - HOUR, T - HOUR)]), T, ["who"], asked)
    assert nothing.height == 0
    assert nothing.schema == something.schema
