"""A small flywheel and random observations for it, and other values for one of their columns."""

import math
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets import Epsilon, Field, Flywheel, Observation, TopK
from flywheel_assets.declare.collect import DailyFiles, Source
from flywheel_assets.declare.learn import LOWER_IS_BETTER
from flywheel_assets.declare.rules import (
    CORRECTS,
    DECISION_ID,
    EVENT_TIME,
    FILE,
    FILE_DAY,
    KNOWN_AT,
    LINE,
    OBSERVATION_ID,
    PROBLEM,
    RAW,
    RETRACTS,
)
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import LINKS, SAID
from flywheel_assets.stages.received import API

FIRST, N_DAYS, BEFORE = date(2026, 2, 3), 4, 8
"""The first decisions, the days of them, and days of observations before."""
PER_DAY, N_KEYS = 48, 80
KEYS = {"card_id": 400, "stock_code": 40}
BUSY = {"fraud": 110, "lead_scoring": 90, "offer": 110}
"""Flywheels whose features look back a day: more a day, spread evenly."""
TEXTS = {
    "invoice": ["C1", "A1", "A2", "A3", "A4", "A5"],
    "stock_code": [f"p{n}" for n in range(40)],
}
NUMBERS: dict[str, list[Any]] = {
    "days_since_call": [999.0, 3.0, 6.0],
    "is_fraud": [0, 0, 0, 0, 0, 0, 0, 0, 1],
}
HOURS = 3_600_000_000  # microseconds in one
UTC_TIME = pl.Datetime("us", "UTC")
Frame = pl.DataFrame


# a small flywheel ---------------------------------------------------------------------------------


def small(wheel: Flywheel, bar: float | None = None, capacity: int = 20) -> Flywheel:
    """Declare the same flywheel with an outcome of a day and a model that is cheap to fit.

    Parameters
    ----------
    bar : float, optional
        The gate's minimum; the gate lets everything pass, if left out.
    """
    model, policy = wheel.model, wheel.policy
    less = model.metric in LOWER_IS_BETTER
    allocation = policy.allocation
    if isinstance(allocation, TopK):
        allocation = replace(allocation, capacity=capacity)
    exploration = policy.exploration
    if isinstance(exploration, Epsilon):
        exploration = Epsilon(share=0.4)
    return replace(
        wheel,
        training_set=replace(wheel.outcome, horizon=DAY, settle=timedelta(0)),
        model=replace(
            model,
            estimator=_regressor if model.target == "reward" else _classifier,
            retrain="daily",
            training_window=10 * DAY,
            gate=replace(
                model.gate,
                holdout=DAY,
                minimum_gain=-math.inf,
                minimum=bar if bar is not None else (math.inf if less else -math.inf),
            ),
        ),
        decisions=replace(policy, allocation=allocation, exploration=exploration),
    )


def _numbers(table: Any) -> Any:
    """Make numbers of whatever a model is given: text by its digest."""
    if not isinstance(table, pl.DataFrame):
        return np.nan_to_num(np.asarray(table), nan=-1.0, posinf=9.0, neginf=-9.0)
    return np.column_stack([_column(column) for column in table])


def _column(values: pl.Series) -> Any:
    if values.dtype == pl.String:
        found = [int(sha256((v or "-").encode()).hexdigest()[:6], 16) / 2**24 for v in values]
        return np.asarray(found)
    return _numbers(values.cast(pl.Float64).to_numpy())


def _pipeline(last: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return make_pipeline(FunctionTransformer(_numbers), StandardScaler(), last)


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return _pipeline(LogisticRegression(C=10.0))


def _regressor() -> Any:
    from sklearn.linear_model import Ridge

    return _pipeline(Ridge())


# random observations ------------------------------------------------------------------------------


def observe(observation: Observation, wheel: Flywheel, seed: int, per_day: int = PER_DAY) -> Frame:
    """Draw observations within their contract: some late, corrected, withdrawn, in answer."""
    chance = np.random.default_rng(seed)
    days = [FIRST + (n - BEFORE) * DAY for n in range(BEFORE + N_DAYS)]
    n_rows = per_day * len(days)
    day = [one for one in days for _ in range(per_day)]
    # Some at once: of those that are told apart by what they say, no two.
    number = np.arange(n_rows)
    nth = number % per_day
    at_once = (nth % 6 == 0) | (nth < 4)
    hours = np.where(nth < 4, nth, nth // 6 % 4)
    within = np.where(at_once, (6 * hours + 3) * HOURS, chance.integers(24 * HOURS, size=n_rows))
    event = pl.Series(day).cast(UTC_TIME) + pl.Series(within).cast(pl.Duration("us"))
    late = np.where(chance.random(n_rows) < 0.7, 0, chance.integers(40 * HOURS, size=n_rows))
    known = event + pl.Series(late).cast(pl.Duration("us"))
    frame = pl.DataFrame(
        {f.name: _drawn(f, n_rows, wheel, chance) for f in observation.fields},
        schema_overrides={f.name: f.dtype for f in observation.fields},
    ).with_columns(event.alias(EVENT_TIME), known.alias(KNOWN_AT))
    named_here = (nth % 6 == 0) & (nth >= 4)
    # What two say of one entity at once is told apart by their ids alone.
    twin = np.where(nth < 4, number - nth + 6 * (nth + 1), number)
    alike = [c for c in frame.columns if c.endswith(("_id", "_at", "_time")) or c == "stock_code"]
    frame = frame.with_columns(pl.col(alike).gather(pl.Series(twin)))
    ids = pl.Series(
        [f"{chance.integers(16**6):06x}n{n}" if named_here[n] else None for n in range(n_rows)]
    )
    named = ids.drop_nulls().to_list()
    refers = [chance.choice(named[: max(1, n // 8)]) for n in range(n_rows)]
    which = chance.random(n_rows)
    plain = pl.Series(~named_here)
    frame = frame.with_columns(
        ids.alias(OBSERVATION_ID),
        *(
            pl.when(pl.lit(plain) & pl.lit(pl.Series((which > low) & (which < high))))
            .then(pl.lit(pl.Series(refers)))
            .alias(name)
            for name, low, high in ((CORRECTS, 0.0, 0.06), (RETRACTS, 0.06, 0.12))
        ),
    )
    exposure = wheel.outcome.exposure
    share = 1.0 if exposure is not None and exposure.observation is observation else 0.5
    return frame.with_columns(_answers(frame, wheel, share, chance))


def _drawn(one: Field, n_rows: int, wheel: Flywheel, chance: np.random.Generator) -> list[Any]:
    pool: list[Any] = [float(n) / 2 for n in range(1, 12)]
    if one.name in NUMBERS:
        pool = list(NUMBERS[one.name])
    elif one.allowed is not None:
        pool = list(one.allowed)
    elif one.dtype == pl.String:
        pool = TEXTS.get(one.name, ["a", "b", "unknown"])
    elif one.dtype == pl.Boolean:
        pool = [True, False]
    elif one.dtype == pl.Int64:
        n_keys = 48 if wheel.name == "recommendation" else KEYS.get(one.name, N_KEYS)
        pool = list(range(1, n_keys if one.name.endswith("_id") else 9))
    # Of some there is a lot, of others hardly anything.
    drawn = (len(pool) * chance.random(n_rows) ** (1 if wheel.name in BUSY else 3)).astype(int)
    nothing = (chance.random(n_rows) < 0.1) & one.nullable
    return [None if gone else pool[n] for n, gone in zip(drawn, nothing, strict=True)]


def _answers(frame: Frame, wheel: Flywheel, share: float, chance: np.random.Generator) -> pl.Expr:
    """Let a share of what is about a candidate answer the decision of the evening before."""
    keys = wheel.entity.keys
    if not set(keys) <= set(frame.columns):
        return pl.lit(None, dtype=pl.String).alias(DECISION_ID)
    day = (pl.col(EVENT_TIME) - DAY).dt.strftime("%Y-%m-%d")
    entity = pl.concat_str([pl.col(k).cast(pl.String) for k in keys], separator="|")
    name = pl.concat_str(pl.lit(wheel.name), day, entity, separator=":")
    return (
        pl.when(pl.lit(pl.Series(chance.random(frame.height) < share)))
        .then(name)
        .alias(DECISION_ID)
    )


def as_raw(plain: Frame, observation: Observation) -> tuple[Frame, Source]:
    """Lay observations out as their source does."""
    source = observation.source or API
    times = {source.event_time: pl.col(EVENT_TIME)} if source.event_time else {}
    if source.known_at:
        times[source.known_at] = pl.col(KNOWN_AT) - source.delay
    nothing = pl.lit(None, dtype=pl.String)
    raw = plain.select(
        *(pl.col(f.name).alias(source.source_column(f.name)) for f in observation.fields),
        *(value.alias(name) for name, value in times.items()),
        *(pl.col(name).alias(SAID[name]) for name in (OBSERVATION_ID, *LINKS)),
        pl.lit("world").alias(FILE),
        pl.int_range(1, pl.len() + 1).alias(LINE),
        nothing.alias(PROBLEM),
        nothing.alias(RAW),
        *([pl.col("_file_day").alias(FILE_DAY)] if isinstance(source, DailyFiles) else []),
        *([pl.col(DECISION_ID).alias(source.decision_id)] if source.decision_id else []),
    )
    return raw, source


# other values -------------------------------------------------------------------------------------


def other(  # noqa: PLR0911  a way for each kind of values
    frame: Frame, column: str, seed: int, per: str | None = None
) -> Frame:
    """Give a column other values that its contract allows: those of other rows, or all the same.

    Parameters
    ----------
    per : str, optional
        Within which values only change places: each key of a partition stays there once.
    """
    values = frame[column]
    if per is not None:
        places = pl.int_range(pl.len()).shuffle(seed).over(per)
        return frame.with_columns(pl.col(column).gather(places).over(per))
    chance = np.random.default_rng(seed)
    if values.dtype == UTC_TIME:
        back = column in {EVENT_TIME, "valid_from"}
        some = chance.random(frame.height) < 0.3
        far = chance.choice([240, 960, 2400, 4800, 9600] if back else [72], frame.height)
        hours = np.where(some, far, 0) * HOURS + chance.integers(HOURS, 30 * HOURS, frame.height)
        shift = pl.Series(-hours if back else hours).cast(pl.Duration("us"))
        return frame.with_columns((values + shift).alias(column))
    if values.dtype == pl.Int64 and values.n_unique() == 1:
        return frame.with_columns(pl.col(column).fill_null(0) + 1)
    if values.dtype == pl.Boolean and values.n_unique() == 1:
        drawn = pl.Series(chance.random(frame.height) < 0.5)
        return frame.with_columns(drawn.alias(column))
    if seed % 4 in {2, 3} and column in {CORRECTS, RETRACTS}:
        # Not all of them, or nothing would be left.
        again = values.gather(pl.Series(chance.permutation(frame.height)))
        return frame.with_columns(pl.coalesce(values, again).alias(column))
    if seed % 4 in {2, 3}:
        alike = values.sort(nulls_last=True)[0 if seed % 4 == 2 else values.len() - 1]
        return frame.with_columns(pl.lit(alike, dtype=values.dtype).alias(column))
    return frame.with_columns(values.gather(pl.Series(chance.permutation(frame.height))))
