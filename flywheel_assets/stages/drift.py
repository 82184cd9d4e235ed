"""Drift: how far a day's decisions are from what the model that made them was trained on.

A model's profile is that of each of its features and of the outcome in its training rows, and of
the score of the decisions that its training was judged on: what a model learnt from, it scores
further apart than what it never saw, and would be said to drift where nothing has changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from flywheel_assets.declare.allocate import Arms
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import Drift
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.distance import BINS, Binned, Profile, binned, ks, like, profile_of, psi
from flywheel_assets.stages.metrics import expected_calibration_error
from flywheel_assets.stages.predicted import Floats
from flywheel_assets.stages.training_set import LABEL

SCORE = "score"
_RARE = 3.09
"""Of a normal distribution, what is exceeded one time in a thousand."""
PROFILE_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "version": pl.Int64(),
    "column": pl.String(),
    "value": pl.Float64(),
    "category": pl.String(),
    "below": pl.Float64(),
    "at_most": pl.Float64(),
    "n_rows": pl.Int64(),
    "n_null": pl.Int64(),
}
DRIFT_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "column": pl.String(),
    "measure": pl.String(),
    "value": pl.Float64(),
    "by_chance": pl.Float64(),
    "level": pl.String(),
    "n_rows": pl.Int64(),
    "version": pl.Int64(),
}
DRIFT_COLUMNS = {
    "column": "A feature of the model, the score, or the outcome.",
    "measure": "psi (population stability index), ks (Kolmogorov-Smirnov distance, 0 to 1) or "
    "calibration_error (expected, 0 to 1); null where the column could not be measured.",
    "value": "Of the measure, against the model's training rows; of the score, against those that "
    "its training was judged on.",
    "by_chance": "What the measure exceeds one time in a thousand where nothing has changed.",
    "level": "ok, warn or error, by the declared levels; ok while chance explains the value, "
    "or it was declared as expected.",
    "n_rows": "The rows of the day that were looked at.",
    "version": "The model that decided.",
}
OK, WARN, ERROR = "ok", "warn", "error"
_NOTHING = np.full(1, np.nan)


def profile(
    rows: pl.DataFrame, score: Floats, flywheel: Flywheel, version: int, day: date
) -> pl.DataFrame:
    """Sum up the rows that a model was trained on, and its score on rows that it was not.

    Parameters
    ----------
    rows : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``.
    score : ndarray of float64, (n_judged,)
        What the judged version gave the decisions that it was judged on.

    Returns
    -------
    DataFrame
        The rows of ``<flywheel>/profile``, about a thousand for each column at most.
    """
    columns = [rows[name] for name in watched(flywheel)]
    frames = []
    for values in [*columns, pl.Series(SCORE, score, nan_to_null=True), rows[LABEL]]:
        made = profile_of(values)
        if not len(made.value):
            # Nothing was there to see: that is kept, so that it is noticed when something is.
            made = replace(made, value=np.full(1, np.nan), below=_NOTHING, at_most=_NOTHING)
        blank = pl.Series([None] * len(made.value), dtype=pl.String)
        given = pl.Series(made.value, nan_to_null=True)
        frames.append(
            pl.DataFrame(
                {
                    "value": blank.cast(pl.Float64) if made.categorical else given,
                    "category": given if made.categorical else blank,
                    "below": pl.Series(made.below, nan_to_null=True),
                    "at_most": pl.Series(made.at_most, nan_to_null=True),
                }
            ).with_columns(
                pl.lit(day).alias(PARTITION),
                pl.lit(version, dtype=pl.Int64).alias("version"),
                pl.lit(values.name).alias("column"),
                pl.lit(made.n_rows, dtype=pl.Int64).alias("n_rows"),
                pl.lit(made.n_null, dtype=pl.Int64).alias("n_null"),
            )
        )
    return pl.concat(
        [f.select(pl.col(c).cast(t) for c, t in PROFILE_SCHEMA.items()) for f in frames]
    )


def profiles(rows: pl.DataFrame) -> dict[str, Profile]:
    """Read what `profile` wrote of one version, by column."""
    found = {}
    for (name,), unsorted in rows.partition_by("column", as_dict=True).items():
        text = unsorted["category"].null_count() < unsorted.height
        part = unsorted.sort("category" if text else "value")
        n_rows, n_null = part["n_rows"][0], part["n_null"][0]
        part = part.drop_nulls("at_most")
        value = part["category" if text else "value"].to_numpy()
        found[str(name)] = Profile(
            value.astype(str) if text else value,
            part["below"].to_numpy(),
            part["at_most"].to_numpy(),
            n_rows,
            n_null,
        )
    return found


def watched(flywheel: Flywheel) -> list[str]:
    """Name the features of the model that a decision sees, those of arms aside."""
    return [n for n in flywheel.model.features if n not in flywheel.policy.arm_features]


@dataclass(frozen=True, eq=False)
class Measured:
    """One day against the profile.

    Parameters
    ----------
    rows : DataFrame
        Of ``<flywheel>/drift``: one for each column and measure; ``level`` is ok, warn or error,
        and ok while chance explains the value. A row without measure, value and level is of a
        column that cannot be measured: decisions do not see it any longer, its type is another,
        or the version has no profile.
    shares : dict of str to Binned
        Of each column that was measured, what its index was summed of.
    """

    rows: pl.DataFrame
    shares: dict[str, Binned]


def drift(  # noqa: PLR0913, PLR0917  the day, and what it is held against
    decided: pl.DataFrame,
    matured: pl.DataFrame,
    references: Mapping[str, Profile],
    flywheel: Flywheel,
    version: int | None,
    day: date,
) -> Measured:
    """Measure one day against the profile of the model that decided it.

    Parameters
    ----------
    decided : DataFrame, (n_decisions, ...)
        What the day's decisions saw, and their ``score``.
    matured : DataFrame, (n_rows, ...)
        The partition of ``<flywheel>/training_set``.
    references : mapping of str to Profile
        Of the model's version; none for a version that has no profile.
    version : int, optional
        That decided; None for the bootstrap rule, for which nothing is measured but the calibration
        of what models had decided before.
    """
    bars, found, unmeasured = flywheel.model.drift, [], []
    shares: dict[str, Binned] = {}
    expected = [] if version is None else [*watched(flywheel), SCORE, LABEL]
    for name in references or expected:
        reference, source = references.get(name), matured if name == LABEL else decided
        if source.is_empty():
            continue
        if reference is None or name not in source.columns or not like(reference, source[name]):
            unmeasured.append((day, name, None, None, None, None, source.height, version))
            continue
        values = source[name]
        shares[name] = binned(reference, values)
        for measure, (value, chance) in (
            ("psi", psi(shares[name])),
            ("ks", ks(reference, values)),
        ):
            if np.isfinite(value):
                found.append((name, measure, value, chance, len(values)))
    found += _calibration(matured, flywheel)
    rows = [
        (day, name, measure, value, chance, _level(bars, name, measure, value, chance), n, version)
        for name, measure, value, chance, n in found
    ]
    frame = pl.DataFrame([*rows, *unmeasured], schema=DRIFT_SCHEMA, orient="row")
    return Measured(frame, shares)


def not_measured(history: pl.DataFrame, day: date) -> list[str]:
    """Name the columns that could not be measured on a day.

    Parameters
    ----------
    history : DataFrame
        Rows of ``<flywheel>/drift``.
    """
    blank = history.filter(pl.col(PARTITION) == day, pl.col("measure").is_null())
    return blank["column"].unique().sort().to_list()


def _calibration(
    matured: pl.DataFrame, flywheel: Flywheel
) -> list[tuple[str, str, float, float, int]]:
    scored = scored_by_probability(matured, flywheel)
    if scored is None or scored.is_empty():
        return []
    said, label = scored[SCORE].to_numpy(), scored[LABEL].to_numpy()
    error, chance = expected_calibration_error(label, said), calibration_by_chance(said)
    return [(SCORE, "calibration_error", error, chance, scored.height)]


def scored_by_probability(matured: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame | None:
    """Keep the decisions whose score can be held against the outcome, as its probability.

    A learner that knows of actions scores by what is expected of acting, which says nothing of
    those who were held; with arms it is of the arm that was given.

    Parameters
    ----------
    matured : DataFrame
        Rows of ``<flywheel>/training_set``: ``model_version``, ``action``, ``score``.

    Returns
    -------
    DataFrame or None
        None where the score is no probability of the outcome.
    """
    model, policy = flywheel.model, flywheel.policy
    if model.target != "outcome" or policy.rank_by != "outcome":
        return None
    scored = matured.filter(pl.col("model_version").is_not_null(), pl.col(SCORE).is_between(0, 1))
    if model.learner != "plain" and not isinstance(policy.allocation, Arms):
        scored = scored.filter(action=policy.action)
    return scored


def calibration_by_chance(probability: Floats, bins: int = BINS) -> float:
    """Say what the expected calibration error exceeds one time in a thousand by chance alone.

    With n rows in a bin, its rate varies by ``sqrt(p (1 - p) / n)`` around p; the sum over bins of
    such deviations, each by its absolute value, is taken as normal.
    """
    ordered = np.array_split(np.sort(probability), min(bins, len(probability)))
    mean, size = (np.array([f(part) for part in ordered]) for f in (np.mean, len))
    spread = np.sqrt(mean * (1 - mean) * size) / len(probability)
    # The absolute value of a standard normal has mean .798 and standard deviation .603.
    return float(0.798 * spread.sum() + _RARE * 0.603 * np.sqrt((spread**2).sum()))


def _level(bars: Drift, name: str, measure: str, value: float, chance: float) -> str:
    warn, error = {
        "psi": (bars.psi_warn, bars.psi_error),
        "ks": (bars.ks_warn, bars.ks_error),
        "calibration_error": (bars.calibration_warn, bars.calibration_error),
    }[measure]
    if name in bars.expected or value <= chance or value < warn:
        return OK
    return ERROR if value >= error else WARN


@dataclass(frozen=True)
class Drifted:
    """A column that has drifted, and since when without a break."""

    column: str
    measure: str
    value: float
    level: str
    since: date


def drifted(history: pl.DataFrame, day: date, measures: Sequence[str]) -> list[Drifted]:
    """Find what has drifted on a day, the worst first.

    Parameters
    ----------
    history : DataFrame
        Rows of ``<flywheel>/drift`` up to the day.
    """
    ours = history.filter(pl.col("measure").is_in(measures), pl.col("value").is_not_null())
    return sorted(_ongoing(ours, day), key=lambda d: (d.level != ERROR, -d.value, d.column))


def _ongoing(history: pl.DataFrame, day: date) -> Iterator[Drifted]:
    partition = pl.col(PARTITION)
    now = history.filter(partition == day, pl.col("level") != OK)
    for row in now.iter_rows(named=True):
        same = history.filter(column=row["column"], measure=row["measure"])
        well = same.filter(level=OK).select(partition.max()).item()
        bad = same if well is None else same.filter(partition > well)
        since = bad.select(partition.min()).item()
        yield Drifted(row["column"], row["measure"], row["value"], row["level"], since)
