"""A declaration tried on literal rows: equal to the loop, strict, and with the fields it names."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.errors import ColumnsError, SourceError
from flywheel_assets.flywheels.repurchase import order_line, repurchase
from flywheel_assets.notebook import open_home
from flywheel_assets.testing import Rows
from flywheel_tests.conftest import FIRST
from flywheel_tests.shelf import START, bought, shelf

DAY = timedelta(days=1)


def line(customer_id: int, at: str, invoice: str = "1", **more: Any) -> dict[str, Any]:
    """Write an order line."""
    said = {"stock_code": "A", "quantity": 2, "unit_price": 1.5, "country": "France"}
    return {
        "customer_id": customer_id,
        "event_time": at,
        "invoice": invoice,
        "description": None,
        **said,
        **more,
    }


def test_it_computes_what_the_loop_did(spun: Turner) -> None:
    """Thousands of collected lines as literal rows: decisions and labels as Dagster made them."""
    home = open_home(spun.home.root)
    collected = home.table("collect/order_line").collect()
    said = [*order_line.schema, "event_time", "known_at", "observation_id"]
    loop = Rows(repurchase, {"order_line": collected.select(said).to_dicts()})
    day = FIRST + 30 * DAY
    theirs = home.table("repurchase/decisions").filter(partition_date=day).collect()
    assert theirs["model_version"].null_count() == theirs.height
    ours = loop.decisions(day)
    assert_frame_equal(ours.sort("rank"), theirs.select(ours.columns).sort("rank"))
    features = home.table("features/customer_orders").filter(partition_date=day).collect()
    seen = loop.features(at=datetime.combine(day + DAY, datetime.min.time(), tzinfo=UTC))
    assert_frame_equal(seen.sort("customer_id"), features.select(seen.columns).sort("customer_id"))
    matured = home.table("repurchase/training_set").collect()
    labels = loop.labels(day).sort("decision_id")
    expected = matured.filter(pl.col("decision_id").is_in(labels["decision_id"].implode()))
    assert 0 < labels["outcome"].sum() < labels.height
    assert_frame_equal(labels, expected.select(labels.columns).sort("decision_id"))


def test_late_and_corrected_rows() -> None:
    """What is known late is not seen before; a correction stands for what it corrects."""
    loop = Rows(
        repurchase,
        {
            "order_line": [
                line(7, "2026-01-05 10:00", observation_id="a"),
                line(7, "2026-01-05 10:00", quantity=4, corrects="a", known_at="2026-01-08 09:00"),
                line(8, "2026-01-05T12:00:00+01:00", known_at=datetime(2026, 1, 7, tzinfo=UTC)),
                {"event_time": "2026-01-09", "customer_id": 8, "retracts": "never told"},
            ]
        },
    )
    seen = [
        loop.features(at=datetime(2026, 1, day, tzinfo=UTC)).sort("customer_id")
        for day in (6, 8, 9)
    ]
    assert [list(zip(f["customer_id"], f["revenue_30d"], strict=True)) for f in seen] == [
        [(7, 3.0)],
        [(7, 3.0), (8, 3.0)],
        [(7, 6.0), (8, 3.0)],
    ]


def test_a_record_that_breaks_the_contract_is_not_dropped() -> None:
    """It is an error that says the reason, or it is kept apart where that was asked for."""
    rows = {"order_line": [line(7, "2026-01-05"), line(8, "2026-01-05", quantity="two")]}
    with pytest.raises(SourceError, match="quantity: expected Int64, found two"):
        Rows(repurchase, rows)
    loop = Rows(repurchase, rows, may_reject=True)
    assert loop.rejected.select("observation", "reason").rows() == [
        ("order_line", "quantity: expected Int64, found two")
    ]
    assert loop.decisions(date(2026, 1, 5))["customer_id"].to_list() == [7]


def test_an_id_that_says_two_things() -> None:
    """The first that was known holds, the other is a reject, as the loop has it; a copy is none."""
    one = line(7, "2026-01-05T10:00:00Z", observation_id="till:1")
    other = {**one, "quantity": 3, "known_at": "2026-01-05T11:00:00Z"}
    with pytest.raises(SourceError, match="already collected with other content"):
        Rows(repurchase, {"order_line": [other, one, one]})
    loop = Rows(repurchase, {"order_line": [other, one, one]}, may_reject=True)
    assert loop.rejected.height == 1


def test_names_that_are_not_declared() -> None:
    """An observation, a field, a view: each error names the nearest."""
    with pytest.raises(ColumnsError, match="did you mean 'order_line'"):
        Rows(repurchase, {"order_lines": []})
    with pytest.raises(ColumnsError, match="did you mean 'quantity'"):
        Rows(repurchase, {"order_line": [line(7, "2026-01-05", quantitty=1)]})
    with pytest.raises(ColumnsError, match="valid: customer_orders"):
        Rows(repurchase, {}).features(at=datetime(2026, 1, 5, tzinfo=UTC), view="orders")


def test_no_rows_decide_nothing() -> None:
    """The empty case has the columns of any other."""
    loop = Rows(repurchase, {})
    assert loop.decisions(date(2026, 1, 5)).is_empty()
    assert loop.labels(date(2026, 1, 5)).columns == [
        *("customer_id", "decision_id", "action", "outcome", "reward")
    ]


def test_pairs_and_their_second_view() -> None:
    """Generators suggest, two views describe, slates are filled: the same on every call."""
    told = bought(6).rename({"at": "event_time"}).to_dicts()
    loop, day = Rows(shelf(), {"purchase": told}), START + 5 * DAY
    decided = loop.decisions(day)
    shown = decided.filter(pl.col("action") != "hold").group_by("customer_id").len()
    assert shown["len"].max() == 2
    assert decided.equals(Rows(shelf(), {"purchase": told}).decisions(day))
    moment = datetime.combine(START + 6 * DAY, datetime.min.time(), tzinfo=UTC)
    assert "sold_30d" in loop.features(at=moment, view="sold").columns
    assert "buys_30d" in loop.features(at=moment).columns
