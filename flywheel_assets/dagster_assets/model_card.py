"""What a model is for, what it was trained on, how it was judged and where it ends, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import many
from flywheel_assets.stores.registry import TrainingRows

_NAMED = 30


def model_words(flywheel: Flywheel) -> str:
    """Say what a flywheel's model is for."""
    model = flywheel.model
    return (
        f"{model.description} It decides for the flywheel {flywheel.name}: {flywheel.description} "
        f"{flywheel.policy.description} Owners: {', '.join(model.owners)}."
    )


def version_words(
    flywheel: Flywheel, source: TrainingRows, row: Mapping[str, Any], version: int
) -> str:
    """Write the card of one version.

    Parameters
    ----------
    row : mapping
        Of ``<flywheel>/model``: what the gate found.
    """
    model, outcome = flywheel.model, flywheel.outcome
    learns = "what a decision is worth" if model.target == "reward" else "if the outcome follows"
    wait = outcome.matures_after.days
    sections = {
        "What it is for": f"{model.description} It learns {learns}: {outcome.description} "
        f"It decides for {flywheel.name}: {flywheel.description}",
        "Trained on": f"{many(source.n_rows, 'matured decision')}, partitions {source.first} to "
        f"{source.last} of {source.table} at Delta version {source.delta_version}, with "
        f"{many(len(model.features), 'feature')}: {_some(model.features)}.",
        "Judged": _judged(row, model.metric, version),
        "Limits": f"It knows only whom the policy considered, and outcomes at least "
        f"{many(wait, 'day')} old; of others, and after a change that has not matured, it guesses. "
        f"{flywheel.name}/drift says how far days are from what it was trained on.",
        "Owners": f"{', '.join(model.owners)}.",
    }
    return "\n\n".join(f"**{title}.** {text}" for title, text in sections.items())


def _some(names: Sequence[str]) -> str:
    """Name a few: MLflow keeps five thousand characters."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _judged(row: Mapping[str, Any], metric: str, version: int) -> str:
    text = (
        f"On {many(row['n_holdout'] or 0, 'decision')} made when all that it learnt from was known."
    )
    if row["value"] is not None:
        text += f" Its {metric} was {row['value']:.4f}"
        if row["champion_value"] is not None:
            text += f", the champion's {row['champion_value']:.4f} on the same rows"
        text += "."
    text += f" Verdict: {row['verdict']}."
    judged = row["judged_version"]
    if judged != version:
        text += f" That was version {judged}; this is the same, trained again on everything."
    return text
