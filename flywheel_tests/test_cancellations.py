"""Cancellations that are retractions: they add up as negative rows do, whatever becomes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel_assets import Aggregation, Cancellation, Fact
from flywheel_assets.flywheels.repurchase import order_line
from flywheel_assets.point_in_time import windows
from flywheel_assets.stages.collect import observation_schema
from flywheel_assets.stages.organize import fact_schema, facts

DAY = timedelta(days=1)
OPENED = datetime(2026, 1, 1, 10, tzinfo=UTC)
MORNINGS = pl.DataFrame(
    {
        "customer_id": pl.Series([7] * 13, dtype=pl.Int64),
        "as_of": [OPENED.replace(hour=0) + n * DAY for n in range(1, 14)],
    }
)


def modelled(becomes: Any) -> Fact:
    """Declare a fact whose cancellations become one thing or the other."""
    rule = Cancellation(
        when=pl.col("invoice").str.starts_with("C"),
        becomes=becomes,
        match=("customer_id",),
        measures=("quantity",),
    )
    return Fact(
        name="line",
        observation=order_line,
        owners=["team:a"],
        description="Lines.",
        cancellation=rule,
    )


def line(day: int, name: str, quantity: int | None, **links: str) -> dict[str, Any]:
    """Observe an order of so many pieces, a cancellation of a negative number, or a retraction."""
    at = OPENED + (day - 1) * DAY
    invoice = None if quantity is None else "C" if quantity < 0 else "1"
    told = {"invoice": invoice, "quantity": quantity, "customer_id": 7, "unit_price": 1.0}
    when = {"partition_date": at.date(), "event_time": at, "known_at": at}
    blank = dict.fromkeys(observation_schema(order_line))
    return {**blank, **told, **when, "observation_id": name, **links}


def units(observed: list[dict[str, Any]], becomes: str) -> list[int]:
    """Model a day at a time, and add up on each morning; all days at once give the same rows."""
    fact = modelled(becomes)
    rows = pl.DataFrame(observed, schema=dict(observation_schema(order_line)))
    nothing = pl.DataFrame(schema=dict(fact_schema(fact)))
    daily = nothing
    for day in rows.partition_by("partition_date", maintain_order=True):
        daily = pl.concat([daily, facts(day, daily, fact)])
    assert daily.equals(facts(rows, nothing, fact))
    asked = Aggregation(name="units", function="sum", column="quantity")
    return windows(daily, MORNINGS, [asked], by=["customer_id"])["units"].to_list()


ORDERED = line(1, "order", 5)
CANCELLED = line(2, "cancel", -5)


@pytest.mark.parametrize(
    ("later", "left"),
    [
        ([line(3, "undo", None, retracts="cancel")], [5, 0, 5]),
        ([line(3, "undo", None, retracts="cancel"), line(4, "again", -5)], [5, 0, 5, 0]),
        ([line(3, "fix", -5, corrects="cancel")], [5, 0, 0]),
        ([line(3, "fix", -3, corrects="cancel")], [5, 0, 2]),
        ([line(2, "undo", None, retracts="cancel")], [5, 5]),
        ([line(2, "fix", -3, corrects="cancel")], [5, 2]),
        (
            [line(3, "fix", -3, corrects="cancel"), line(4, "mend", -4, corrects="cancel")],
            [5, 0, 2, 1],
        ),
    ],
    ids=lambda case: ", ".join(row["observation_id"] for row in case if isinstance(row, dict)),
)
def test_what_a_cancellation_withdrew_is_back_when_it_is_withdrawn_or_corrected(
    later: list[dict[str, Any]], left: list[int]
) -> None:
    """The order counts again, with what is left of it, from the moment at which that is known."""
    found = units([ORDERED, CANCELLED, *later], "retraction")
    assert found == left + left[-1:] * (len(found) - len(left))


def test_a_cancellation_that_was_wrong_and_matched_nothing_is_replaced() -> None:
    """Fifty pieces were never ordered; corrected to five, five are taken off."""
    wrong = [ORDERED, line(2, "cancel", -50), line(3, "fix", -5, corrects="cancel")]
    assert units(wrong, "retraction")[:3] == [5, -45, 0]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["order", "order", "cancel", "undo", "fix"]),
            st.sampled_from([2, 5]),
            st.integers(0, 50),
        ),
        max_size=12,
    )
)
def test_retractions_add_up_as_negative_rows_do(
    drawn: list[tuple[int, str, int, int]],
) -> None:
    """On every morning, where cancellations are withdrawn and corrected, each once."""
    rows: list[dict[str, Any]] = []
    open_ones: list[str] = []
    day = 1
    for n, (later, kind, pieces, which) in enumerate(drawn):
        day, name = min(day + later, 12), f"{n:02}"
        if kind in {"order", "cancel"}:
            rows.append(line(day, name, pieces if kind == "order" else -pieces))
            open_ones += [name] if kind == "cancel" else []
        elif open_ones:
            about = open_ones.pop(which % len(open_ones))
            undone = kind == "undo"
            link = {"retracts" if undone else "corrects": about}
            rows.append(line(day, name, None if undone else -pieces, **link))
    assert units(rows, "retraction") == units(rows, "negative_fact")
