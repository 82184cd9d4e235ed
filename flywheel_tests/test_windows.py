"""Windows under two clocks, against a brute force that reads like the definition."""

import math
import statistics
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel_assets import Aggregation
from flywheel_assets.point_in_time import Conventions, Moments, windows

T = datetime(2026, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
SCALARS = (
    *("count", "sum", "mean", "variance", "variance_pop", "stddev", "stddev_pop"),
    *("min", "max", "first", "last", "n_unique"),
)
LISTED = ("first_n", "last_n", "mode", "top_k", "quantile")
SPANS = ((HOUR, False), (DAY, False), (3 * DAY, False), (None, False), (DAY, True), (2 * DAY, True))

Row = dict[str, Any]
Span = tuple[timedelta | None, bool]


def aggregation(function: str, column: str, span: Span, **more: Any) -> Any:
    """Declare one, named after what it is."""
    window, aligned = span
    hours = "all" if window is None else f"{window // HOUR}h{'a' if aligned else ''}"
    options: dict[str, Any] = {
        "first_n": {"n": 2},
        "last_n": {"n": 2},
        "top_k": {"n": 2},
        "quantile": {"q": 0.3},
    }
    return Aggregation(
        name=f"{function}_{column}_{hours}" + "".join(f"_{k}" for k in more),
        function=function,  # type: ignore[arg-type]  # the lists above hold the literal's values
        column=column,
        window=window,
        aligned=aligned,
        **options.get(function, {}),
        **more,
    )


AGGREGATIONS = [
    *(aggregation(f, "value", span) for f in SCALARS for span in SPANS),
    *(aggregation(f, "units", span) for f in SCALARS for span in SPANS[:4]),
    *(
        aggregation(f, "word", SPANS[2])
        for f in ("min", "max", "first", "last", "n_unique", "mode")
    ),
    *(aggregation(f, "units", span) for f in LISTED for span in SPANS[1:4]),
    *(aggregation(f, "units", SPANS[2], by="word") for f in ("sum", "count", "last")),
    *(aggregation(f, "value", SPANS[2], where=pl.col("units") > 0) for f in SCALARS),
    aggregation("ratio", "units", SPANS[2], over="value"),
]

# the definition -----------------------------------------------------------------------------------


def current(
    events: list[Row], known: Callable[[Row], bool], root: Callable[[Row], str]
) -> list[Row]:
    """Keep of each observation its last known version, unless that withdraws it."""
    versions: dict[str, list[Row]] = {}
    for row in sorted(events, key=lambda r: (r["known_at"], r["observation_id"])):
        versions.setdefault(root(row), []).append(row)
    found = []
    for name, rows in versions.items():
        later = [r for r in rows if r["observation_id"] != name and known(r)]
        first = [r for r in rows if r["observation_id"] == name and known(r)]
        found += later[-1:] or first
    return [r for r in found if r["retracts"] is None]


def window(events: list[Row], query: Row, a: Aggregation, conventions: Conventions) -> list[Row]:
    """Take the rows of one window, in their order."""
    by_id = {r["observation_id"]: r for r in events}

    def root(row: Row) -> str:
        about = row["corrects"] or row["retracts"]
        return root(by_id[about]) if about in by_id else about or row["observation_id"]

    t = query["as_of"] - conventions.lag
    end = t + MICROSECOND if conventions.upper == "included" else t
    begin = datetime.min.replace(tzinfo=UTC)
    if a.window is not None:
        begin = t - a.window + (MICROSECOND if conventions.lower == "excluded" else 0 * HOUR)
    if a.aligned and a.window is not None:
        begin = begin.replace(hour=0, minute=0, second=0, microsecond=0)

    def known(row: Row) -> bool:
        return not conventions.availability or row["known_at"] < end + conventions.settle

    rows = [
        r
        for r in current(events, known, root)
        if r["entity"] == query["entity"] and begin <= r["event_time"] < end
    ]
    return sorted(rows, key=lambda r: (r["event_time"], r["known_at"], r["observation_id"]))


def applied(rows: list[Row], a: Aggregation) -> Any:
    """Compute one aggregation over the rows of a window."""
    if a.where is not None:
        rows = [r for r in rows if r["units"] is not None and r["units"] > 0]
    if a.function == "ratio":
        above, below = (
            math.fsum(r[c] for r in rows if r[c] is not None) for c in ("units", "value")
        )
        return None if below == 0 else above / below
    if a.by is not None:
        keys = {r[a.by] for r in rows if r[a.column or ""] is not None}
        grouped = [(k, [r for r in rows if r[a.by] == k]) for k in sorted(keys, key=str)]
        plain = Aggregation(name="x", function=a.function, column=a.column)
        return [{a.by: k, "value": applied(mine, plain)} for k, mine in grouped]
    values = [r[a.column or ""] for r in rows if r[a.column or ""] is not None]
    return FUNCTIONS[a.function](values)


def sums(values: list[Any]) -> Any:
    """Add up, to NaN where there is one."""
    return sum(values)


def some(function: Callable[[list[Any]], Any], least: int = 1) -> Callable[[list[Any]], Any]:
    """Give null where there are too few values, and NaN where one is NaN."""

    def found(values: list[Any]) -> Any:
        if any(v != v for v in values):  # noqa: PLR0124  NaN
            return math.nan if len(values) >= least else None
        return function(values) if len(values) >= least else None

    return found


def extreme(function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """Pass over NaN unless there is nothing else."""

    def found(values: list[Any]) -> Any:
        numbers = [v for v in values if v == v]  # noqa: PLR0124  not NaN
        return None if not values else function(numbers) if numbers else math.nan

    return found


def frequent(values: list[Any]) -> list[Any]:
    """Put the most frequent first, then the smaller."""
    return sorted(set(values), key=lambda v: (-Counter(values)[v], v))


def quantile(values: list[Any]) -> Any:
    """Interpolate the quantile 0.3."""
    ordered = sorted(values)
    place = 0.3 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": sums,
    "n_unique": lambda v: len({"NaN" if x != x else x for x in v}),  # noqa: PLR0124  NaN
    "mean": some(statistics.fmean),
    "variance": some(statistics.variance, 2),
    "variance_pop": some(statistics.pvariance),
    "stddev": some(statistics.stdev, 2),
    "stddev_pop": some(statistics.pstdev),
    "min": extreme(min),
    "max": extreme(max),
    "first": lambda v: v[0] if v else None,
    "last": lambda v: v[-1] if v else None,
    "first_n": lambda v: v[:2],
    "last_n": lambda v: v[-2:],
    "mode": lambda v: frequent(v)[0] if v else None,
    "top_k": lambda v: frequent(v)[:2],
    "quantile": some(quantile),
}

# any events, any spine ----------------------------------------------------------------------------

event = st.fixed_dictionaries(
    {
        "entity": st.integers(0, 2),
        "hour": st.integers(-100, 6),
        "delay": st.one_of(st.integers(0, 2), st.integers(0, 60)),
        "value": st.one_of(st.none(), st.integers(-5, 5).map(float), st.just(math.nan)),
        "units": st.one_of(st.none(), st.integers(-5, 5)),
        "word": st.sampled_from(["a", "b", "c"]),
        "about": st.one_of(st.none(), st.none(), st.none(), st.integers(0, 30)),
        "withdraws": st.booleans(),
    }
)
query = st.fixed_dictionaries(
    {"entity": st.integers(0, 3), "hour": st.integers(-40, 40), "micro": st.integers(-1, 1)}
)
conventions = st.builds(
    Conventions,
    lower=st.sampled_from(["included", "excluded"]),
    upper=st.sampled_from(["included", "excluded"]),
    availability=st.booleans(),
    lag=st.sampled_from([timedelta(0), 5 * HOUR]),
    settle=st.sampled_from([timedelta(0), timedelta(0), 4 * HOUR]),
)
TIME = pl.Datetime("us", "UTC")
SCHEMA = {
    "observation_id": pl.String(),
    "event_time": TIME,
    "known_at": TIME,
    "entity": pl.Int64(),
    "value": pl.Float64(),
    "units": pl.Int64(),
    "word": pl.String(),
    "corrects": pl.String(),
    "retracts": pl.String(),
}


def observed(drawn: list[Row]) -> list[Row]:
    """Make rows of what was drawn; one that is about another is about one drawn before it."""
    rows = []
    for i, e in enumerate(drawn):
        about = None if e["about"] is None or i == 0 else f"{e['about'] % i:02}"
        happened = T + e["hour"] * HOUR
        rows.append(
            {
                "observation_id": f"{i:02}",
                "event_time": happened,
                "known_at": happened + e["delay"] * HOUR,
                "entity": e["entity"],
                **{c: e[c] for c in ("value", "units", "word")},
                "corrects": None if e["withdraws"] else about,
                "retracts": about if e["withdraws"] else None,
            }
        )
    return rows


def same(found: Any, expected: Any) -> bool:
    """Compare values; floats as far as rounding goes."""
    if isinstance(expected, float) and isinstance(found, float):
        both_nan = math.isnan(expected) and math.isnan(found)
        return both_nan or math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[k], expected[k]) for k in found)
    return bool(found == expected)


def compare(events: list[Row], queries: list[Row], how: Conventions, asked: list[Any]) -> None:
    """Hold the engine against the definition, value by value."""
    spine = pl.DataFrame(queries, schema={"entity": pl.Int64(), "as_of": TIME})
    frame = pl.DataFrame(events, schema=SCHEMA)
    found = windows(frame, spine, asked, by=["entity"], conventions=how)
    assert found.select("entity", "as_of").equals(spine)
    for row, asking in zip(found.iter_rows(named=True), queries, strict=True):
        for a in asked:
            want = applied(window(events, asking, a, how), a)
            assert same(row[a.name], want), (a.name, asking, row[a.name], want)


@settings(deadline=None, max_examples=150)
@given(
    drawn=st.lists(event, max_size=16),
    asked=st.lists(query, max_size=6),
    how=conventions,
    shuffled=st.randoms(),
)
def test_windows_are_what_the_definition_says(
    drawn: list[Row], asked: list[Row], how: Conventions, shuffled: Any
) -> None:
    """Any events, late or early, corrected or withdrawn, in any order, at any moments."""
    events = observed(drawn)
    shuffled.shuffle(events)
    queries = [
        {"entity": q["entity"], "as_of": T + q["hour"] * HOUR + q["micro"] * MICROSECOND}
        for q in asked
    ]
    compare(events, queries, how, AGGREGATIONS)


@settings(deadline=None, max_examples=150)
@given(
    drawn=st.lists(event, min_size=8, max_size=24),
    asked=st.lists(query, min_size=4, max_size=12),
    how=conventions,
    corrected=st.booleans(),
    shuffled=st.randoms(),
)
def test_a_look_up_gives_the_last_row_of_the_window(
    drawn: list[Row], asked: list[Row], how: Conventions, corrected: Any, shuffled: Any
) -> None:
    """In a few crowded hours, so that rows tie; corrections, which take another way, or none."""
    crowded = [{**e, "hour": e["hour"] % 5, "delay": e["delay"] % 4} for e in drawn]
    events = observed([e if corrected else {**e, "about": None} for e in crowded])
    shuffled.shuffle(events)
    queries = [
        {"entity": q["entity"], "as_of": T + q["hour"] % 12 * HOUR + q["micro"] * MICROSECOND}
        for q in asked
    ]
    spine = pl.DataFrame(queries, schema={"entity": pl.Int64(), "as_of": TIME})
    moments = Moments(spine, by=["entity"], conventions=how)
    for age in (None, 2 * HOUR):
        a = aggregation("last", "word", (age, False))
        held = [window(events, q, a, how) for q in queries]
        want = [rows[-1]["observation_id"] if rows else None for rows in held]
        table = pl.DataFrame(events, schema=SCHEMA)
        [found] = moments.newest(table, ["observation_id"], max_age=age)
        assert found.to_list() == want


@pytest.mark.parametrize("seed", range(4))
def test_long_histories_are_folded_in_tiles(seed: int) -> None:
    """Hundreds of rows of one entity, a third late, some corrected: tiles, holes and removals."""
    import random

    chance = random.Random(seed)  # noqa: S311  a repeatable choice, no secret
    drawn = [
        {
            "entity": 0 if chance.random() < 0.9 else 1,
            "hour": chance.randint(-600, 0),
            "delay": chance.choice([0, 0, chance.randint(0, 200)]) if seed else 0,
            "value": chance.choice([None, math.nan, *([float(chance.randint(-9, 9))] * 60)]),
            "units": chance.randint(-9, 9),
            "word": chance.choice("abc"),
            "about": chance.randrange(2_000) if seed > 1 and chance.random() < 0.1 else None,
            "withdraws": chance.random() < 0.5,
        }
        for _ in range(900)
    ]
    events = observed([{**e, "hour": e["hour"]} for e in drawn])
    for i, row in enumerate(events):
        row["observation_id"] = f"{i:04}"
    for i, (row, e) in enumerate(zip(events, drawn, strict=True)):
        about = None if e["about"] is None or i == 0 else f"{e['about'] % i:04}"
        row["corrects"], row["retracts"] = (None, about) if e["withdraws"] else (about, None)
    queries = [
        {"entity": chance.randint(0, 2), "as_of": T + chance.randint(-500, 30) * HOUR}
        for _ in range(25)
    ]
    spans = ((30 * HOUR, False), (200 * HOUR, False), (None, False))
    asked = [aggregation(f, c, s) for f in SCALARS for c in ("value", "units") for s in spans]
    compare(events, queries, Conventions(), asked)
