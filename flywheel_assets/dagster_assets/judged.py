"""How well a version ranks what it was judged on, and whether it means what it says."""

from typing import TYPE_CHECKING

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.report import figures
from flywheel_assets.report.drawing import Spec
from flywheel_assets.report.ranking import calibration_of, curve_of, is_rare
from flywheel_assets.stages.metrics import of_taken
from flywheel_assets.stages.training_set import LABEL

if TYPE_CHECKING:
    from flywheel_assets.stages.predicted import Scorer

WIDTH = 420


def judged_figures(holdout: pl.DataFrame, scored: "Scorer", flywheel: Flywheel) -> dict[str, Spec]:
    """Describe the curves of a version on decisions that it has not seen, by their titles.

    Parameters
    ----------
    holdout : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``.

    Returns
    -------
    dict of str to Spec
        The ROC curve, or precision against recall where the outcome is rare, if there are both
        outcomes; and the calibration of a probability.
    """
    if holdout.is_empty():
        return {}
    expected = of_taken(scored(holdout), holdout, flywheel)
    label = holdout[LABEL].to_numpy()
    rate, rare = float(label.mean()), is_rare(float(label.mean()))
    found: dict[str, Spec] = {}
    curve, area = curve_of(label, expected, rare=rare)
    if area is not None:
        title = "precision_and_recall" if rare else "roc_curve"
        found[title] = figures.curve(curve, rare=rare, rate=rate, width=WIDTH)
    if flywheel.model.target == "outcome":
        said = pl.DataFrame({"score": expected, LABEL: label})
        found["calibration"] = figures.calibration(calibration_of(said), WIDTH)
    return found
