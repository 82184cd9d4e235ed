"""The window engine against what others computed: peers' own tests, and a handbook's features."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from flywheel_assets import Aggregation
from flywheel_assets.point_in_time import Conventions, windows
from flywheel_tests.conftest import shared_data

DAY = timedelta(days=1)
TIME = pl.Datetime("us", "UTC")


def cases() -> list[Any]:
    """Read the peers' cases; one that says why there are none where the file is not there."""
    file = shared_data() / "point_in_time_cases" / "cases.json"
    if not file.exists():
        reason = pytest.mark.skip(reason=f"the peers' cases are not at {file}")
        return [pytest.param(None, marks=reason)]
    return [pytest.param(case, id=case["name"]) for case in json.loads(file.read_text())]


@pytest.mark.parametrize("case", cases())
def test_what_peers_expect_can_be_said_and_comes_out(case: Any) -> None:
    """Each case of Feast, Chronon, featuretools, Butterfree and Feathr, by its own conventions."""

    def moment(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    events = pl.DataFrame(
        [
            (str(key), moment(event), float(value), moment(known or event))
            for key, event, value, known, _ in case["facts"]
        ],
        schema={"key": pl.String(), "event_time": TIME, "value": pl.Float64(), "known_at": TIME},
        orient="row",
    )
    spine = pl.DataFrame(
        [(str(key), moment(at)) for key, at in case["queries"]],
        schema={"key": pl.String(), "as_of": TIME},
        orient="row",
    )
    edge = {"incl": "included", "excl": "excluded"}
    seconds = case["window_s"]
    found = windows(
        events,
        spine,
        [
            Aggregation(
                name="found",
                function=case["agg"],
                column="value",
                window=None if seconds is None else timedelta(seconds=seconds),
            )
        ],
        by=["key"],
        conventions=Conventions(
            lower=edge[case["lower"]],  # type: ignore[arg-type]  # one of the literal's values
            upper=edge[case["upper"]],  # type: ignore[arg-type]  # one of the literal's values
            availability=case["availability"] == "enforce",
            lag=timedelta(seconds=case["lag_s"]),
        ),
    )
    assert found["found"].to_list() == case["expected"]


def test_the_fraud_handbooks_features_come_out() -> None:
    """12 windowed features of 201,295 transactions: all equal, but for customers' same-second ties.

    The authors count a transaction itself, but of several at one second only those up to it in the
    file; here all of one second count.
    """
    folder = shared_data() / "fraud_handbook_sim"
    if not folder.exists():
        pytest.skip(f"the handbook's transactions are not at {folder}")
    given = pl.read_parquet(folder / "transactions.parquet").with_columns(
        pl.col("TX_DATETIME").alias("event_time"),
        pl.col("CUSTOMER_ID", "TERMINAL_ID").cast(pl.Int64),
    )
    expected = pl.read_parquet(next(folder.glob("expected_features*.parquet")))
    assert expected.height == 201_295
    lag = {"CUSTOMER_ID": timedelta(0), "TERMINAL_ID": 7 * DAY}
    means = {"CUSTOMER_ID": ("AVG_AMOUNT", "TX_AMOUNT"), "TERMINAL_ID": ("RISK", "TX_FRAUD")}
    for key, (name, column) in means.items():
        asked = [
            aggregation
            for days in (1, 7, 30)
            for aggregation in (
                Aggregation(name=f"n_{days}", function="count", window=days * DAY),
                Aggregation(name=f"m_{days}", function="mean", column=column, window=days * DAY),
            )
        ]
        found = windows(
            given,
            expected.select("TX_DATETIME", key),
            asked,
            by=[key],
            at="TX_DATETIME",
            conventions=Conventions(lower="excluded", upper="included", lag=lag[key]),
        )
        tied = given.select(pl.struct(key, "TX_DATETIME").is_duplicated()).to_series()
        ties = given.filter(tied).select("TRANSACTION_ID")
        free = ~expected["TRANSACTION_ID"].is_in(ties["TRANSACTION_ID"].implode())
        if key == "TERMINAL_ID":
            free = pl.Series([True]).new_from_index(0, expected.height)
        assert free.sum() >= expected.height - 200
        for days in (1, 7, 30):
            counts = expected[f"{key}_NB_TX_{days}DAY_WINDOW"].cast(pl.Int64)
            assert (found[f"n_{days}"] == counts).filter(free).all()
            theirs = expected[f"{key}_{name}_{days}DAY_WINDOW"]
            ours = found[f"m_{days}"].fill_null(0.0)
            assert ((ours - theirs).abs() <= 1e-9 * theirs.abs() + 1e-9).filter(free).all()
