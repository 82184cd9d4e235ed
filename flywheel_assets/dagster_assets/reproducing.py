"""Training a registered version again, from the rows that its run names, and comparing."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.model import version_scorer
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError, many
from flywheel_assets.stages.model import (
    buffers_digest,
    rows_digest,
    scorer,
    train,
    training_digest,
)
from flywheel_assets.stages.predicted import Predicted
from flywheel_assets.stages.training_set import training_schema
from flywheel_assets.stores.registry import TrainingRows, registered_name


@dataclass(frozen=True)
class Reproduction:
    """What came of training a version again.

    Parameters
    ----------
    differences : tuple of str
        What is not as it was; none where rows and predictions are the same.
    """

    source: TrainingRows
    differences: tuple[str, ...]


def reproduce(build: Build, flywheel: Flywheel, version: int) -> Reproduction:
    """Read the rows of a version again, train on them, and compare both with what is registered.

    Raises
    ------
    HomeError
        For a version that is not registered, whose saved file is not the registered one, or that
        was trained on somebody who was forgotten since.
    """
    name = registered_name(flywheel)
    source = build.registry.rows_of(name, version)
    if receipts := build.registry.forgot(name, version):
        raise HomeError(
            expected=f"the {source.n_rows:,} rows that {name} version {version} was trained on",
            found="that some of them were of people who were forgotten since, receipts "
            f"{', '.join(receipts)}",
            remedy="nothing brings those rows back, and nothing should; reproduce a version that "
            "was trained later",
        )
    differences = []
    if source.declaration != training_digest(flywheel):
        differences.append("the model is declared differently by now")
    try:
        rows = _rows(build, flywheel, source)
        digest, before = rows_digest(rows, flywheel), buffers_digest(rows, flywheel)
    except (OSError, pl.exceptions.PolarsError) as error:
        gone = f"version {source.delta_version} of {source.table} cannot be read: {error}"
        return Reproduction(source, (*differences, gone))
    if rows.height != source.n_rows:
        differences.append(f"{many(rows.height, 'row')} instead of {source.n_rows:,}")
    # Which release digested the rows its run does not say; other rows have neither of the two.
    if source.sha256 not in {digest, before}:
        differences.append(f"rows with sha256 {digest[:12]} instead of {source.sha256[:12]}")
    if apart := _compared(build, flywheel, version, rows):
        differences.append(apart)
    return Reproduction(source, tuple(differences))


def _rows(build: Build, flywheel: Flywheel, source: TrainingRows) -> pl.DataFrame:
    return build.tables.read(
        source.table,
        training_schema(flywheel),
        source.first,
        source.last,
        version=source.delta_version,
    ).collect()


def _compared(build: Build, flywheel: Flywheel, version: int, rows: pl.DataFrame) -> str | None:
    """Train again and say how predictions differ, or why there are none to compare."""
    try:
        registered = version_scorer(build, flywheel, version)(rows)
        again = scorer(train(rows, flywheel), flywheel)(rows)
    except HomeError:
        raise
    except Exception as error:  # noqa: BLE001  whatever an estimator raises is a difference
        return f"predictions cannot be compared: {type(error).__name__}: {error}"
    return _apart(registered, again)


def _apart(registered: Predicted, again: Predicted) -> str | None:
    """Say how predictions differ, if they do: not by a single bit."""
    pairs = [(registered.expected, again.expected)]
    if registered.replicates is not None and again.replicates is not None:
        pairs.append((registered.replicates, again.replicates))
    for one, other in pairs:
        if one.shape != other.shape:
            return f"predictions of shape {other.shape} instead of {one.shape}"
        if not np.array_equal(one, other, equal_nan=True):
            rows = int((one != other).any(axis=-1).sum())
            return f"{rows:,} predictions differ, by {np.nanmax(np.abs(one - other)):.3g} at most"
    return None
