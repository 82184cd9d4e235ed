"""The window engine's arithmetic, types, ties, keys and errors."""

import math
import statistics
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel_assets import Aggregation
from flywheel_assets.errors import ColumnsError, DeclarationError
from flywheel_assets.point_in_time import as_of, windows

T = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def timeline(values: Any, **columns: Any) -> pl.DataFrame:
    """Make events of one entity, a second apart."""
    column = pl.Series("value", values)
    times = pl.datetime_range(T, T + (len(column) - 1) * SECOND, SECOND, eager=True)
    return pl.DataFrame({"event_time": times, "value": column, **columns}).with_columns(
        entity=pl.lit(1, dtype=pl.Int64)
    )


def at(*seconds: int) -> pl.DataFrame:
    """Ask at some seconds."""
    moments = [T + s * SECOND for s in seconds]
    return pl.DataFrame({"as_of": moments}).with_columns(entity=pl.lit(1, dtype=pl.Int64))


def ask(function: Any, window: timedelta | None = None, **more: Any) -> Aggregation:
    """Ask for one aggregation of the value."""
    return Aggregation(name=function, function=function, column="value", window=window, **more)


def test_a_million_values_around_a_spike_sum_as_fsum_does() -> None:
    """1e16, a million small values, -1e16: what rounding would lose is given back."""
    small = np.random.default_rng(0).uniform(-1, 1, 1_000_000)
    values = np.concatenate([[1e16], small, [-1e16], [0.1]])
    events = timeline(values)
    ends = [2, 17, 1_000, 999_999, 1_000_001, 1_000_002, 1_000_003]
    found = windows(events, at(*ends), [ask("sum"), ask("mean")], by=["entity"])
    for end, total, mean in zip(ends, found["sum"], found["mean"], strict=True):
        exact = math.fsum(values[:end])
        assert math.isclose(total, exact, rel_tol=1e-9)
        assert math.isclose(mean, exact / end, rel_tol=1e-9)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e16, 1e200])
def test_a_poisoned_value_touches_only_the_windows_that_hold_it(poison: float) -> None:
    """Windows of 500 before and after it are as clean as if it had never been."""
    clean = np.random.default_rng(1).normal(5, 2, 3_000)
    values = clean.copy()
    values[1_500] = poison
    ends = list(range(600, 3_000, 7))
    asked = [ask(f, 500 * SECOND) for f in ("sum", "mean", "stddev", "variance_pop", "min", "max")]
    dirty = windows(timeline(values), at(*ends), asked, by=["entity"])
    pure = windows(timeline(clean), at(*ends), asked, by=["entity"])
    holds = pl.Series([end - 500 <= 1_500 < end for end in ends])
    assert dirty.filter(~holds).equals(pure.filter(~holds))
    assert holds.sum() > 60
    if math.isnan(poison):
        assert dirty.filter(holds)["sum"].is_nan().all()
        assert dirty.filter(holds)["max"].is_finite().all()
    elif math.isinf(poison):
        assert (dirty.filter(holds)["sum"] == poison).all()
        assert dirty.filter(holds)["stddev"].is_nan().all()


def test_a_small_spread_far_from_zero_is_measured() -> None:
    """Values near 1e9 that differ by 1e-3, in windows across tiles; never a negative variance."""
    values = 1e9 + np.random.default_rng(2).normal(0, 1e-3, 5_000)
    ends = list(range(10, 5_000, 61))
    asked = [ask("stddev", 700 * SECOND), ask("variance", 700 * SECOND)]
    found = windows(timeline(values), at(*ends), asked, by=["entity"])
    for end, deviation in zip(ends, found["stddev"], strict=True):
        exact = statistics.stdev([v - 1e9 for v in values[max(0, end - 700) : end]])
        assert math.isclose(deviation, exact, rel_tol=1e-6)
    same = windows(timeline([0.1] * 1_000), at(*ends[:10]), asked, by=["entity"])
    assert (same["variance"] == 0).all()


def test_results_do_not_depend_on_what_else_is_computed() -> None:
    """To the last bit: with more history, with other moments, in another order."""
    values = np.random.default_rng(3).lognormal(3, 2, 4_000)
    events = timeline(values)
    asked = [ask(f, 900 * SECOND) for f in ("sum", "mean", "stddev", "variance_pop")]
    spine = at(*range(1_000, 4_000, 13))
    whole = windows(events, spine, asked, by=["entity"])
    one_by_one = [
        windows(
            events.filter(pl.col("event_time") >= moment - 900 * SECOND).sample(
                fraction=1, shuffle=True, seed=i
            ),
            spine[i : i + 1],
            asked,
            by=["entity"],
        )
        for i, moment in enumerate(spine["as_of"])
    ]
    assert whole.equals(pl.concat(one_by_one))


def test_integers_are_exact() -> None:
    """Sums beyond 2^53 keep their last digit; sums that would not fit are refused."""
    big = 2**53 + 1
    found = windows(timeline([big, 1, big]), at(3), [ask("sum"), ask("max")], by=["entity"])
    assert found.row(0)[2:] == (2 * big + 1, big)
    with pytest.raises(ColumnsError, match="Float64"):
        windows(timeline([2**62, 2**62]), at(2), [ask("sum")], by=["entity"])
    for n_bits, dtype in ((31, pl.Int32), (32, pl.UInt32), (63, pl.Int64)):
        most = pl.Series([2**n_bits - 1, 1], dtype=dtype)
        asked = [ask("sum", by="word")]
        with pytest.raises(ColumnsError, match=f"found a sum of {2**n_bits}"):
            windows(timeline(most, word="a"), at(2), asked, by=["entity"])
        fits = windows(timeline(most, word=["a", "b"]), at(2), asked, by=["entity"])["sum"]
        assert [pair["value"] for pair in fits[0]] == most.to_list()
    apart = timeline([2**63 - 1, 3]).with_columns(entity=pl.Series([1, 2]))
    assert windows(apart, at(2), [ask("sum")], by=["entity"])["sum"].to_list() == [2**63 - 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", "a", "b"], ("a", "b", "b", 2)),
        ([date(2026, 1, 2), date(2026, 1, 1), date(2026, 1, 2)], None),
        ([T, T - DAY, T], None),
        ([True, False, True], None),
        (pl.Series([3, 1, 3], dtype=pl.Int8), None),
        (pl.Series([3.5, 1.5, 3.5], dtype=pl.Float32), None),
        (pl.Series(["b", "a", "b"], dtype=pl.Categorical), ("a", "b", "b", 2)),
    ],
)
def test_values_keep_their_type(values: Any, expected: Any) -> None:
    """Text, days, times, booleans and small numbers come back as they were."""
    events = timeline(values)
    asked = [ask(f) for f in ("min", "max", "last", "n_unique")]
    row = windows(events, at(3, 0), asked, by=["entity"]).select("min", "max", "last", "n_unique")
    ordered = events["value"].to_list()
    assert row.row(0) == (expected or (min(ordered), max(ordered), ordered[-1], 2))
    assert row.row(1) == (None, None, None, 0)
    assert row["last"].dtype == events["value"].dtype


def test_ties_are_broken_by_known_at_then_by_id() -> None:
    """Whatever order the rows come in, first and last are the same."""
    rows = [("b", T, "late"), ("c", T - SECOND, "first"), ("a", T, "early")]
    events = pl.DataFrame(
        {
            "observation_id": [r[0] for r in rows],
            "event_time": [T - SECOND] * 3,
            "known_at": [r[1] for r in rows],
            "value": [r[2] for r in rows],
            "entity": [1, 1, 1],
        }
    )
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        asked = [ask("first"), ask("last"), ask("last_n", n=2)]
        found = windows(events[order], at(5), asked, by=["entity"])
        assert found.row(0)[2:] == ("first", "late", ["early", "late"])


def test_any_keys_and_every_spine_row_in_its_order() -> None:
    """Text, several columns, nulls, numbers far apart; repeated rows; entities without events."""
    events = pl.DataFrame(
        {
            "shop": ["x", "x", "y", None],
            "card": [10**17, 5, 5, 5],
            "event_time": [T] * 4,
            "value": [1, 2, 3, 4],
        }
    )
    spine = pl.DataFrame(
        {
            "card": [5, 10**17, 5, 7, 5, 5],
            "as_of": [T + DAY] * 5 + [T],
            "shop": ["y", "x", "x", "x", None, "y"],
        }
    )
    found = windows(events, spine, [ask("sum")], by=["shop", "card"])
    assert found.drop("sum").equals(spine)
    assert found["sum"].to_list() == [3, 1, 2, 0, 0, 0]
    far = windows(events, spine, [ask("sum")], by=["card"])
    assert far["sum"].to_list() == [9, 1, 9, 0, 9, 0]
    assert windows(events.clear(), spine, [ask("mean")], by=["card"])["mean"].null_count() == 6
    assert windows(events, spine.clear(), [ask("mean")], by=["card"]).height == 0


@pytest.mark.parametrize(
    "options",
    [
        *({"function": f} for f in ("count", "sum", "mean", "variance", "min", "last", "mode")),
        *({"function": f, "n": 2} for f in ("first_n", "last_n", "top_k")),
        {"function": "quantile", "q": 0.5},
        {"function": "ratio", "over": "value"},
        {"function": "sum", "by": "word"},
    ],
)
def test_types_are_the_same_without_any_rows(options: Any) -> None:
    """A table's schema is read off an empty computation."""
    a = Aggregation(name="x", column="value", **options)
    events = timeline([1, 2], word=["a", "b"])
    full = windows(events, at(2), [a], by=["entity"])
    no_events = windows(events.clear(), at(2), [a], by=["entity"])
    nothing = windows(events.clear(), at(2).clear(), [a], by=["entity"])
    assert full.schema == no_events.schema == nothing.schema


def test_a_look_up_has_a_maximum_age_and_takes_nulls_as_they_are() -> None:
    """The newest row counts even where it holds nothing; one that is too old does not."""
    table = timeline([1, None, 3]).with_columns(other=pl.Series(["a", "b", None]))
    found = as_of(table, at(1, 2, 3, 9), ["value", "other"], by=["entity"], max_age=5 * SECOND)
    assert found["value"].to_list() == [1, None, 3, None]
    assert found["other"].to_list() == ["a", "b", None, None]


@pytest.mark.parametrize(
    ("change", "aggregation", "says"),
    [
        (
            {},
            Aggregation(name="s", function="sum", column="valeu"),
            "did you mean 'value'",
        ),
        ({"value": pl.lit("x")}, ask("sum"), "column of numbers"),
        ({"event_time": pl.lit(None, dtype=pl.Datetime("us", "UTC"))}, ask("sum"), "nulls"),
        ({"event_time": pl.col("event_time").cast(pl.Datetime("ns", "UTC"))}, ask("sum"), "cast"),
        ({"event_time": pl.col("event_time").dt.replace_time_zone(None)}, ask("sum"), "time zone"),
        ({"entity": pl.lit("1")}, ask("sum"), "same type"),
        ({"corrects": pl.lit("a")}, ask("sum"), "observation_id"),
        ({"value": pl.struct("value")}, ask("last"), "unnest"),
        ({"value": pl.lit(2**63, dtype=pl.UInt64)}, ask("last"), "2\\^63"),
    ],
)
def test_what_does_not_fit_is_refused(change: Any, aggregation: Aggregation, says: str) -> None:
    """Each says what was expected, what was found and what to do."""
    events = timeline([1.0, 2.0]).with_columns(**change)
    with pytest.raises(ColumnsError, match=says):
        windows(events, at(2), [aggregation], by=["entity"])


def test_corrections_in_a_circle_replace_nothing() -> None:
    """They stand for themselves, and nothing else is touched; a long chain is no circle."""
    events = timeline([1, 2, 4], observation_id=["a", "b", "c"], corrects=["b", "a", None])
    known = events.with_columns(known_at=pl.col("event_time"))
    assert windows(known, at(3), [ask("sum")], by=["entity"])["sum"].to_list() == [7]
    n = 3_000
    ids = pl.Series([f"{i:05}" for i in range(n)])
    chain = timeline(range(n), observation_id=ids, corrects=ids.shift(1))
    found = windows(chain, at(10, n), [ask("sum"), ask("count")], by=["entity"])
    assert found.select("sum", "count").rows() == [(9, 1), (n - 1, 1)]


@pytest.mark.parametrize("unit", ["ms", "us"])
def test_corrections_hold_whatever_unit_times_are_in(unit: Any) -> None:
    """A correction counts from when it became known; without that, from when it happened."""
    days = pl.Series([T + 5 * DAY, T + 8 * DAY]).dt.cast_time_unit(unit)
    events = pl.DataFrame(
        {
            "event_time": days,
            "value": [2, 30],
            "observation_id": ["a", "b"],
            "corrects": [None, "a"],
            "entity": [1, 1],
        }
    )
    spine = pl.DataFrame({"as_of": [T + 7 * DAY, T + 9 * DAY], "entity": [1, 1]})
    for given in (events, events.with_columns(known_at=pl.col("event_time"))):
        found = windows(given, spine, [ask("sum")], by=["entity"])
        assert found["sum"].to_list() == [2, 30]
        assert as_of(given, spine, ["value"], by=["entity"])["value"].to_list() == [2, 30]


def test_a_retry_that_was_collected_again_breaks_no_chain() -> None:
    """The same id twice is one link."""
    ids, corrects = ["a", "b", "b", "x"], [None, "a", "a", "b"]
    events = timeline([1, 2, 2, 32], observation_id=ids, corrects=corrects)
    assert windows(events, at(9), [ask("sum")], by=["entity"])["sum"].to_list() == [32]


def test_rows_without_a_secondary_key_are_left_out() -> None:
    """They belong to no group."""
    events = timeline([2, 3, 4], word=["b", None, "a"])
    found = windows(events, at(3), [ask("sum", by="word")], by=["entity"])["sum"].to_list()
    assert found == [[{"word": "a", "value": 4}, {"word": "b", "value": 2}]]


def test_an_enum_keeps_its_own_order() -> None:
    """Its greatest is the last declared, not the last in the alphabet."""
    level = pl.Series(["low", "high", "mid"], dtype=pl.Enum(["low", "mid", "high"]))
    row = windows(timeline(level), at(3), [ask("min"), ask("max"), ask("last")], by=["entity"])
    assert row.row(0)[2:] == ("low", "high", "mid")


def test_names_do_not_collide() -> None:
    """A ratio beside what its hidden sum would be called; names of the spine are refused."""
    events = timeline([4.0, 5.0], other=[1.0, 3.0])
    count = Aggregation(name="s_over", function="count")
    ratio = Aggregation(name="s", function="ratio", column="value", over="other")
    assert windows(events, at(2), [ratio, count], by=["entity"]).row(0)[2:] == (2.25, 2)
    for name in ("entity", "as_of"):
        taken = Aggregation(name=name, function="count")
        with pytest.raises(ColumnsError, match="names of their own"):
            windows(events, at(2), [taken], by=["entity"])
    with pytest.raises(ColumnsError, match="names of their own"):
        windows(events, at(2), [count, count], by=["entity"])
    with pytest.raises(ColumnsError, match="key columns"):
        windows(events, at(2).drop("entity"), [count], by=["entity"])
    with pytest.raises(ColumnsError, match="key columns"):
        windows(events, at(2), [count], by=[])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"function": "summ"}, "did you mean 'sum'"),
        ({"function": "last_n"}, "say n"),
        ({"function": "sum", "n": 2}, "without n"),
        ({"function": "quantile", "q": 1.5}, "q from 0 to 1"),
        ({"function": "ratio"}, "say over"),
        ({"function": "sum", "column": None}, "say column"),
        ({"function": "sum", "window": timedelta(0)}, "above zero"),
        ({"function": "ratio", "over": "value", "by": "word"}, "without by"),
    ],
)
def test_an_aggregation_that_cannot_mean_anything_is_refused(options: Any, says: str) -> None:
    """At declaration, before any data."""
    with pytest.raises(DeclarationError, match=says):
        Aggregation(**{"name": "x", "column": "value", **options})


def test_peers_names_are_understood() -> None:
    """What Chronon and Tecton call the same is the same."""
    names = {"average": "mean", "unique_count": "n_unique", "var_pop": "variance_pop"}
    for theirs, ours in names.items():
        assert ask(theirs).function == ours
    assert ask("median").q == 0.5
