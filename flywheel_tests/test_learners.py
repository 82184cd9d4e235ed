"""Learners: what they recover of known effects, and what they do where there is little to learn."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from flywheel_assets import DeclarationError, TrainingError, UnfitModelError
from flywheel_assets.stages.learners import Weighted
from flywheel_assets.stages.metrics import expected_calibration_error
from flywheel_assets.stages.model import rows_digest, scorer, train
from flywheel_tests.logged import BASE, DAY, EFFECT, Floats, flywheel, log


def few_leaves() -> Any:
    """Build trees that are quick to fit."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=25, max_leaf_nodes=6)


def shallow() -> Any:
    """Build the same for rewards."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=25, max_leaf_nodes=6)


def logistic() -> Any:
    """Build a linear model."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def mean() -> Any:
    """Build what expects the base rate of everybody."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


def neighbours() -> Any:
    """Build an estimator that takes no weights."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=40)


def stochastic() -> Any:
    """Build an estimator that rolls dice."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=5, max_depth=4)


@pytest.mark.parametrize("learner", ["s", "t", "x"])
@pytest.mark.parametrize("target", ["outcome", "reward"])
def test_learners_recover_who_is_changed_by_acting(learner: str, target: str) -> None:
    """Uplift is ordered as the true effect is, though the base rate varies more."""
    metric = "qini" if target == "reward" else "roc_auc"
    build = shallow if target == "reward" else few_leaves
    wheel = flywheel(learner=learner, target=target, metric=metric, estimator=build)
    rows = log(8_000)
    expected = scorer(train(rows, wheel), wheel)(log(2_000, seed=1)).expected
    effect = 0.6 * (log(2_000, seed=1)[EFFECT].to_numpy() - 0.5)
    uplift = expected[:, 0] - expected[:, 1]
    assert expected.shape == (2_000, 2)
    assert spearmanr(uplift, effect).statistic > 0.8
    assert np.corrcoef(uplift, effect)[0, 1] > 0.8


def test_an_x_learner_gains_where_few_were_acted_on() -> None:
    """One effect for all over a wild base rate, 3% acted on: the T-learner sees effects in it."""

    def rate(x: Any, action: Any) -> Any:
        return 0.3 + 0.25 * np.sin(12 * x[:, 0]) + np.where(action == 0, 0.1, 0.0)

    rows = log(20_000, chance=lambda x: np.tile([0.03, 0.97], (len(x), 1)), rate=rate)
    off = {}
    for learner, effects in (("t", None), ("x", linear)):
        wheel = flywheel(learner=learner, estimator=few_leaves, effect_estimator=effects)
        expected = scorer(train(rows, wheel), wheel)(rows).expected
        off[learner] = np.sqrt(np.mean((expected[:, 0] - expected[:, 1] - 0.1) ** 2))
    assert off["x"] < 0.7 * off["t"]


def test_arms_are_learnt_apart_or_by_their_features() -> None:
    """The higher the price the fewer buy, whichever way the action reaches the estimator."""
    actions = ("low", "high", "none")
    rows = log(
        9_000,
        actions=actions,
        chance=lambda x: np.full((len(x), 3), 1 / 3),
        rate=lambda x, a: 0.9 - 0.3 * np.array([1.0, 2.0, 0.0])[a],
    )
    for model in (
        {"learner": "t"},
        {"learner": "s"},
        {"learner": "s", "features": (BASE, EFFECT, "price")},
        {"learner": "x"},
    ):
        wheel = flywheel(arms=True, estimator=logistic, **model)
        expected = scorer(train(rows, wheel), wheel)(rows).expected
        assert expected.mean(axis=0) == pytest.approx([0.6, 0.3, 0.9], abs=0.05)


def test_an_arm_that_nobody_tried_does_as_all_do_together() -> None:
    """So does, nearly, one with too little to learn from."""
    rows = log(300, actions=("low", "high", "none"), chance=lambda x: np.full((len(x), 3), 1 / 3))
    tried = rows.filter(pl.col("action") != "high")
    pooled = tried["outcome"].mean()
    for learner in ("t", "x"):
        wheel = flywheel(arms=True, estimator=logistic, learner=learner)
        expected = scorer(train(tried, wheel), wheel)(rows).expected
        assert expected[:, 1] == pytest.approx(pooled)
    one = rows.filter(pl.col("action") == "high", outcome=0).head(1)
    wheel = flywheel(arms=True, estimator=logistic)
    expected = scorer(train(pl.concat([tried, one]), wheel), wheel)(rows).expected
    mean_of_all = tried["outcome"].sum() / (tried.height + 1)
    assert expected[:, 1] == pytest.approx(mean_of_all / 2)


def test_an_x_learner_without_anybody_held_says_what_a_t_learner_says() -> None:
    rows = log(400).filter(action="contact")
    found = [
        scorer(train(rows, wheel), wheel)(rows).expected
        for wheel in (flywheel(learner=name, estimator=logistic) for name in ("t", "x"))
    ]
    assert (found[0] == found[1]).all()


def test_actions_that_the_policy_no_longer_has_teach_action_learners_nothing() -> None:
    """And a model that does not know an action expects of it what it does of the others."""
    three = log(600, actions=("low", "high", "none"), chance=lambda x: np.full((len(x), 3), 1 / 3))
    retired = pl.concat(
        [three, three.with_columns(action=pl.lit("gone"), outcome=pl.lit(1, pl.Int8))]
    )
    wheel = flywheel(arms=True, estimator=logistic)
    known = train(three, wheel)
    again = train(retired, wheel)
    assert (known.predict(np.ones((1, 2))) == again.predict(np.ones((1, 2)))).all()
    known.actions = ["low", "other", "none"]
    expected = scorer(known, wheel)(three).expected
    assert expected[:, 1] == pytest.approx(known.predict(three[[BASE, EFFECT]].to_numpy()).mean(1))
    with pytest.raises(TrainingError, match="matured decisions"):
        train(three.with_columns(action=pl.lit("gone")), wheel)


MODELS: list[dict[str, Any]] = [
    {},
    {"features": (BASE, "country")},
    {"estimator": stochastic, "learner": "t", "replicates": 2},
    {"estimator": stochastic, "learner": "s", "propensity_weight": True},
    {"estimator": few_leaves, "learner": "x", "class_weight": "balanced"},
    {"estimator": few_leaves, "calibration": "isotonic", "replicates": 2},
    {"features": (BASE, EFFECT, "country"), "learner": "x", "replicates": 1},
]


@pytest.mark.parametrize("model", MODELS)
def test_the_same_rows_train_the_same_model(model: dict[str, Any]) -> None:
    """To the last bit, in whatever order rows come, scored in whatever chunks."""
    wheel, rows = flywheel(**model), log(1_200)
    first = scorer(train(rows, wheel), wheel)(rows)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=5)
    again = scorer(train(shuffled, wheel), wheel, chunk_rows=97)(rows)
    assert first.expected.tobytes() == again.expected.tobytes()
    assert rows_digest(rows, wheel) == rows_digest(shuffled, wheel)
    if model.get("replicates"):
        assert first.replicates is not None
        assert again.replicates is not None
        assert first.replicates.tobytes() == again.replicates.tobytes()
        assert first.replicates.shape == (model["replicates"], *first.expected.shape)
    assert np.isfinite(first.expected).all()


def test_digests_tell_rows_apart() -> None:
    """By what training reads of them, and by nothing else."""
    wheel, rows = flywheel(), log(50)
    changed = rows.with_columns(outcome=1 - pl.col("outcome"))
    unread = rows.with_columns(country=pl.lit("Malta"))
    assert rows_digest(changed, wheel) != rows_digest(rows, wheel) == rows_digest(unread, wheel)


def test_digests_are_of_rows_not_of_how_they_lie_in_memory(tmp_path: Path) -> None:
    """Long text and nulls, shuffled, cut up, filtered from more, written and read: one digest."""
    long = pl.concat_str(pl.lit("of those who live in "), "country")
    known = pl.int_range(pl.len()) % 7 > 0
    rows = log(900).with_columns(
        pl.concat_str(pl.lit("repurchase:2026-03-01:"), "decision_id").alias("decision_id"),
        country=pl.when(known).then(long),
        **{BASE: pl.when(known).then(BASE)},
    )
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=5)
    later = rows.with_columns(partition_date=pl.lit(DAY + timedelta(days=1)))
    shuffled.write_parquet(tmp_path / "rows.parquet", row_group_size=200)
    forms = [
        rows,
        shuffled,
        pl.concat([shuffled[:100], shuffled[100:]], rechunk=False),
        pl.concat([later, rows]).filter(partition_date=DAY),
        pl.read_parquet(tmp_path / "rows.parquet"),
        pl.DataFrame(shuffled.to_dicts(), schema=rows.schema),
    ]
    wheel = flywheel(features=(BASE, "country"))
    assert len({rows_digest(form, wheel) for form in forms}) == 1


def test_the_default_takes_text_times_and_nulls() -> None:
    """Whom text tells apart is told apart, and what is null or new is scored, too."""
    rows = log(1_500).with_columns(
        country=pl.when(pl.int_range(pl.len()) % 7 > 0).then("country"),
        last_order_at=pl.lit(None, pl.Datetime("us", "UTC")),
    )
    rows = rows.with_columns(
        pl.when(pl.int_range(pl.len()) % 5 > 0).then(BASE).alias(BASE),
        outcome=(pl.col("country") == "Spain").fill_null(value=False).cast(pl.Int8),
    )
    wheel = flywheel(features=(BASE, EFFECT, "country", "last_order_at"))
    score = scorer(train(rows, wheel), wheel)
    expected = score(rows).expected[:, 0]
    spanish = (rows["country"] == "Spain").fill_null(value=False).to_numpy()
    assert expected[spanish].min() > 0.9
    assert expected[~spanish].max() < 0.1
    strange = rows.head(3).with_columns(country=pl.Series(["Peru", None, "Spain"]))
    assert (score(strange).expected[:, 0] > 0.5).tolist() == [False, False, True]
    empty = score(rows.clear())
    assert empty.expected.shape == (0, 1)


def test_numbers_reach_an_estimator_as_floats_with_null_as_nan() -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin

    seen = []

    class Looks(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> "Looks":  # noqa: N803
            seen.append(X)
            self.classes_ = np.unique(y)
            return self

    rows = log(10).with_columns(
        pl.when(pl.int_range(pl.len()) > 0).then(BASE).alias(BASE),
        (pl.col(EFFECT) > 0.5).alias(EFFECT),
    )
    train(rows, flywheel(estimator=Looks))
    assert seen[0].dtype == np.float64
    assert np.isnan(seen[0][0, 0])
    assert set(seen[0][:, 1]) == {0.0, 1.0}
    train(rows, flywheel(estimator=Looks, features=(BASE, "country")))
    assert seen[1].columns == [BASE, "country"]


def test_replicates_differ_as_samples_of_the_rows_do() -> None:
    """Of a mean: by its standard error."""
    wheel, rows = flywheel(estimator=mean, replicates=200), log(400)
    found = scorer(train(rows, wheel), wheel)(rows.head(1)).replicates
    assert found is not None
    rate = rows["outcome"].mean()
    assert isinstance(rate, float)
    assert found.mean() == pytest.approx(rate, abs=0.01)
    assert found.std() == pytest.approx((rate * (1 - rate) / 400) ** 0.5, rel=0.2)


@pytest.mark.parametrize(("n_customers", "independent"), [(200, 200), (20, 20), (19, 19 * 30)])
def test_replicates_are_samples_of_entities(n_customers: int, independent: int) -> None:
    """Rows of a customer that are all alike tell no more than one; of very few, rows are drawn."""
    wheel, once = flywheel(estimator=mean, replicates=200), log(n_customers)
    rows = pl.concat(
        [once.with_columns(pl.format("{}:{}", "decision_id", pl.lit(i))) for i in range(30)]
    )
    score = scorer(train(rows, wheel), wheel)
    found = score(rows.head(1)).replicates
    assert found is not None
    rate = once["outcome"].mean()
    assert isinstance(rate, float)
    assert found.std() == pytest.approx((rate * (1 - rate) / independent) ** 0.5, rel=0.2)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=5)
    again = scorer(train(shuffled, wheel), wheel)(rows.head(1)).replicates
    assert again is not None
    assert again.tobytes() == found.tobytes()


def test_digests_tell_entities_apart_where_replicates_do() -> None:
    """Without replicates nothing is read of whom a row is about, and the digest stays."""
    rows = log(50)
    others = rows.with_columns(customer_id=pl.col("customer_id") // 2)
    for replicates, same in ((0, True), (2, False)):
        wheel = flywheel(replicates=replicates)
        assert (rows_digest(rows, wheel) == rows_digest(others, wheel)) is same


def test_replicates_are_a_function_of_flywheel_and_day() -> None:
    wheel, rows = flywheel(estimator=mean, replicates=3), log(400)

    def drawn(rows: pl.DataFrame, name: str = wheel.name) -> list[float]:
        named = replace(wheel, name=name)
        found = scorer(train(rows, named), named)(rows.head(1)).replicates
        assert found is not None
        return [float(v) for v in found.ravel()]

    next_day = rows.with_columns(partition_date=pl.lit(DAY).dt.offset_by("1d"))
    assert drawn(rows) == drawn(rows)
    assert drawn(rows, "other") != drawn(rows) != drawn(next_day)


def test_estimators_without_weights_get_rows_repeated() -> None:
    """Whole weights are exact: as if the rows were there as often."""
    rows = log(300)
    x, y = rows[[BASE, EFFECT]].to_numpy(), rows["outcome"].to_numpy()
    times = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), times.astype(int))
    plain = neighbours().fit(x[repeated], y[repeated])
    weighted = Weighted(neighbours()).fit(x, y, sample_weight=times)
    assert (weighted.predict_proba(x) == plain.predict_proba(x)).all()
    wheel = flywheel(estimator=neighbours, replicates=2, learner="t")
    replicates = scorer(train(rows, wheel), wheel)(rows).replicates
    assert replicates is not None
    assert (replicates[0] != replicates[1]).any()


def test_weights_reach_the_last_step_of_a_pipeline() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = log(300)
    x, y = rows[[BASE, EFFECT]].to_numpy(), rows["outcome"].to_numpy()
    weight = np.random.default_rng(1).random(len(y))
    direct = make_pipeline(StandardScaler(), logistic())
    direct.fit(x, y, logisticregression__sample_weight=weight)
    weighted = Weighted(make_pipeline(StandardScaler(), logistic())).fit(x, y, sample_weight=weight)
    assert (weighted.predict_proba(x) == direct.predict_proba(x)).all()


def test_propensity_weights_undo_who_was_acted_on() -> None:
    """The mean over all, where those with a high rate were decided about more rarely."""
    rows = log(
        20_000,
        chance=lambda x: np.column_stack([0.1 + 0.8 * x[:, 0], 0.9 - 0.8 * x[:, 0]]),
        rate=lambda x, a: x[:, 0],
    )
    for weighs, expected in ((True, 0.5), (False, 0.63)):
        wheel = flywheel(estimator=mean, learner="t", propensity_weight=weighs)
        found = scorer(train(rows, wheel), wheel)(rows.head(1)).expected
        assert found[0, 0] == pytest.approx(expected, abs=0.02)


def test_balanced_classes_weigh_the_same_and_calibration_brings_the_rate_back() -> None:
    rows = log(6_000, rate=lambda x, a: 0.02 + 0.1 * x[:, 0])
    rate = rows["outcome"].mean()
    wheel = flywheel(estimator=logistic, class_weight="balanced")
    balanced = scorer(train(rows, wheel), wheel)(rows).expected[:, 0]
    assert balanced.mean() == pytest.approx(0.5, abs=0.05)
    for method in ("sigmoid", "isotonic"):
        wheel = flywheel(estimator=logistic, class_weight="balanced", calibration=method)
        calibrated = scorer(train(rows, wheel), wheel)(rows).expected[:, 0]
        assert calibrated.mean() == pytest.approx(rate, abs=0.01)
        assert expected_calibration_error(rows["outcome"].to_numpy(), calibrated) < 0.02


@pytest.mark.parametrize("learner", ["s", "t", "x"])
def test_balanced_classes_leave_what_an_action_brings(learner: str) -> None:
    """30% when contacted and 5% when not, or 5% of all: classes are balanced over both actions.

    Balanced over each action's own rows, both actions would be expected to do as well.
    """

    def few(x: Floats) -> Floats:
        return np.full((len(x), 2), [0.2, 0.8])

    wheel = flywheel(estimator=logistic, learner=learner, class_weight="balanced")
    for when_contacted, lowest, highest in ((0.3, 0.3, 0.7), (0.05, -0.1, 0.1)):
        rates = np.array([when_contacted, 0.05])
        rows = log(12_000, chance=few, rate=lambda x, a, of=rates: of[a])  # type: ignore[misc]
        expected = scorer(train(rows, wheel), wheel)(rows).expected.mean(axis=0)
        assert lowest < expected[0] - expected[1] < highest


def test_scoring_takes_no_more_memory_than_a_chunk_needs() -> None:
    """300,000 rows of 2 numbers, 4.8 MB as a matrix: less than 1 MB beside what comes out."""
    wheel, rows = flywheel(estimator=logistic), log(300_000)
    score = scorer(train(rows.head(1_000), wheel), wheel, chunk_rows=5_000)
    score(rows.head(10))
    tracemalloc.start()
    expected = score(rows).expected
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - expected.nbytes < 1e6


def test_a_model_reads_the_features_that_it_was_trained_on() -> None:
    """Whatever is declared since; what is not there any more is an error that names it."""
    rows = log(300)
    trained = train(rows, flywheel(estimator=logistic))
    declared = flywheel(estimator=logistic, features=(EFFECT, BASE))
    found = scorer(trained, declared)(rows).expected[:, 0]
    assert (found == scorer(trained, flywheel())(rows).expected[:, 0]).all()
    with pytest.raises(UnfitModelError, match=f"no {EFFECT}"):
        scorer(trained, declared)(rows.drop(EFFECT))


def linear() -> Any:
    """Build a regressor."""
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


@pytest.mark.parametrize(
    ("rows", "model", "said"),
    [
        (lambda: log(100).clear(), {}, "found none"),
        (lambda: log(100).with_columns(outcome=pl.lit(0, pl.Int8)), {}, "100 of outcome 0"),
        (
            lambda: log(200, rate=lambda x, a: np.where(np.arange(len(x)) < 3, 1.0, 0.0)),
            {"calibration": "sigmoid"},
            "3 of outcome 1",
        ),
        (lambda: log(100), {"estimator": linear, "calibration": "sigmoid"}, "LinearRegression"),
        (lambda: log(100), {"target": "reward", "metric": "rmse", "estimator": logistic}, "regres"),
        (lambda: log(100), {"estimator": linear, "class_weight": "balanced"}, "weigh classes"),
    ],
)
def test_what_cannot_be_learnt_is_refused(
    rows: Callable[[], pl.DataFrame], model: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingError, match=said):
        train(rows(), flywheel(**model))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"effect_estimator": linear}, "learner='x'"),
        ({"learner": "x", "effect_estimator": 3}, "effect_estimator"),
        ({"replicates": -1}, "replicates=-1"),
        ({"target": "reward", "metric": "rmse", "calibration": "sigmoid"}, "calibration"),
    ],
)
def test_what_cannot_be_meant_is_refused(model: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        flywheel(**model)
