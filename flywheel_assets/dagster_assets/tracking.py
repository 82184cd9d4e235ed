"""What a trained version leaves in MLflow: its run, its card in words, pictures, links."""

from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.judged import judged_figures
from flywheel_assets.dagster_assets.model_card import model_words, version_words
from flywheel_assets.dagster_assets.pages import partition_page, run_url
from flywheel_assets.dagster_assets.plots import draws_training
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report.drawing import picture
from flywheel_assets.stages.model import buffers_digest
from flywheel_assets.stages.predicted import Scorer
from flywheel_assets.stores.promotions import Champion
from flywheel_assets.stores.registry import TrainingRows, registered_name

if TYPE_CHECKING:
    from flywheel_assets.stages.learners import Trained


def register_version(  # noqa: PLR0913, PLR0917  what a version is registered with
    build: Build,
    flywheel: Flywheel,
    day: date,
    trained: "Trained",
    source: TrainingRows,
    used: pl.DataFrame,
    registered: list[int],
) -> int:
    """Track a training and register what came of it.

    Parameters
    ----------
    used : DataFrame
        The rows that it was trained on.
    registered : list of int
        The versions of this training so far: the first is the one that is judged.
    """
    model, name = flywheel.model, registered_name(flywheel)
    version = build.models.register(
        name,
        trained,
        experiment=flywheel.name,
        day=day.isoformat(),
        fingerprint=f"{source.sha256}:{source.declaration}",
        formerly=f"{buffers_digest(used, flywheel)}:{source.declaration}",
        metrics={"n_training_rows": source.n_rows},
        params=_parameters(flywheel, trained),
        trusted=model.trusted_types,
        features=used.select(trained.features),
        page=partition_page(f"{flywheel.name}/model", day),
    )
    build.registry.describe(name, version, source, registered[0] if registered else None)
    return version


def _parameters(flywheel: Flywheel, trained: "Trained") -> dict[str, Any]:
    model = flywheel.model
    return {
        "estimator": trained.estimator,
        "training_window": model.training_window,
        "n_features": len(trained.features),
        "learner": model.learner,
        "target": model.target,
        "metric": model.metric,
        "calibration": model.calibration,
        "class_weight": model.class_weight,
        "propensity_weight": model.propensity_weight,
        "from_last_change": model.from_last_change,
        "replicates": model.replicates,
        "holdout": model.gate.holdout,
    }


def describe_version(
    build: Build, flywheel: Flywheel, version: int, source: TrainingRows, row: dict[str, Any]
) -> None:
    """Write the card of a version, once the gate has looked at it."""
    words = version_words(flywheel, source, row, version)
    name = registered_name(flywheel)
    build.registry.describe_in_words(name, version, model_words(flywheel), words)


def draw_judged(  # noqa: PLR0913, PLR0917  which version, and what it was judged on
    build: Build,
    flywheel: Flywheel,
    day: date,
    version: int,
    holdout: pl.DataFrame,
    scored: Scorer,
) -> dict[str, str]:
    """Draw how a version does on what it was judged on, and keep that on its MLflow run.

    Returns
    -------
    dict of str to str
        Pictures by their titles; none where a run does not draw.
    """
    if not draws_training(flywheel.model.retrain, day):
        return {}
    name, shown = registered_name(flywheel), judged_figures(holdout, scored, flywheel)
    pictures = {title: picture(spec) for title, spec in shown.items()}
    for title, svg in pictures.items():
        build.registry.log_file(name, version, svg, f"plots/{title}.svg")
    return pictures


def run_pages(
    build: Build, flywheel: Flywheel, standing: Champion | None, version: int | None
) -> dict[str, dg.UrlMetadataValue]:
    """Lead to the MLflow runs of the champion and of what was trained last."""
    name = registered_name(flywheel)
    wanted = {"champion_run": standing.version if standing else None, "newest_run": version}
    return {
        label: dg.MetadataValue.url(run_url(build.registry.run_page(name, number)))
        for label, number in wanted.items()
        if number is not None
    }
