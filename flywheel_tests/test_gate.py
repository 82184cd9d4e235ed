"""The gate: what it measures, how sure it is, and each refusal with its bar and its number."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from flywheel_assets import Epsilon, Fact, Flywheel, Gate, Thompson, Threshold
from flywheel_assets.errors import DeclarationError, UnfitModelError
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stages.challenge import challenge, split
from flywheel_assets.stages.gate import judge
from flywheel_assets.stages.model import scorer
from flywheel_assets.stages.predicted import Floats, Predicted, Scorer
from flywheel_assets.stages.resampling import _resampled, _weighted, clusters, gain_interval

DAY = date(2026, 3, 2)
N = 1_500


def flywheel(exploration: Epsilon | None = None, **gate: Any) -> Flywheel:
    """Declare the bundled flywheel with another gate."""
    policy = replace(repurchase.policy, exploration=exploration or Epsilon(share=0.5))
    return replace(repurchase, model=replace(repurchase.model, gate=Gate(**gate)), decisions=policy)


def rows(n: int = N, seed: int = 0) -> pl.DataFrame:
    """Make matured decisions of three days: one in two acted on at random, a third positive."""
    chance = np.random.default_rng(seed)
    each = n // 3
    truth = np.tile(chance.uniform(0.05, 0.6, size=each), 3)
    days = np.repeat(np.arange(3), each)
    label = (chance.random(len(truth)) < truth).astype(np.int8)
    closes = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) - timedelta(days=33)
    return pl.DataFrame(
        {
            "partition_date": [DAY - timedelta(days=2 - int(d)) for d in days],
            "decision_id": [f"{d}:{i}" for d, i in zip(days, np.tile(range(each), 3), strict=True)],
            "customer_id": np.tile(np.arange(each), 3),
            "decided_at": [closes + timedelta(days=int(d)) for d in days],
            "action": np.where(chance.random(len(truth)) < 0.5, "contact", "hold"),
            "propensity": np.full(len(truth), 0.5),
            "model_version": np.ones(len(truth), dtype=np.int64),
            "recency_days": chance.uniform(0, 90, size=len(truth)),
            "outcome": label,
            "reward": label.astype(np.float64),
            "weight": np.full(len(truth), 2.0),
            "truth": truth,
        }
    ).with_columns(pl.col("decided_at").cast(pl.Datetime("us", "UTC")))


def says(of: Any) -> Scorer:
    """Score by a function of the frame."""
    return lambda seen: Predicted(np.asarray(of(seen), dtype=np.float64)[:, None])


def said(
    challenger: Any, champion: Any = None, of: pl.DataFrame | None = None
) -> tuple[Predicted, Predicted | None]:
    """Give what both say of the rows to judge on."""
    seen = rows() if of is None else of
    return says(challenger)(seen), says(champion)(seen) if champion else None


def truth(seen: pl.DataFrame) -> Floats:
    return seen["truth"].to_numpy()


def noise(seen: pl.DataFrame) -> Floats:
    return np.random.default_rng(9).uniform(0.05, 0.6, seen.height)


def test_a_better_challenger_is_promoted_with_its_numbers() -> None:
    """The verdict carries metric, gain, interval, calibration and the policy's value."""
    found = judge(flywheel(minimum=0.6), rows(), *said(truth, noise))
    assert found.promoted
    assert found.value is not None
    assert found.gain == pytest.approx(found.value - (found.champion_value or 0))
    assert found.gain_lower is not None
    assert found.gain_upper is not None
    assert 0 < found.gain_lower < (found.gain or 0) < found.gain_upper
    assert found.calibration_error is not None
    assert found.calibration_error < 0.05
    assert found.policy_gain_lower is not None
    assert "interval" in found.reason


@pytest.mark.parametrize(
    ("gate", "challenger", "champion", "says_so"),
    [
        ({"minimum": 0.9}, truth, None, r"roc_auc 0\.7\d+ is below the least allowed, 0\.9, by 0"),
        ({}, noise, truth, r"gain in roc_auc .* \(90% interval .*not above 0: short by 0\.\d+"),
        (
            {},
            truth,
            truth,
            r"\+0\.0000 \(90% interval \+0\.0000 to \+0\.0000\), .*short by 0\.0000",
        ),
        (
            {"maximum_calibration_error": 0.05},
            lambda seen: truth(seen) / 2,
            None,
            r"calibration error 0\.1\d+ is above the most allowed, 0\.05, by 0\.\d+",
        ),
        (
            {"minimum_policy_gain": 0.5},
            truth,
            None,
            r"policy's gain .* lower bound of .* below the least allowed, 0\.5, by 0\.\d+",
        ),
        ({}, lambda seen: np.where(truth(seen) > 0.5, np.nan, 0.1), None, r"scores are NaN"),
    ],
)
def test_each_refusal_names_its_bar_and_by_how_much(
    gate: dict[str, Any], challenger: Any, champion: Any, says_so: str
) -> None:
    """Metric, gain, an equal model, calibration, policy value, NaN."""
    found = judge(flywheel(**gate), rows(), *said(challenger, champion))
    assert not found.promoted
    assert pl.Series([found.reason]).str.contains(says_so).all(), found.reason


def test_a_promotion_that_gains_nothing_says_what_allowed_it() -> None:
    """A fresher model that is no better is promoted where the gate is declared so."""
    found = judge(flywheel(minimum_gain=-0.01), rows(), *said(truth, truth))
    assert found.promoted
    assert "its lower end above -0.01: a fresher model may be that much worse" in found.reason


def test_every_bar_that_was_missed_is_named() -> None:
    """Two failures are two reasons."""
    found = judge(flywheel(minimum=0.9, maximum_calibration_error=0.01), rows(), *said(noise))
    assert found.reason.count("; ") == 1
    assert "least allowed" in found.reason
    assert "most allowed" in found.reason


def test_without_support_only_a_gate_that_asks_refuses() -> None:
    """A log that never did what the challenger would do says nothing about its policy."""
    held = rows().with_columns(pl.lit("hold").alias("action"), pl.lit(1.0).alias("propensity"))
    careless = judge(flywheel(Epsilon(share=0.0)), held, *said(truth, noise, of=held))
    assert careless.promoted
    assert careless.policy_gain is None
    careful = judge(
        flywheel(Epsilon(share=0.0), minimum_policy_gain=-1.0), held, *said(truth, noise, of=held)
    )
    assert not careful.promoted
    assert "does not support" in careful.reason


def test_of_those_alone_who_were_carried_out_no_contest_can_be_held_again() -> None:
    """Among the carried out, places for all would make another policy's chances too great."""
    told = Fact(
        name="sent",
        observation=repurchase.outcome.fact.observation,
        owners=["team:crm"],
        description="Letters that went out.",
    )
    some = replace(repurchase.outcome, exposure=told)
    found = judge(replace(flywheel(), training_set=some), rows(), *said(truth, noise))
    assert found.promoted
    assert found.policy_value is None
    sure = replace(repurchase.policy, allocation=Threshold(action="contact", at=0.3))
    alone = replace(repurchase, training_set=some, decisions=sure)
    assert judge(alone, rows(), *said(truth, noise)).policy_value is not None
    with pytest.raises(DeclarationError, match=r"minimum_policy_gain=0\.0 and exposure 'sent'"):
        replace(flywheel(minimum_policy_gain=0.0), training_set=some)


def test_rmse_is_better_when_less() -> None:
    """The gain of a metric of which less is better is the champion's less the challenger's."""
    model = replace(repurchase.model, metric="rmse", gate=Gate(minimum=0.6))
    found = judge(replace(repurchase, model=model), rows(), *said(truth, noise))
    assert found.promoted, found.reason
    assert found.gain == pytest.approx((found.champion_value or 0) - (found.value or 0))


def test_resampled_metrics_are_sklearns_with_weights() -> None:
    """Ties and all: the curves by sample are those of scikit-learn with sample weights."""
    made = rows(300).with_columns((pl.col("truth") * 10).round() / 10)
    weights = next(_resampled(clusters(made, repurchase), 20, seed=5))
    label, score = made["outcome"].to_numpy(), made["truth"].to_numpy()
    for metric, theirs in (
        ("roc_auc", roc_auc_score),
        ("average_precision", average_precision_score),
        ("log_loss", log_loss),
    ):
        ours = _weighted(metric, made, Predicted(score[:, None]), repurchase)(weights)
        expected = [theirs(label, score, sample_weight=w) for w in weights]
        np.testing.assert_allclose(ours, expected, rtol=1e-9)
    assert (weights.sum(axis=1) == made.height).all()
    of_customer = made.select("customer_id").with_columns(w=pl.Series(weights[0]))
    assert of_customer.group_by("customer_id").agg(pl.col("w").n_unique())["w"].max() == 1


def test_the_interval_covers_the_true_gain() -> None:
    """Of 200 holdouts, rows of one customer alike, the 90% interval covers the gain in about 180.

    Rows taken as independent would cover it in far fewer: the interval is by customer.
    """
    chance = np.random.default_rng(11)
    world = replace(repurchase, model=replace(repurchase.model, metric="rmse"))

    def holdout(n: int) -> tuple[pl.DataFrame, Predicted, Predicted]:
        bent, label = chance.normal(size=n), chance.random(n) < 0.3
        same = {"customer_id": np.repeat(np.arange(n), 7), "outcome": np.repeat(label, 7)}
        one, other = 0.3 + 0.1 * bent, np.full(n, 0.3)
        guesses = (Predicted(np.repeat(g, 7)[:, None]) for g in (one, other))
        return pl.DataFrame(same).cast({"outcome": pl.Int8}), *guesses  # type: ignore[return-value]

    true = np.sqrt(0.21) - np.sqrt(0.21 + 0.01)
    covered = alone = 0
    for i in range(200):
        made, one, other = holdout(120)
        found = gain_interval(made, one, other, world, confidence=0.9, seed=i, replicates=200)
        covered += found.lower <= true <= found.upper
        each = made.with_columns(customer_id=pl.int_range(pl.len()))
        naive = gain_interval(each, one, other, world, confidence=0.9, seed=i, replicates=200)
        alone += naive.lower <= true <= naive.upper
    assert 165 <= covered <= 195
    assert alone < 120


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc"])
@pytest.mark.parametrize("n_entities", [1, 2, 19])
def test_luck_with_very_few_entities_promotes_nobody(n_entities: int, metric: Any) -> None:
    """Every sample of them is much the same, and an interval from those as good as none."""
    gate = flywheel(minimum=0.9 if metric == "log_loss" else 0.5, minimum_gain=-1.0)
    world = replace(gate, model=replace(gate.model, metric=metric))
    few = rows().with_columns(customer_id=pl.int_range(pl.len()) % n_entities)
    found = judge(world, few, *said(truth, noise))
    assert found.gain is not None
    assert found.gain > 0
    assert found.reason == (
        f"refused: the gain in {metric} over the champion has no interval: {n_entities} entities "
        "are too few to tell it from chance, 20 are needed"
    )
    assert judge(world, few, *said(truth)).promoted, "a first champion has nobody to beat"
    enough = few.with_columns(customer_id=pl.int_range(pl.len()) % 20)
    assert judge(world, enough, *said(truth, noise)).promoted


def test_luck_with_just_enough_entities_is_near_its_level() -> None:
    """Of 200 challengers that know nothing more than the champion, about one in twenty passes."""
    chance = np.random.default_rng(12)
    world = replace(repurchase, model=replace(repurchase.model, metric="rmse"))
    lucky = 0
    for i in range(200):
        customer = np.repeat(np.arange(20), 3)
        label = np.repeat(chance.random(20) < 0.5, 3)
        same = pl.DataFrame({"customer_id": customer, "outcome": label}).cast({"outcome": pl.Int8})
        one, other = (
            Predicted(np.repeat(0.5 + chance.normal(0, 0.1, 20), 3)[:, None]) for _ in range(2)
        )
        lucky += gain_interval(same, one, other, world, confidence=0.9, seed=i).lower > 0
    assert 2 <= lucky <= 22


def test_whom_several_keys_tell_apart_is_an_entity_by_all_of_them() -> None:
    """A thousand customers of three countries, where countries number them, are not three."""
    (view,) = repurchase.views
    customers = replace(view.entity, keys=("country", "customer_id"))
    numbered = replace(
        flywheel(minimum=0.0), features=replace(view, entity=customers, dimensions={})
    )
    made = rows().with_columns(
        country=pl.col("customer_id").mod(3).replace_strict({0: "AT", 1: "CH", 2: "DE"}),
        customer_id=pl.col("customer_id") // 3,
    )
    assert len(np.unique(clusters(made, numbered))) == N // 3
    verdict = judge(numbered, made, *said(truth, noise, of=made))
    assert verdict.promoted, verdict.reason


def test_no_outcome_of_training_overlaps_with_the_holdout() -> None:
    """What is trained on was known when the first judged decision was made."""
    world = flywheel(holdout=timedelta(days=7))
    days = [DAY - timedelta(days=i) for i in range(100)]
    older, holdout, inside = split(pl.DataFrame({"partition_date": days}), world, DAY)
    matures = world.outcome.matures_after
    first_decided = holdout["partition_date"].min() - matures  # type: ignore[operator]
    assert older["partition_date"].max() == first_decided
    assert holdout.height == 7
    assert inside["partition_date"].min() == DAY - timedelta(days=89)


ANY = Gate(minimum=-1.0, holdout=timedelta(days=1))


def quick() -> Any:
    """Build a classifier that is quick to fit."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB()


class Broken(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator whose training fails."""

    def fit(self, *_: Any, **__: Any) -> "Broken":
        raise ValueError("no luck today")


def test_what_cannot_be_trained_loaded_or_judged_is_refused_with_the_reason() -> None:
    """No matured data, one outcome only, an estimator that raises, a model that will not load."""
    world = flywheel(holdout=timedelta(days=1))
    features = {name: pl.lit(0.5) for name in world.model.features}
    early = rows().with_columns(
        **features, partition_date=pl.col("partition_date") - timedelta(days=40)
    )
    late = rows().with_columns(**features)
    both = pl.concat([early, late])

    def admit(*_: Any) -> Scorer:
        raise OSError("the disk ate it")

    def reason(data: pl.DataFrame, at: Flywheel = world) -> str:
        made = challenge(data, at, DAY, says(noise), admit)
        assert not made.verdict.promoted
        assert made.promoted is None
        return made.verdict.reason

    assert "no matured decisions in the training days" in reason(late)
    assert "no matured decisions in the holdout days" in reason(early)
    positive = both.with_columns(pl.lit(1, dtype=pl.Int8).alias("outcome"))
    assert "only outcome 1 in the" in reason(positive)
    assert "cannot be saved and loaded again: OSError: the disk ate it" in reason(both)
    broken = replace(world, model=replace(world.model, estimator=Broken))
    assert "cannot be trained" in reason(both, broken)
    assert "no luck today" in reason(both, broken)

    def mute(seen: pl.DataFrame) -> Predicted:
        raise ValueError(f"{seen.height} rows are too many")

    made = challenge(both, world, DAY, says(noise), lambda *_: mute)
    assert not made.verdict.promoted
    assert "cannot score the decisions it is judged on: ValueError: 500" in made.verdict.reason


def gone(seen: pl.DataFrame) -> Predicted:
    """Lack a feature, as a champion does when it was removed."""
    raise UnfitModelError(expected="all", found="no recency_days", remedy="train again")


def overflows(seen: pl.DataFrame) -> Floats:
    """Score some beyond all numbers, as a regression of logarithms does far from what it learnt."""
    return np.where(truth(seen) > 0.5, np.inf, 0.1)


@pytest.mark.parametrize(
    ("champion", "model", "policy", "why"),
    [
        (gone, {}, {}, "no recency_days"),
        (says(overflows), {}, {}, "scores are NaN or infinite"),
        (says(overflows), {"metric": "rmse"}, {}, "scores are NaN or infinite"),
        (says(noise), {"learner": "t"}, {"rank_by": "uplift"}, "found 1 columns"),
        (says(noise), {"replicates": 5}, {"exploration": Thompson()}, "has replicates"),
        (says(noise), {"learner": "t", "metric": "qini", "gate": ANY}, {}, "nothing of actions"),
    ],
)
def test_a_champion_that_no_longer_fits_is_not_in_the_way(
    champion: Scorer, model: dict[str, Any], policy: dict[str, Any], why: str
) -> None:
    """The challenger is judged as a first one is, and the verdict says why."""
    base = flywheel(holdout=timedelta(days=1))
    declared = {
        "estimator": quick,
        "features": ("log_orders_30d",),
        "gate": base.model.gate,
        **model,
    }
    late = rows().with_columns(log_orders_30d=pl.col("truth"))
    early = late.with_columns(partition_date=pl.col("partition_date") - timedelta(days=40))
    world = replace(
        base, model=replace(base.model, **declared), decisions=replace(base.policy, **policy)
    )
    made = challenge(
        pl.concat([early, late]), world, DAY, champion, lambda trained, _: scorer(trained, world)
    )
    assert made.verdict.promoted, made.verdict.reason
    assert made.verdict.gain is None
    assert "judged as a first champion" in made.verdict.reason
    assert "the champion could not be compared: " in made.verdict.reason
    assert why in made.verdict.reason


def test_what_no_gate_can_mean_is_an_error_at_declaration() -> None:
    """A window without rows to train on, crossing limits, calibration of what is no probability."""
    with pytest.raises(DeclarationError, match="lengthen training_window"):
        replace(repurchase, model=replace(repurchase.model, training_window=timedelta(days=36)))
    with pytest.raises(DeclarationError, match=r"from \.5 to below 1"):
        Gate(confidence=0.3)
    with pytest.raises(DeclarationError, match="without a bar for calibration"):
        replace(
            repurchase.model,
            target="reward",
            metric="rmse",
            gate=Gate(maximum_calibration_error=0.1),
        )
