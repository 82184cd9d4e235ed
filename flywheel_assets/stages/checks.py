"""What must hold of each stage's rows; the blocking checks protect what is downstream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import (
    AS_OF,
    DECISION_ID,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
    RETRACTS,
)
from flywheel_assets.errors import many
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.decisions import DECIDED_AT
from flywheel_assets.stages.silence import silent_on, silent_since, usual
from flywheel_assets.stages.training_set import LABEL

KNOWS_ITS_USUAL = 7
WEEK = 7 * DAY
"""After so many days without a gap a day without a record is none of an observation's own."""


@dataclass(frozen=True)
class Check:
    """One check of one asset, and what came of it.

    Parameters
    ----------
    message : str
        What is wrong and what to do, or what was found right.
    """

    name: str
    passed: bool
    message: str
    warns: bool = False


BLOCKING: dict[str, tuple[str, ...]] = {
    "collect": ("contract", "unique_ids", "accounted_for", "known_on_its_day"),
    "organize": ("unique_ids", "known_on_its_day"),
    "dimension": ("known_on_its_day",),
    "features": ("one_row_for_each_entity", "as_of_its_close"),
    "training_set": ("unique_decisions", "labels", "features_as_decided"),
    "decisions": ("unique_decisions", "score_range", "propensities"),
}
WARNING: dict[str, tuple[str, ...]] = {
    "collect": ("comes_in",),
    "decisions": ("decides", "answers"),
    "training_set": ("label_rate",),
    "model": ("trains", "metric_range", "aliases_follow_the_ledger"),
    "performance": ("accounted_for",),
    "drift": ("feature_drift", "score_drift", "label_drift", "calibration"),
}


def collect(
    rows: pl.DataFrame, accounts: pl.DataFrame, required: Sequence[str], received: int
) -> list[Check]:
    """Check collected observations."""
    # A retraction has no payload.
    whole = rows.filter(pl.col(RETRACTS).is_null())
    missing = whole.select(pl.any_horizontal(pl.col(required).is_null()).sum()).item()
    off = accounts.filter(
        pl.col("received") != pl.col("collected") + pl.col("rejected") + pl.col("duplicates")
    ).height
    total = int(accounts["received"].sum())
    return [
        _count("contract", missing, "row", "without a required value"),
        _unique("unique_ids", rows, [OBSERVATION_ID]),
        Check(
            name="accounted_for",
            passed=off == 0 and total == received,
            message=f"{many(received, 'record')} read, {total:,} accounted for, {many(off, 'day')} "
            "on which collected + rejected + duplicates is another number",
        ),
        _known(rows),
    ]


def comes_in(  # noqa: PLR0913, PLR0917  what there is, which days, and where the source ends
    counts: Mapping[date, int],
    start: date,
    first: date,
    last: date,
    ends: date | None,
    told: date | None,
) -> Check:
    """Check that a source says as much as it used to.

    Parameters
    ----------
    counts : mapping of date to int
        Observations of each day that has any.
    start, first, last : date
        The home's first day, and the first and the last that were collected; a day of the week
        before the last one is looked at in any case.
    ends : date, optional
        The last day that the source has a record of, where it is read as a whole.
    told : date, optional
        The newest day of which that source has told before.
    """
    since = silent_since(counts, start, last, KNOWS_ITS_USUAL)
    recent = min(first, last - WEEK + DAY)
    wrong = [
        f"no record on {day}, and some on each of the {len(usual(start, day))} days before"
        for day in silent_on(counts, start, recent, last, KNOWS_ITS_USUAL)
        if day != since
    ]
    if since is not None:
        before = len(usual(start, since))
        wrong.append(f"no record since {since}, and some on each of the {before} days before")
    if ends is not None and told is not None and ends < told:
        wrong.append(f"its source ends on {ends}, and was collected up to {told} before")
    message = "; ".join(wrong) or "records as on other days"
    return Check(name="comes_in", passed=not wrong, message=message, warns=True)


def organize(rows: pl.DataFrame) -> list[Check]:
    """Check a fact."""
    return [_unique("unique_ids", rows, [OBSERVATION_ID]), _known(rows)]


def dimension(rows: pl.DataFrame) -> list[Check]:
    """Check a dimension."""
    return [_known(rows)]


def features(rows: pl.DataFrame, keys: Sequence[str]) -> list[Check]:
    """Check a feature view."""
    late = rows.filter(pl.col(AS_OF).dt.date() != pl.col(PARTITION) + pl.duration(days=1)).height
    return [
        _unique("one_row_for_each_entity", rows, [PARTITION, *keys]),
        _count("as_of_its_close", late, "row", "not as of the close of the day"),
    ]


def training_set(rows: pl.DataFrame, again: pl.DataFrame) -> list[Check]:
    """Check a training set.

    Parameters
    ----------
    again : DataFrame, (n_rows, ...)
        Each row's features, computed straight from facts and dimensions at its decision.
    """
    wrong = rows.filter(~pl.col(LABEL).is_in([0, 1]) | pl.col(LABEL).is_null()).height
    newest = rows.filter(pl.col(PARTITION) == pl.col(PARTITION).max())
    rate = newest[LABEL].mean()
    share = float(rate) if isinstance(rate, float) else None
    rated = "no decision has matured yet"
    if share is not None:
        on = newest[PARTITION][0]
        rated = f"{share:.1%} positive of the {newest.height:,} decisions that matured on {on}"
    return [
        _unique("unique_decisions", rows, [DECISION_ID]),
        _count("labels", wrong, "outcome", "neither 0 nor 1"),
        _as_decided(rows, again),
        Check(
            name="label_rate",
            passed=share is None or 0 < share < 1,
            message=rated,
            warns=True,
        ),
    ]


def model(rows: pl.DataFrame) -> list[Check]:
    """Check a training's figures."""
    value = pl.col("value")
    share = pl.col("metric").is_in(["roc_auc", "average_precision"])
    wrong = rows.filter(~value.is_finite() | (share & ~value.is_between(0, 1))).height
    which = "no number, or an area outside 0 to 1"
    return [_count("metric_range", wrong, "metric", which, warns=True)]


def trains(attempts: Mapping[date, tuple[bool, str]]) -> Check:
    """Check that the newest training came to a verdict; an error is none.

    Parameters
    ----------
    attempts : mapping of date to (bool, str)
        Whether the training of each day that trains failed, and its verdict, in the order of days.
    """
    since = None
    for day, (failed, _) in attempts.items():
        since = (since or day) if failed else None
    message = (
        "the newest training came to a verdict" if attempts else "no training yet that says so"
    )
    if since is not None:
        day = max(attempts)
        message = f"the training of {day}: {attempts[day][1]}; so it is since {since}"
    return Check(name="trains", passed=since is None, message=message, warns=True)


def decides(counts: Mapping[date, int], start: date, last: date, known: int) -> Check:
    """Check that decisions are about anybody.

    Parameters
    ----------
    counts : mapping of date to int
        Decisions of each day that has any.
    start, last : date
        The home's first day, and the last that was decided.
    known : int
        Entities with features on the last day.
    """
    n, since = counts.get(last, 0), silent_since(counts, start, last)
    wrong = None
    if since is not None:
        wrong = f"no decision since {since}, and {counts[since - DAY]} on the day before"
    elif known and not any(counts.values()):
        wrong = "no decision on any day so far"
    if wrong is not None:
        wrong += f"; of {known} that are known on {last} the policy considers none"
    return Check(
        name="decides", passed=wrong is None, message=wrong or many(n, "decision"), warns=True
    )


def decisions(rows: pl.DataFrame, flywheel: Flywheel) -> list[Check]:
    """Check decisions before they are published."""
    score = pl.col("score")
    modelled = pl.col("model_version").is_not_null()
    # The bootstrap rule may know nothing of a candidate, who then comes last; a model may not.
    broken = rows.filter((modelled & score.is_null()) | ~score.is_finite()).height
    outside, expected = 0, "finite"
    if flywheel.model.target == "outcome":
        least = -1 if flywheel.policy.rank_by == "uplift" else 0
        outside = rows.filter(modelled & ~score.is_between(least, 1)).height
        expected = f"from {least} to 1 where a model scored"
    chance = pl.col("propensity")
    improbable = rows.filter(chance.is_null() | (chance <= 0) | (chance > 1)).height
    return [
        _unique("unique_decisions", rows, [DECISION_ID]),
        _count("score_range", broken + outside, "score", f"not {expected}, or a model's null"),
        _count("propensities", improbable, "chance", "of an action outside (0, 1]"),
    ]


def performance(rows: pl.DataFrame, matured: int) -> list[Check]:
    """Check that performance speaks of every matured decision."""
    spoken = int(rows.filter(ranking="score")["n_decisions"].sum())
    return [
        Check(
            name="accounted_for",
            passed=spoken == matured,
            message=f"{spoken:,} of {many(matured, 'matured decision')}",
            warns=True,
        )
    ]


def _as_decided(rows: pl.DataFrame, again: pl.DataFrame) -> Check:
    """Compare what decisions saw with what they should have seen; floats to twelve digits."""
    differ, where = {}, pl.repeat(False, rows.height, eager=True)  # noqa: FBT003
    for name in set(again.columns) & set(rows.columns):
        seen, now = rows[name], again[name]
        other = seen.ne_missing(now)
        if seen.dtype.is_float():
            other &= ~((seen - now).abs() <= 1e-12 * now.abs()).fill_null(value=False)
        if other.any():
            differ[name] = int(other.sum())
            where |= other
    worst = sorted(differ, key=lambda name: -differ[name])[:3]
    named = "".join(f", {differ[name]} of {name}" for name in worst)
    decided = many(rows.height, "decision")
    which = f"other than what the decision saw{named} (of {decided})"
    if differ:
        # A decision is made when its day closes.
        first = rows.filter(where).select((pl.col(DECIDED_AT).min() - DAY).dt.date()).item()
        which += f", decided on {first} first"
    return _count("features_as_decided", sum(differ.values()), "feature", which)


def _count(name: str, wrong: int, one: str, which: str, *, warns: bool = False) -> Check:
    message = f"{many(wrong, one)} {which}"
    return Check(name=name, passed=wrong == 0, message=message, warns=warns)


def _unique(name: str, rows: pl.DataFrame, columns: Sequence[str]) -> Check:
    surplus = rows.height - rows.select(columns).n_unique()
    return _count(name, surplus, "row", f"beyond the first of the same {' and '.join(columns)}")


def _known(rows: pl.DataFrame) -> Check:
    late = rows.filter(pl.col(KNOWN_AT).dt.date() > pl.col(PARTITION)).height
    return _count("known_on_its_day", late, "row", "known only after the day had closed")
