"""Training from the last change on: what is left out, and that chance leaves out nothing."""

from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.stages.challenge import challenge
from flywheel_assets.stages.change import since_change
from flywheel_assets.stages.model import scorer, train
from flywheel_assets.stages.predicted import Scorer
from flywheel_tests.logged import Floats, flywheel, log

BOTH = 30  # days, the horizon: outcomes of so many decisions before a change are of both sides


def mean() -> Any:
    """Build what expects the base rate of everybody."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


def _same(x: Floats, _: npt.NDArray[np.int64], rate: float) -> Floats:
    return np.full(len(x), rate)


def days_of(rates: list[float]) -> pl.DataFrame:
    """Lay out days of 200 decisions, each day with its own rate of outcomes."""
    parts = []
    for number, rate in enumerate(rates):
        day = pl.lit(date(2026, 1, 1) + timedelta(days=number)).alias("partition_date")
        made = log(200, seed=number, rate=partial(_same, rate=rate))
        parts.append(made.with_columns(day))
    return pl.concat(parts)


def expected_of(rows: pl.DataFrame, *, from_last_change: bool) -> float:
    """Train what expects the mean, and say it."""
    wheel = flywheel(estimator=mean, from_last_change=from_last_change)
    made = train(since_change(rows, wheel), wheel)
    return float(scorer(made, wheel)(rows.head(1)).expected[0, 0])


def test_days_before_a_change_are_left_out() -> None:
    """The mean is that of the days after it, without those whose outcomes are of both sides."""
    passing = np.linspace(0.6, 0.2, BOTH).tolist()
    rows = days_of([0.6] * 15 + passing + [0.2] * 15)
    assert expected_of(rows, from_last_change=False) == pytest.approx(0.4, abs=0.02)
    assert expected_of(rows, from_last_change=True) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("days", [[0.4] * 40, [0.6] * 38 + [0.2] * 2], ids=["none", "two days"])
def test_without_a_lasting_change_nothing_is_left_out(days: list[float]) -> None:
    """The same model comes of both declarations."""
    rows = days_of(days)
    assert expected_of(rows, from_last_change=True) == expected_of(rows, from_last_change=False)


def test_what_is_kept_of_a_training_is_what_it_was_trained_on() -> None:
    """What is registered, profiled and reproduced is without the days that were left out."""
    rows = days_of([0.6] * 20 + np.linspace(0.6, 0.2, BOTH).tolist() + [0.2] * 80)
    first, last = rows["partition_date"].min(), rows["partition_date"].max()
    wheel = flywheel(estimator=mean, from_last_change=True, training_window=timedelta(days=365))
    kept: list[pl.DataFrame] = []

    def admit(_: Any, used: pl.DataFrame) -> Scorer:
        kept.append(used)
        raise OSError("enough was seen")

    assert isinstance(first, date)
    assert isinstance(last, date)
    made = challenge(rows, wheel, last, None, admit)
    assert "enough was seen" in made.verdict.reason
    assert kept[0]["outcome"].mean() == pytest.approx(0.2, abs=0.02)
    begins = kept[0]["partition_date"].min()
    assert isinstance(begins, date)
    assert begins >= first + timedelta(days=20 + BOTH // 2)


def test_one_outcome_alone_is_not_left() -> None:
    """Nothing can be learnt of days on which nobody ordered: those before them are kept."""
    rows = days_of([0.6] * 40 + [0.0] * 40)
    wheel = flywheel(estimator=mean, from_last_change=True)
    assert since_change(rows, wheel).height == rows.height


def test_the_plan_knows_of_it() -> None:
    """A model that learns from the last change on is declared as another."""
    wheel = flywheel(estimator=mean)
    other = replace(wheel, model=replace(wheel.model, from_last_change=True))
    assert fingerprint(wheel.model) != fingerprint(other.model)
