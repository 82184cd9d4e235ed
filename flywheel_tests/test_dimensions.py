"""Dimensions: at any moment what is newest of all that was known, however it came in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flywheel_assets import Dimension
from flywheel_assets.stages.collect import observation_schema
from flywheel_assets.stages.organize import changes, dimension_schema, looked_up
from flywheel_tests.clicks import DAY, OWNERS, START, click, visitor

WHERE = Dimension(
    name="visitor",
    entity=visitor,
    observation=click,
    attributes=("page",),
    owners=OWNERS,
    description="Where somebody is.",
)
BEGUN = datetime(START.year, START.month, START.day, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
UTC_TIME = pl.Datetime("us", "UTC")
Row = tuple[int, str, timedelta, timedelta]
"""A visitor, a page, when it became known after the first day began, how long after the event."""


def told(rows: Sequence[Row]) -> pl.DataFrame:
    """Make collected clicks, each in the partition of the day on which it became known."""
    return pl.DataFrame(
        [
            {
                "partition_date": (BEGUN + known).date(),
                "observation_id": f"{i:02}",
                "event_time": BEGUN + known - ago,
                "known_at": BEGUN + known,
                "visitor_id": who,
                "page": page,
            }
            for i, (who, page, known, ago) in enumerate(rows)
        ],
        schema=observation_schema(click),
    )


def made(rows: pl.DataFrame, spans: Sequence[int]) -> pl.DataFrame:
    """Make the dimension a range of days at a time, of so many days each."""
    table = pl.DataFrame(schema=dimension_schema(WHERE))
    first = START
    for days in spans:
        span = rows.filter(pl.col("partition_date").is_between(first, first + (days - 1) * DAY))
        table = pl.concat([table, changes(span, table, WHERE, rows.lazy())])
        first += days * DAY
    return table.sort(table.columns)


def at_moments(table: pl.DataFrame, moments: Sequence[datetime]) -> list[str | None]:
    """Look up both visitors at each moment."""
    spine = pl.DataFrame(
        [(who, moment) for moment in moments for who in (1, 2)],
        schema={"visitor_id": pl.Int64(), "as_of": UTC_TIME},
        orient="row",
    )
    return looked_up(spine, table, WHERE, ["page"])["page"].to_list()


def by_hand(rows: pl.DataFrame, moments: Sequence[datetime]) -> list[str | None]:
    """Take the newest by event_time, known_at and id of all that had happened and was known."""
    found: list[str | None] = []
    records = rows.rows(named=True)
    for moment in moments:
        for who in (1, 2):
            there = [
                (r["event_time"], r["known_at"], r["observation_id"], r["page"])
                for r in records
                if r["visitor_id"] == who and max(r["event_time"], r["known_at"]) < moment
            ]
            found.append(max(there)[-1] if there else None)
    return found


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# Few moments, so that many are equal; some events are a little ahead of what is known.
_known = st.builds(
    lambda day, time: day * DAY + time,
    st.integers(0, 5),
    st.sampled_from(
        [0 * HOUR, MINUTE, 12 * HOUR, 23 * HOUR + 57 * MINUTE, 24 * HOUR - MICROSECOND]
    ),
)
_ago = st.sampled_from(
    [0 * HOUR, -MINUTE, -3 * MINUTE, -5 * MINUTE, HOUR, 12 * HOUR, DAY, DAY + HOUR, 3 * DAY]
)
_rows = st.lists(
    st.tuples(st.integers(1, 2), st.sampled_from("xyz"), _known, _ago), min_size=1, max_size=12
)


@settings(max_examples=300, deadline=None)
@given(rows=_rows, spans=st.lists(st.integers(1, 3), min_size=6, max_size=6))
@example(
    rows=[
        (1, "x", 20 * HOUR, 10 * HOUR),
        (1, "x", 2 * DAY + 20 * HOUR, 8 * HOUR),
        (1, "z", 3 * DAY + 20 * HOUR, DAY + 9 * HOUR),
    ],
    spans=[1] * 6,
)
@example(
    rows=[
        (1, "x", 20 * HOUR, 10 * HOUR),
        (1, "y", DAY + 20 * HOUR, DAY + 15 * HOUR),
        (1, "x", 2 * DAY + 20 * HOUR, 8 * HOUR),
        (1, "z", 3 * DAY + 20 * HOUR, 2 * DAY + 9 * HOUR),
    ],
    spans=[1] * 6,
)
def test_a_dimension_is_the_newest_of_what_was_known(rows: list[Row], spans: list[int]) -> None:
    """At every moment, late news and all, and the same rows however many days are made at once."""
    observed = told(rows)
    whole = made(observed, [6])
    assert made(observed, [1] * 6).equals(whole)
    assert made(observed, spans).equals(whole)
    times = {t for c in ("event_time", "known_at") for t in observed[c]}
    moments = sorted({t + d for t in times for d in (-MICROSECOND, 0 * HOUR, MICROSECOND)})
    moments.append(BEGUN + 9 * DAY)
    assert at_moments(whole, moments) == by_hand(observed, moments)


@pytest.mark.parametrize("late", [0 * HOUR, 3 * DAY])
def test_a_table_does_not_grow_by_what_is_told_again(late: timedelta) -> None:
    """The same row each day is one row, also where each day's comes days late."""
    rows: list[Row] = [(1, "x", day * DAY + 12 * HOUR, late) for day in range(30)]
    assert made(told(rows), [1] * 30).height == 1


def test_only_what_may_be_newer_is_read_again() -> None:
    """News in time needs nothing of what was told before; late news needs it from then on."""
    rows = told([(1, "x", day * DAY + 12 * HOUR, 0 * HOUR) for day in range(5)])
    earlier = made(rows.head(4), [1] * 4)
    read: list[int] = []

    def reading(frame: pl.DataFrame) -> pl.DataFrame:
        read.append(frame.height)
        return frame

    watched = rows.lazy().map_batches(reading)
    assert changes(rows.tail(1), earlier, WHERE, watched).is_empty()
    assert not read
    late = told([(1, "z", 4 * DAY + 12 * HOUR, 2 * DAY)])
    assert changes(late, earlier, WHERE, watched).is_empty()
    assert read
