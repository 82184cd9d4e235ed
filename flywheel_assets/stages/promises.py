"""What each check promises, and what to do when it fails: the words beside its name in the UI."""

from typing import NamedTuple


class Promise(NamedTuple):
    """What holds while a check passes, and what mends it."""

    holds: str
    remedy: str


_AGAIN = (
    "materialize the day again; if it stays, the stage that makes it is at fault: tell its owner"
)

PROMISES: dict[str, Promise] = {
    "contract": Promise(
        "Every observation has a value in each field that its contract requires.", _AGAIN
    ),
    "unique_ids": Promise("No observation_id stands twice.", _AGAIN),
    "accounted_for": Promise(
        "Nothing is lost: all that came in is here, or set aside with its reason, or was here "
        "before.",
        _AGAIN,
    ),
    "known_on_its_day": Promise("Each row became known on the day of its partition.", _AGAIN),
    "comes_in": Promise(
        "Records come in on each day, where they always did, and a source keeps what it told.",
        "look whether the source is whole; put it right, then flywheel run --again --from that day "
        "on; if there was nothing to tell, nothing is to be done",
    ),
    "trains": Promise(
        "Trainings come to a verdict of the gate, not to an error.",
        "mend the estimator or what it is given; the next training day tries it, and until then "
        "whoever decided before decides",
    ),
    "decides": Promise(
        "Decisions are about somebody, where they were before.",
        "look at candidates= and the filters of the policy, and at the features that they ask",
    ),
    "answers": Promise("What answers a decision names one that was made.", ""),
    "one_row_for_each_entity": Promise("An entity has one row a day.", _AGAIN),
    "as_of_its_close": Promise("Features stand for the midnight (UTC) that ends the day.", _AGAIN),
    "unique_decisions": Promise("No decision_id stands twice.", _AGAIN),
    "labels": Promise("Every outcome is 0 or 1.", "look at the outcome's where and reward"),
    "features_as_decided": Promise(
        "A training row holds what its decision saw, computed anew from facts and dimensions.",
        "see what changed by flywheel plan and apply it; where it knows of nothing, earlier days "
        "were made again without these: flywheel run NAME --from that day --to the newest day "
        "--decide-again",
    ),
    "label_rate": Promise(
        "Matured decisions have outcomes of both kinds.",
        "wait for more to mature, or look whether the outcome is declared as it was meant",
    ),
    "metric_range": Promise(
        "A training's figures are numbers, and areas lie between 0 and 1.",
        "look at the training's run in MLflow; the champion decides meanwhile",
    ),
    "aliases_follow_the_ledger": Promise(
        "MLflow's champion is the version that the promotions ledger names.",
        "run flywheel doctor --mend: the ledger holds",
    ),
    "score_range": Promise(
        "Every candidate that a model looked at has a score that can be.",
        "roll back by flywheel rollback, and look at the model's run",
    ),
    "propensities": Promise(
        "The probability of each logged action is above 0 and at most 1.",
        "look at the policy's exploration: what has no chance cannot be learnt from",
    ),
    "feature_drift": Promise("Features are distributed as when the champion was trained.", ""),
    "score_drift": Promise("Scores are distributed as when the champion was trained.", ""),
    "label_drift": Promise("Outcomes are as frequent as when the champion was trained.", ""),
    "calibration": Promise("Predicted probabilities are as frequent as they say.", ""),
    "unique_key": Promise("No two facts share what is declared to be unique.", ""),
}
"""By the check's name; a check whose message says what to do itself has no remedy here."""


def promise(check: str) -> Promise:
    """Give a check's promise; of those named ``in_<dimension>`` that of a reference.

    Examples
    --------
    >>> promise("in_product").holds
    'What facts refer to is known in dimension product.'
    """
    if check in PROMISES:
        return PROMISES[check]
    return Promise(f"What facts refer to is known in dimension {check.removeprefix('in_')}.", "")
