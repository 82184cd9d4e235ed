"""Model: trained on matured decisions, and scoring what decisions see."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flywheel_assets.declare.allocate import Arms
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import WEEKDAYS, Model
from flywheel_assets.declare.rules import DECISION_ID, PARTITION
from flywheel_assets.errors import TrainingError, UnfitModelError, nearest
from flywheel_assets.stages.predicted import Floats, Predicted, Scorer, action_numbers
from flywheel_assets.stages.resampling import FEWEST, clusters
from flywheel_assets.stages.training_set import LABEL, REWARD, WEIGHT

if TYPE_CHECKING:
    from flywheel_assets.stages.learners import Trained

CHUNK_ROWS = 32_768
TARGETS = {"outcome": LABEL, "reward": REWARD}
"""By what a model is declared to expect: the column of the training set."""


def trains_on(model: Model, day: date) -> bool:
    """Say whether the cadence has a training on a day.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> trains_on(SimpleNamespace(retrain="monday"), date(2026, 11, 23))
    True
    """
    return model.retrain in ("daily", WEEKDAYS[day.weekday()])


def training_columns(flywheel: Flywheel) -> tuple[str, ...]:
    """Name the columns of the training set that `train` reads: for replicates, entities, too."""
    needed = [PARTITION, DECISION_ID, "action", LABEL, REWARD, WEIGHT, *inputs(flywheel)]
    if flywheel.model.replicates:
        needed += flywheel.whose
    return tuple(dict.fromkeys(needed))


def train(rows: pl.DataFrame, flywheel: Flywheel) -> "Trained":
    """Train what a flywheel's model declares.

    The same rows, in any order, train the same model: chance is a function of the flywheel's name
    and the newest partition among them.

    Parameters
    ----------
    rows : DataFrame, (n_rows, ...)
        Of ``<flywheel>/training_set``; `training_columns` names the columns that are read.

    Returns
    -------
    Trained
        To be saved as it is, and scored with by `scorer`.

    Raises
    ------
    TrainingError
        For no rows, for one outcome only, where a classifier learns, and for an estimator that does
        not fit what it is to predict.
    """
    from flywheel_assets.stages.estimators import learner
    from flywheel_assets.stages.learners import Sample, Trained, table_of

    model, names = flywheel.model, inputs(flywheel)
    rows = _usable(rows, flywheel)
    framed = not all(_is_number(rows.schema[name]) for name in names)
    seed = _seed(flywheel.name, rows)
    sample = Sample(
        table=table_of(rows, names, framed=framed),
        target=rows[TARGETS[model.target]].to_numpy().astype(np.float64),
        action=action_numbers(rows, flywheel.policy.actions),
        weight=rows[WEIGHT].to_numpy() if model.propensity_weight else None,
        cluster=_drawn_together(rows, flywheel) if model.replicates else None,
    )
    main = learner(flywheel, framed=framed, seed=seed, weighted=model.propensity_weight)
    _check_outcomes(main, sample.target, flywheel)
    draws = range(seed + 1, seed + 1 + model.replicates)
    return Trained(
        features=list(names),
        actions=[] if model.learner == "plain" else list(flywheel.policy.actions),
        framed=framed,
        estimator=sample.fit(main),
        replicates=[
            sample.drawn(draw).fit(learner(flywheel, framed=framed, seed=draw, weighted=True))
            for draw in draws
        ],
    )


def scorer(trained: "Trained", flywheel: Flywheel, chunk_rows: int = CHUNK_ROWS) -> Scorer:
    """Give a function that scores what decisions see, a chunk of rows at a time.

    Beside what comes out, no more memory is taken than a chunk needs.

    Parameters
    ----------
    trained : Trained
        From `train`, perhaps saved and loaded since. It reads the features that it was trained on,
        whatever is declared by now. An action that it does not know is expected to do as those that
        it knows do on the mean.

    Raises
    ------
    UnfitModelError
        For what `train` did not make; and when rows are scored that lack a feature of the model, or
        that its estimator cannot score.
    """
    from flywheel_assets.stages.learners import Trained, expected, table_of

    if not isinstance(trained, Trained):
        raise UnfitModelError(
            expected=f"a model of {flywheel.name!r} that knows its features and actions",
            found=f"a {type(trained).__name__}, which another release saved",
            remedy="train again",
        )
    asked = _columns_of(trained, flywheel)

    def score(seen: pl.DataFrame) -> Predicted:
        _check_features(trained.features, seen, flywheel)
        members = [trained.estimator, *trained.replicates]
        found = np.empty((len(members), seen.height, len(asked)))
        for start in range(0, seen.height, chunk_rows):
            chunk = seen.slice(start, chunk_rows)
            with _said_by(flywheel):
                table = table_of(chunk, trained.features, framed=trained.framed)
                for number, member in enumerate(members):
                    known = expected(member, table)
                    for column, sources in enumerate(asked):
                        values = known[:, sources].mean(axis=1)
                        found[number, start : start + chunk.height, column] = values
        return Predicted(found[0], found[1:] if trained.replicates else None)

    return score


def rows_digest(rows: pl.DataFrame, flywheel: Flywheel) -> str:
    """Digest what a training would read of rows: the same text, the same training.

    Neither their order counts nor how they lie in memory.
    """
    return _digest(_anew(column) for column in _read(rows, flywheel))


def buffers_digest(rows: pl.DataFrame, flywheel: Flywheel) -> str:
    """Digest rows as earlier releases did, for the versions that they registered.

    Text of more than 12 characters counts with the buffers that it lies in. Where that is each
    row's own, as of ids in a table, it is the digest of `rows_digest`; where rows share it, as a
    feature's or a long action's, it is the same for the same files only.
    """
    return _digest(column.rechunk() for column in _read(rows, flywheel))


def training_digest(flywheel: Flywheel) -> str:
    """Digest what of a declaration a training follows; how it is judged and used does not count.

    The same text and the same rows, the same model.
    """
    model, policy = flywheel.model, flywheel.policy
    told: list[Any] = []
    if model.learner != "plain":
        arms = policy.allocation.arms if isinstance(policy.allocation, Arms) else ()
        told = [policy.actions, [arm.features for arm in arms]]
    return fingerprint(
        model.estimator,
        model.effect_estimator,
        model.features,
        model.target,
        model.learner,
        model.calibration,
        model.class_weight,
        model.propensity_weight,
        model.replicates,
        told,
    )


def inputs(flywheel: Flywheel) -> tuple[str, ...]:
    """Name the model's features, those of arms aside."""
    arms = flywheel.policy.arm_features
    return tuple(name for name in flywheel.model.features if name not in arms)


def _usable(rows: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame:
    rows = _read(rows, flywheel)
    if flywheel.model.learner != "plain":
        rows = rows.filter(pl.col("action").is_in(flywheel.policy.actions))
    if rows.is_empty():
        raise TrainingError(
            expected=f"matured decisions to train {flywheel.model.name!r} on",
            found="none",
            remedy="train once outcomes have matured",
        )
    return rows


def _read(rows: pl.DataFrame, flywheel: Flywheel) -> pl.DataFrame:
    return rows.select(training_columns(flywheel)).sort(PARTITION, DECISION_ID)


def _anew(column: pl.Series) -> pl.Series:
    """Lay out text in the order of the rows, each with its own; other types always lie so."""
    text = column.dtype == pl.String
    return pl.Series(column.name, column.to_list(), pl.String) if text else column.rechunk()


def _digest(columns: Iterable[pl.Series]) -> str:
    digest = hashlib.sha256()
    for column in columns:
        written = BytesIO()
        column.to_frame().write_ipc(written)
        digest.update(written.getvalue())
    return digest.hexdigest()


def _drawn_together(rows: pl.DataFrame, flywheel: Flywheel) -> npt.NDArray[np.int64] | None:
    """Let replicates be samples of entities, as the gate's are; of too few samples are all alike.

    Then of rows: they vary too little, but some, and where replicates agree nothing is explored.
    """
    entities = clusters(rows, flywheel)
    return entities if len(np.unique(entities)) >= FEWEST else None


def _seed(name: str, rows: pl.DataFrame) -> int:
    newest = rows.select(pl.col(PARTITION).max().cast(pl.String)).item()
    text = f"{name}:{newest}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") // 2


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean


def _columns_of(trained: "Trained", flywheel: Flywheel) -> list[list[int]]:
    """Say, for each of the policy's actions, of which of the model's columns it is the mean."""
    if not trained.actions:
        return [[0]]
    known = {action: [number] for number, action in enumerate(trained.actions)}
    every = list(range(len(known)))
    return [known.get(action, every) for action in flywheel.policy.actions]


def _check_outcomes(learner: object, target: Floats, flywheel: Flywheel) -> None:
    """Refuse to train a classifier where it could learn nothing."""
    from flywheel_assets.stages.learners import fits, levels

    if fits(levels(learner), target):
        return
    counts = zip(*np.unique(target, return_counts=True), strict=True)
    raise TrainingError(
        expected=f"rows of both outcomes to train {flywheel.model.name!r} on, and of each as many "
        "as calibration has folds",
        found=", ".join(f"{count} of outcome {value:g}" for value, count in counts),
        remedy="train once more outcomes have matured",
    )


@contextmanager
def _said_by(flywheel: Flywheel) -> Iterator[None]:
    """Tell what an estimator raises, whatever it is, as a model that does not fit."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise UnfitModelError(
            expected=f"a model that can score what decisions of {flywheel.name!r} see",
            found=f"{type(error).__name__}: {error}",
            remedy="train again; if types of features have changed, declare them as they were",
        ) from error


def _check_features(names: Sequence[str], seen: pl.DataFrame, flywheel: Flywheel) -> None:
    lacking = [name for name in names if name not in seen.columns]
    if lacking:
        raise UnfitModelError(
            expected=f"what decisions of {flywheel.name!r} see, with the features of its model",
            found=f"no {', '.join(lacking)}",
            remedy=f"declare them, or train again; {nearest(lacking[0], seen.columns)}",
        )
