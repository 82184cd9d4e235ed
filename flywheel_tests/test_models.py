"""Models as they are saved: what is loaded scores as what was trained, or is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel_assets import Arms, Drift, Gate
from flywheel_assets.errors import HomeError, UnfitModelError
from flywheel_assets.stages.model import scorer, train, training_digest
from flywheel_assets.stores.models import Models
from flywheel_assets.stores.registry import Registry
from flywheel_assets.stores.signature import example, signature
from flywheel_tests.logged import ARMS, BASE, EFFECT, flywheel, log


def tree() -> Any:
    """Build an estimator that is loaded only by who trusts its nodes: they are not checked."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=3)


def quick() -> Any:
    """Build a classifier that is quick to fit."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB()


def text() -> Any:
    """Build a small table pipeline."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from skrub import tabular_pipeline

    return tabular_pipeline(HistGradientBoostingClassifier(max_iter=5))


def shallow() -> Any:
    """Build one for effects."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from skrub import tabular_pipeline

    return tabular_pipeline(HistGradientBoostingRegressor(max_iter=5))


def register(
    models: Models,
    estimator: Any,
    trusted: tuple[str, ...] = (),
    features: pl.DataFrame | None = None,
) -> int:
    """Register a training."""
    return models.register(
        "repurchase.m",
        estimator,
        experiment="repurchase",
        day="2026-03-01",
        fingerprint=repr(estimator),
        metrics={},
        params={},
        trusted=trusted,
        features=features,
    )


def test_every_kind_of_model_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    """Through our trusted list without additions, and by MLflow itself."""
    import mlflow.sklearn

    models, rows = Models(tmp_path / "mlflow"), log(400)
    kinds: tuple[dict[str, Any], ...] = (
        {
            "features": (BASE, "country"),
            "effect_estimator": shallow,
            "learner": "x",
            "estimator": text,
        },
        {"estimator": quick, "calibration": "sigmoid", "class_weight": "balanced"},
        {"estimator": quick, "learner": "s", "calibration": "isotonic", "replicates": 2},
        {"arms": True, "learner": "t", "target": "reward", "metric": "rmse"},
    )
    for model in kinds:
        wheel = flywheel(**model)
        mine = rows.with_columns(action=rows["action"].replace({"contact": "low", "hold": "none"}))
        trained = train(mine if model.get("arms") else rows, wheel)
        version = register(models, trained)
        loaded = scorer(models.load("repurchase.m", version, ()), wheel)(rows)
        expected = scorer(trained, wheel)(rows)
        assert loaded.expected.tobytes() == expected.expected.tobytes()
        if expected.replicates is not None:
            assert loaded.replicates is not None
            assert loaded.replicates.tobytes() == expected.replicates.tobytes()
        plain = mlflow.sklearn.load_model(f"models:/repurchase.m/{version}")
        table = rows[list(trained.features)]
        seen = table if trained.framed else table.to_numpy()
        assert (plain.predict(seen) == trained.predict(seen)).all()
        assert (plain.predict(rows) == trained.predict(seen)).all()


def test_a_model_of_types_that_are_not_trusted_is_not_loaded(tmp_path: Path) -> None:
    """Whatever MLflow says of itself: what counts is the declaration's list, and ours."""
    models = Models(tmp_path / "mlflow")
    wheel, trusted = flywheel(estimator=tree), ("sklearn.tree._tree.Tree",)
    version = register(models, train(log(100), wheel), trusted=trusted)
    with pytest.raises(UnfitModelError, match=r"sklearn\.tree\._tree\.Tree"):
        models.load("repurchase.m", version, ())
    loaded = scorer(models.load("repurchase.m", version, trusted), wheel)
    assert np.isfinite(loaded(log(100)).expected).all()


def test_a_model_that_was_changed_on_disk_is_not_loaded(tmp_path: Path) -> None:
    models = Models(tmp_path / "mlflow")
    version = register(models, train(log(100), flywheel(estimator=quick)))
    (file,) = tmp_path.rglob("model.skops")
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(HomeError, match="sha256"):
        models.load("repurchase.m", version, ())
    file.unlink()
    with pytest.raises(HomeError, match=r"the file of repurchase\.m version 1; .*flywheel doctor"):
        models.load("repurchase.m", version, ())


def test_what_another_release_saved_bare_does_not_fit(tmp_path: Path) -> None:
    """An estimator that does not know its features is an error with a remedy."""
    models = Models(tmp_path / "mlflow")
    version = register(models, quick().fit([[0.0], [1.0]], [0, 1]))
    with pytest.raises(UnfitModelError, match="GaussianNB, which another release saved; train"):
        scorer(models.load("repurchase.m", version, ()), flywheel(estimator=quick))


def test_what_an_estimator_raises_is_told_as_a_model_that_does_not_fit() -> None:
    """A feature that has become text since."""
    wheel, rows = flywheel(estimator=quick), log(100)
    score = scorer(train(rows, wheel), wheel)
    with pytest.raises(UnfitModelError, match="found InvalidOperationError"):
        score(rows.with_columns(pl.lit("many").alias(BASE)))


def test_the_digest_of_a_training_is_of_what_trains() -> None:
    """Not of how the model is watched, judged and scheduled; of arms only where it knows them."""
    wheel = flywheel(estimator=quick)
    for judged in (
        {"drift": Drift(psi_warn=0.2)},
        {"gate": Gate(minimum=0.9)},
        {"retrain": "daily"},
        {"metric": "log_loss"},
        {"description": "another"},
    ):
        assert training_digest(flywheel(estimator=quick, **judged)) == training_digest(wheel)
    others: tuple[dict[str, Any], ...] = (
        {"estimator": tree},
        {"features": (EFFECT, BASE)},
        {"target": "reward", "metric": "rmse"},
        {"learner": "t"},
        {"learner": "x", "effect_estimator": shallow},
        {"calibration": "sigmoid"},
        {"class_weight": "balanced"},
        {"propensity_weight": True},
        {"replicates": 3},
    )
    digests = {training_digest(flywheel(**{"estimator": quick, **o})) for o in others}
    assert len(digests | {training_digest(wheel)}) == len(others) + 1
    arms = flywheel(arms=True)
    dearer = tuple(replace(a, features={"price": a.features["price"] * 2}) for a in ARMS)
    policy = replace(arms.policy, allocation=Arms(arms=dearer))
    assert training_digest(replace(arms, decisions=policy)) != training_digest(arms)


def test_plain_mlflow_scores_a_frame_of_the_view(tmp_path: Path) -> None:
    """By either loader, with more columns than the model takes, whole numbers and unknown ones."""
    import mlflow.pyfunc

    models, wheel = (
        Models(tmp_path / "mlflow"),
        flywheel(features=(BASE, "country"), estimator=text),
    )
    rows = log(400)
    trained = train(rows, wheel)
    version = register(models, trained, features=rows.select(trained.features))
    expected = trained.predict(rows)
    loaded = mlflow.pyfunc.load_model(f"models:/repurchase.m/{version}")
    assert (loaded.predict(rows.to_pandas()) == expected).all()
    assert loaded.metadata.signature.inputs.input_names() == [BASE, "country"]
    made_up = loaded.input_example
    assert made_up.shape == (1, 2)
    assert loaded.predict(made_up).shape == (1, 1)


def test_a_made_up_row_is_nobodys() -> None:
    """Whole numbers stay whole, and no text is shown, however many rows share it."""
    rows = pl.DataFrame(
        {
            "spent": [*[1.0] * 30, 5.0, None, float("nan")],
            "orders": [1, 2, *[3] * 31],
            "unknown": pl.Series([None] * 33, dtype=pl.Int64),
            "country": ["France"] * 33,
            "asked": [True] * 33,
        }
    )
    (row,) = pl.from_pandas(example(rows)).to_dicts()
    assert row == {
        "spent": 1.0,
        "orders": 3,
        "unknown": None,
        "country": None,
        "asked": False,
    }
    types = {c.name: str(c.type) for c in signature(rows, 1).inputs.inputs}
    assert types["orders"] == "DataType.long"
    assert types["spent"] == "DataType.double"
    assert types["unknown"] == "Any"


def test_steps_said_twice_stand_once(tmp_path: Path) -> None:
    """A day that is materialized again adds nothing to the run's metrics."""
    models = Models(tmp_path / "mlflow")
    version = register(models, train(log(100), flywheel(estimator=quick)))
    registry, moment = Registry(models), datetime(2026, 3, 1, tzinfo=UTC)
    for _ in range(2):
        registry.log_steps("repurchase.m", version, {"auc": {1: 0.7, 2: 0.8}}, moment)
    run = str(models.client().get_model_version("repurchase.m", str(version)).run_id)
    history = models.client().get_metric_history(run, "auc")
    assert [(m.step, m.value) for m in history] == [(1, 0.7), (2, 0.8)]
