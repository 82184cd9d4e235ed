"""Models as they are saved: what is loaded scores as what was trained, or is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flywheel_assets.errors import HomeError
from flywheel_assets.stages.model import scorer, train
from flywheel_assets.stores.models import Models
from flywheel_tests.logged import BASE, flywheel, log


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


def register(models: Models, estimator: Any, trusted: tuple[str, ...] = ()) -> int:
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


def test_a_model_of_types_that_are_not_trusted_is_not_loaded(tmp_path: Path) -> None:
    """Whatever MLflow says of itself: what counts is the declaration's list, and ours."""
    models = Models(tmp_path / "mlflow")
    wheel, trusted = flywheel(estimator=tree), ("sklearn.tree._tree.Tree",)
    version = register(models, train(log(100), wheel), trusted=trusted)
    with pytest.raises(Exception, match=r"sklearn\.tree\._tree\.Tree"):
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
