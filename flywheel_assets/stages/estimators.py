"""Learners as a model declares them: default estimators, seeded, weighted, calibrated."""

from typing import Any

from flywheel_assets.declare.allocate import Arms
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import Model
from flywheel_assets.errors import TrainingError

FOLDS = 5


def learner(flywheel: Flywheel, *, framed: bool, seed: int, weighted: bool) -> Any:
    """Build what is to be fitted: an S-, T- or X-learner, or a plain estimator.

    Parameters
    ----------
    framed : bool
        Whether features come as a Polars frame.
    seed : int
        For every ``random_state`` that the declaration leaves open.
    weighted : bool
        Whether it must take weights.

    Raises
    ------
    TrainingError
        When the declared estimator does not fit what it is to predict.
    """
    from flywheel_assets.stages.learners import SLearner, TLearner, XLearner

    model, n_actions = flywheel.model, len(flywheel.policy.actions)
    levels = _levels(model, framed=framed, seed=seed, weighted=weighted)
    if model.learner == "s":
        return SLearner(levels, *_action_columns(flywheel))
    if model.learner == "t":
        return TLearner(levels, n_actions)
    if model.learner == "x":
        effects = _effects(model, framed=framed, seed=seed, weighted=weighted)
        return XLearner(levels, effects, n_actions)
    return levels


def _levels(model: Model, *, framed: bool, seed: int, weighted: bool) -> Any:
    from flywheel_assets.stages.learners import Weighted

    built = model.estimator() if model.estimator else _default(model, framed=framed)
    _check_kind(built, model)
    _fill_in(built, seed)
    balanced = model.class_weight == "balanced"
    if weighted or balanced:
        built = Weighted(built, balanced=balanced)
    if model.calibration == "none":
        return built
    from sklearn.calibration import CalibratedClassifierCV

    # The folds' estimators only teach the calibrator, so that scoring costs what one of them does.
    return CalibratedClassifierCV(built, method=model.calibration, cv=FOLDS, ensemble=False)


def _effects(model: Model, *, framed: bool, seed: int, weighted: bool) -> Any:
    from flywheel_assets.stages.learners import Weighted

    built = model.effect_estimator() if model.effect_estimator else _shallow(framed=framed)
    _fill_in(built, seed)
    # What is changed is learnt from the rows' weights, too, where levels are of balanced classes.
    balanced = model.class_weight == "balanced" and model.calibration == "none"
    return Weighted(built) if weighted or balanced else built


def _check_kind(estimator: Any, model: Model) -> None:
    """Refuse a classifier of rewards, and what only classifiers have of a regressor."""
    from sklearn.base import is_classifier

    classifies = is_classifier(estimator)
    for wrong, what in (
        (classifies and model.target == "reward", "a regressor, to predict a reward"),
        (not classifies and model.calibration != "none", "a classifier, to calibrate"),
        (not classifies and model.class_weight != "none", "a classifier, to weigh classes"),
    ):
        if wrong:
            raise TrainingError(
                expected=f"model {model.name!r} with {what}",
                found=type(estimator).__name__,
                remedy="declare another estimator",
            )


def _action_columns(flywheel: Flywheel) -> tuple[list[str], list[list[float]]]:
    """Tell actions apart: names of columns, and for each action their values."""
    allocation, actions = flywheel.policy.allocation, flywheel.policy.actions
    names = [n for n in flywheel.policy.arm_features if n in flywheel.model.features]
    if isinstance(allocation, Arms) and names:
        return names, [[float(arm.features[n]) for n in names] for arm in allocation.arms]
    others = actions[:-1]
    names = [f"action_{other}" for other in others]
    return names, [[float(action == other) for other in others] for action in actions]


def _default(model: Model, *, framed: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = (
        HistGradientBoostingRegressor
        if model.target == "reward"
        else HistGradientBoostingClassifier
    )
    return _tabular(kind()) if framed else kind()


def _shallow(*, framed: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    # What an action changes is small beside the noise: small trees, slowly.
    trees = HistGradientBoostingRegressor(
        max_iter=60, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=50
    )
    return _tabular(trees) if framed else trees


def _tabular(trees: Any) -> Any:
    from skrub import tabular_pipeline

    return tabular_pipeline(trees)


def _fill_in(estimator: Any, seed: int) -> None:
    """Fill in ``random_state`` where it is open, so that the same rows train the same model."""
    for name, value in estimator.get_params(deep=True).items():
        if name.split("__")[-1] == "random_state" and value is None:
            estimator.set_params(**{name: seed})
