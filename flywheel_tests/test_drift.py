"""How far a day is from what a model was trained on: against scipy, by hand, and by chance."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from flywheel_assets import Drift
from flywheel_assets.dagster_assets.drift import _checks
from flywheel_assets.declare.learn import Learner
from flywheel_assets.errors import DeclarationError
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stages.distance import binned, ks, like, profile_of, psi
from flywheel_assets.stages.drift import (
    DRIFT_SCHEMA,
    calibration_by_chance,
    drift,
    drifted,
    not_measured,
    profile,
    profiles,
    watched,
)
from flywheel_assets.stages.metrics import expected_calibration_error
from flywheel_assets.stages.model import scorer, train
from flywheel_assets.stages.predicted import Floats, Scorer
from flywheel_assets.stages.training_set import LABEL, training_schema
from flywheel_tests.logged import flywheel as arms_flywheel
from flywheel_tests.logged import log

DAY = date(2026, 1, 31)
Numbers = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=60)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # scipy's p-value, which is not looked at
@given(trained=Numbers, now=Numbers)
@settings(max_examples=200, deadline=None)
def test_ks_is_scipys(trained: list[float], now: list[float]) -> None:
    """With every value in the profile the distance is exactly the two-sample statistic."""
    found, _ = ks(profile_of(pl.Series(trained)), pl.Series(now))
    assert found == pytest.approx(ks_2samp(trained, now, method="asymp").statistic, abs=1e-12)


def test_ks_of_many_values_is_scipys_to_a_thousandth() -> None:
    """A profile of a thousand quantiles loses no more than one over their number."""
    chance = np.random.default_rng(0)
    trained, now = chance.normal(size=50_000), chance.normal(0.1, 1.2, size=3_000)
    found, _ = ks(profile_of(pl.Series(trained)), pl.Series(now))
    assert found == pytest.approx(ks_2samp(trained, now, method="asymp").statistic, abs=1.1e-3)


@given(trained=Numbers, now=Numbers, nulls=st.tuples(st.integers(0, 9), st.integers(0, 9)))
@settings(max_examples=200, deadline=None)
def test_psi_is_the_sum_by_hand(
    trained: list[float], now: list[float], nulls: tuple[int, int]
) -> None:
    """Bins parted as near the quantiles of the training rows as can be, and a bin for nulls."""
    one = pl.Series([*trained, *[None] * nulls[0]], dtype=pl.Float64)
    other = pl.Series([*now, *[None] * nulls[1]], dtype=pl.Float64)
    n, values = len(trained), sorted(set(trained))
    up_to = {v: sum(t <= v for t in trained) for v in values[:-1]}
    edges = {
        min(up_to, key=lambda v: (abs(10 * up_to[v] - i * n), abs(2 * up_to[v] - n), v))
        for i in range(1, 10)
        if up_to
    }
    cuts = [-np.inf, *sorted(edges), np.inf]
    expected = 0.0
    for low, high in [*pairwise(cuts), (None, None)]:
        shares = [
            sum(v is None if low is None else v is not None and low < v <= high for v in column)
            / len(column)
            for column in (one.to_list(), other.to_list())
        ]
        p, q = (max(share, 1e-4) for share in shares)
        expected += (p - q) * np.log(p / q)
    assert psi(binned(profile_of(one), other))[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("trained", "now"),
    [
        ({0: 50, 1: 950}, {0: 950, 1: 50}),
        ({0: 40, 1: 40, 2: 920}, {0: 900, 2: 100}),
        ({-1: 50, 0: 900, 1: 50}, {-1: 900, 0: 50, 1: 50}),
        ({0: 50, 1: 950}, {0: 200, 1: 800}),
    ],
)
def test_a_column_and_its_mirror_have_one_index(
    trained: dict[int, int], now: dict[int, int]
) -> None:
    """Most rows at the greatest value hide a change no more than most at the least."""

    def index(sign: int) -> float:
        one, other = (
            pl.Series(np.repeat([sign * v for v in rows], list(rows.values())))
            for rows in (trained, now)
        )
        return psi(binned(profile_of(one), other))[0]

    assert index(1) > 0.1
    assert index(1) == pytest.approx(index(-1))


def test_text_has_a_bin_for_each_common_value_and_one_for_the_rest() -> None:
    """The index of text is by category; a category that was never trained on counts as rest."""
    trained = profile_of(pl.Series(["uk"] * 50 + ["fr"] * 50))
    same, _ = psi(binned(trained, pl.Series(["uk", "fr"] * 100)))
    other, _ = psi(binned(trained, pl.Series(["uk", "de"] * 100)))
    assert same == pytest.approx(0, abs=1e-9)
    assert other == pytest.approx(2 * (0.5 - 1e-4) * np.log(0.5 / 1e-4))
    assert np.isnan(ks(trained, pl.Series(["uk"]))[0])


def test_what_chance_explains() -> None:
    """Of 2,000 days without drift, about one in a thousand exceeds what chance is said to give."""
    chance = np.random.default_rng(1)
    reference = profile_of(pl.Series(chance.normal(size=20_000)))
    over = np.zeros(3)
    for _ in range(2_000):
        day = pl.Series(chance.normal(size=200))
        said = chance.uniform(0.05, 0.6, size=400)
        error = expected_calibration_error(chance.random(400) < said, said)
        pairs = (
            psi(binned(reference, day)),
            ks(reference, day),
            (error, calibration_by_chance(said)),
        )
        over += [value > bound for value, bound in pairs]
    # The chi-squared of ten bins, of which the floor makes no use here, is an approximation.
    assert (over <= 12).all()


def day_of(shift: float, rows: int = 2_000) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make decisions whose one feature moved, and matured rows scored half as high as right."""
    chance = np.random.default_rng(2)
    decided = pl.DataFrame({"log_orders_30d": chance.normal(shift, size=rows)})
    said = chance.uniform(0.2, 0.4, size=rows)
    label = (chance.random(rows) < said + shift / 4).astype(np.int8)
    matured = pl.DataFrame({LABEL: label, "score": said, "model_version": [3] * rows})
    return decided, matured


def test_levels_and_since_when() -> None:
    """A shift is an error, its checks say since when; a return to normal ends it."""
    flywheel = replace(repurchase, model=replace(repurchase.model, drift=Drift(psi_warn=0.05)))
    reference = {
        "log_orders_30d": profile_of(pl.Series(np.random.default_rng(3).normal(size=9_999)))
    }
    frames = []
    for i, shift in enumerate([0.0, 1.0, 0.0, 1.0, 1.0]):
        frames.append(drift(*day_of(shift), reference, flywheel, 3, DAY + timedelta(days=i)).rows)
    history = pl.concat(frames)
    assert history.schema == pl.Schema(DRIFT_SCHEMA)
    assert history.filter(partition_date=DAY)["level"].unique().to_list() == ["ok"]
    last = DAY + timedelta(days=4)
    found = drifted(history, last, ("psi", "ks"))
    assert {(d.column, d.measure, d.level) for d in found} == {
        ("log_orders_30d", "psi", "error"),
        ("log_orders_30d", "ks", "error"),
    }
    assert {d.since for d in found} == {DAY + timedelta(days=3)}
    calibration = drifted(history, last, ("calibration_error",))
    assert [(d.level, d.since) for d in calibration] == [("error", DAY + timedelta(days=3))]
    assert not drifted(history, DAY + timedelta(days=2), ("psi", "ks", "calibration_error"))


def test_what_is_expected_to_drift_is_measured_and_calls_nobody() -> None:
    """A feature that cannot but move has its index, and no level; it must exist."""
    expected = Drift(expected=("log_orders_30d",))
    flywheel = replace(repurchase, model=replace(repurchase.model, drift=expected))
    name, before = "log_orders_30d", np.random.default_rng(3).normal(size=9_999)
    decided, matured = day_of(1.0)
    found = drift(decided, matured, {name: profile_of(pl.Series(before))}, flywheel, 3, DAY).rows
    ours = found.filter(column=name)
    assert (ours["value"] > repurchase.model.drift.psi_error).all()
    assert ours["level"].to_list() == ["ok", "ok"]
    assert not drifted(found, DAY, ("psi", "ks"))
    mistyped = replace(repurchase.model, drift=Drift(expected=("log_orders_3d",)))
    with pytest.raises(DeclarationError, match="expected drift"):
        replace(repurchase, model=mistyped)


def test_few_rows_do_not_cry_wolf() -> None:
    """Thirty decisions of an unchanged world have an index beyond a bar, and no level."""
    reference = {
        "log_orders_30d": profile_of(pl.Series(np.random.default_rng(4).normal(size=9_999)))
    }
    decided, matured = day_of(0.0, rows=30)
    found = drift(decided, matured, reference, repurchase, 3, DAY).rows
    assert found.filter(measure="psi")["value"][0] > repurchase.model.drift.psi_warn
    assert found["level"].unique().to_list() == ["ok"]


def test_a_score_that_is_of_acting_is_held_against_those_who_were_acted_on() -> None:
    """Those held do half as well as they would have done: no fault of a learner that knows it."""
    chance = np.random.default_rng(5)
    score, acted = chance.uniform(0.4, 0.6, size=4_000), np.tile([True, False], 2_000)
    label = chance.random(4_000) < np.where(acted, score, score / 2)
    action = np.where(acted, "contact", "hold")
    matured = pl.DataFrame({LABEL: label, "score": score, "action": action}).with_columns(
        pl.col(LABEL).cast(pl.Int8), model_version=pl.lit(3)
    )
    decided = pl.DataFrame(schema={"log_orders_30d": pl.Float64})
    cases: tuple[tuple[Learner, str, int], ...] = (("plain", "error", 4_000), ("t", "ok", 2_000))
    for learner, level, rows in cases:
        flywheel = replace(repurchase, model=replace(repurchase.model, learner=learner))
        found = drift(decided, matured, {}, flywheel, 3, DAY).rows.filter(
            measure="calibration_error"
        )
        assert found.select("level", "n_rows").row(0) == (level, rows)
    arms = arms_flywheel(arms=True)
    given = matured.with_columns(action=pl.lit("low"))
    found = drift(decided, given, {}, arms, 3, DAY).rows.filter(measure="calibration_error")
    assert found["n_rows"].to_list() == [4_000]


def test_a_model_that_overfits_does_not_drift() -> None:
    """It scores what it learnt from further apart than what is new, though nothing has changed."""
    from sklearn.ensemble import RandomForestClassifier

    wheel = arms_flywheel(estimator=RandomForestClassifier)
    learnt, judged, new = (log(n, seed=seed) for seed, n in enumerate((500, 200, 3_000)))
    first = scorer(train(learnt, wheel), wheel)
    again = scorer(train(pl.concat([learnt, judged]), wheel), wheel)
    nothing = pl.DataFrame(schema=training_schema(wheel))

    def level(score: Floats, decides: Scorer) -> set[str]:
        known = profiles(profile(learnt, score, wheel, 1, DAY))
        decided = new.with_columns(score=decides(new).expected[:, 0])
        found = drift(decided, nothing, known, wheel, 1, DAY).rows
        return set(found.filter(column="score")["level"])

    for decides in (first, again):
        assert level(first(judged).expected[:, 0], decides) == {"ok"}
    assert "error" in level(first(learnt).expected[:, 0], first)


def test_what_cannot_be_measured_is_said() -> None:
    """A column that decisions no longer see, and a version without a profile: a warning."""
    decided, matured = day_of(0.0)
    reference = profile_of(decided["log_orders_30d"])
    two = {"log_orders_30d": reference, "gone": reference}
    found = drift(decided, matured, two, repurchase, 3, DAY).rows
    assert found.schema == pl.Schema(DRIFT_SCHEMA)
    assert found.filter(column="log_orders_30d")["value"].null_count() == 0
    assert not_measured(found, DAY) == ["gone"]
    feature, score, *_ = _checks(repurchase, found, DAY)
    assert (feature.passed, feature.warns, score.passed) == (False, True, True)
    assert feature.message.startswith("not measured: gone; ")
    without = drift(decided, matured, {}, repurchase, 3, DAY).rows
    assert set(not_measured(without, DAY)) == {*repurchase.model.features, "score", LABEL}
    checks = _checks(repurchase, without, DAY)
    assert [(c.passed, c.warns) for c in checks[:3]] == [(False, True)] * 3
    by_rule = drift(decided, matured, {}, repurchase, None, DAY).rows
    assert not_measured(by_rule, DAY) == []


def test_a_feature_that_was_never_there_is_noticed_when_it_comes() -> None:
    """Its profile is empty, and all of the day is where nothing was."""
    empty = profile_of(pl.Series([None] * 500, dtype=pl.Float64))
    for now in (pl.Series([1.0] * 500), pl.Series(["uk"] * 500)):
        assert like(empty, now)
        assert psi(binned(empty, now))[0] == pytest.approx(2 * (1 - 1e-4) * np.log(1 / 1e-4))
        assert np.isnan(ks(empty, now)[0])
    assert psi(binned(empty, pl.Series([None] * 9, dtype=pl.Float64)))[0] == 0


def test_a_profile_of_nothing_is_kept() -> None:
    """Written and read again it is a profile without values, not no profile."""
    chance = np.random.default_rng(0)
    rows = rows_of(200, chance)
    never = watched(repurchase)[0]
    rows = rows.with_columns(pl.lit(None, dtype=rows.schema[never]).alias(never))
    made = profile(rows, chance.random(200), repurchase, 1, DAY)
    read = profiles(made)
    assert (read[never].n_rows, read[never].n_null, len(read[never].value)) == (200, 200, 0)
    came = rows.with_columns(pl.lit(5).cast(rows.schema[never]).alias(never))
    found = drift(came.with_columns(score=0.5), rows.clear(), read, repurchase, 1, DAY).rows
    assert found.filter(column=never, measure="psi")["value"].item() > 10
    assert never not in not_measured(found, DAY)


def test_what_became_text_is_not_measured() -> None:
    """Numbers and text have nothing to be compared by: that is said, and stops nothing."""
    assert not like(profile_of(pl.Series([1.0, 2.0])), pl.Series(["a"]))
    assert not like(profile_of(pl.Series(["a", "b"])), pl.Series([1.0]))
    assert like(profile_of(pl.Series(["a", "b"])), pl.Series(["c"]))


def rows_of(n_rows: int, chance: np.random.Generator) -> pl.DataFrame:
    """Make training rows of numbers."""
    schema = training_schema(repurchase)
    drawn = {
        name: pl.Series(chance.integers(0, 2, n_rows)).cast(dtype)
        if dtype != pl.String
        else pl.Series(["1"] * n_rows)
        for name, dtype in schema.items()
    }
    return pl.DataFrame(drawn)
