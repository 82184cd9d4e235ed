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
from flywheel_assets.stages.model import scorer, train, training_digest
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
    return float(scorer(train(rows, wheel), wheel)(rows.head(1)).expected[0, 0])


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


def test_the_declaration_changes_what_is_trained() -> None:
    """A model of the same rows is another, so the digest of a training is, too, and the plan's."""
    wheel = flywheel(estimator=mean)
    other = replace(wheel, model=replace(wheel.model, from_last_change=True))
    assert training_digest(wheel) != training_digest(other)
    assert fingerprint(wheel.model) != fingerprint(other.model)
