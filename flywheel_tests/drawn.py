"""A small flywheel and random observations for it, and other values for one of their columns."""

import math
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets import Epsilon, Field, Flywheel, Observation, Softmax, TopK
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
from flywheel_assets.stages.parsing import LINKS, SAID
from flywheel_assets.stages.received import API

FIRST, N_DAYS, BEFORE = date(2026, 2, 6), 4, 8
"""The first decisions, on a Friday, the days of them, and days of observations before."""
PER_DAY, FEW, N_KEYS = 48, 26, 80
KEYS = {"card_id": 400, "terminal_id": 400, "stock_code": 40}
KEYS_OF = {"recommendation": 48, "shop_contacts": 160}
BUSY = {"fraud": 110, "lead_scoring": 90, "offer": 110, "shop_contacts": 90}
"""Flywheels that look back a day, or at a quarter of all each day: more a day, spread evenly."""
N_A_DAY = {"email": 220, "visit": 40}
"""So many say which of three offers was sent that most are answered, and so few come that one
visit more or less tells.
"""
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


def small(wheel: Flywheel, capacity: int = 20) -> Flywheel:
    """Declare the same flywheel with an outcome of a day and a model that is cheap to fit.

    Its gate lets everything pass.
    """
    model, policy = wheel.model, wheel.policy
    less = model.metric in LOWER_IS_BETTER
    allocation = policy.allocation
    if isinstance(allocation, TopK):
        allocation = replace(allocation, capacity=capacity)
    exploration = policy.exploration
    if isinstance(exploration, Epsilon):
        exploration = Epsilon(share=0.4)
    if isinstance(exploration, Softmax):
        exploration = Softmax(temperature=1.0)
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
                minimum=math.inf if less else -math.inf,
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


def observe(observation: Observation, wheel: Flywheel, seed: int, *, few: bool) -> Frame:
    """Draw observations within their contract: some late, corrected, withdrawn, in answer."""
    usual = FEW if few else BUSY.get(wheel.name, PER_DAY)
    per_day = N_A_DAY.get(observation.name, usual)
    chance = np.random.default_rng(seed)
    days = [FIRST + (n - BEFORE) * DAY for n in range(BEFORE + N_DAYS)]
    n_rows = per_day * len(days)
    day = [one for one in days for _ in range(per_day)]
    number = np.arange(n_rows)
    nth = number % per_day
    event = pl.Series(day).cast(UTC_TIME) + pl.Series(
        chance.integers(24 * HOURS, size=n_rows)
    ).cast(pl.Duration("us"))
    late = np.where(chance.random(n_rows) < 0.7, 0, chance.integers(40 * HOURS, size=n_rows))
    known = event + pl.Series(late).cast(pl.Duration("us"))
    frame = pl.DataFrame(
        {f.name: _drawn(f, n_rows, wheel, chance) for f in observation.fields},
        schema_overrides={f.name: f.dtype for f in observation.fields},
    ).with_columns(event.alias(EVENT_TIME), known.alias(KNOWN_AT))
    # What two say of one entity at once is told apart by their ids alone, that of one a name.
    named_here, told_again = nth % 3 == 0, nth % 6 == 1
    for alike, where in (
        ([EVENT_TIME, KNOWN_AT, *observation.entity.keys], told_again),
        ([c for c in frame.columns if c.endswith(("_id", "_code"))], told_again & (nth % 12 == 1)),
    ):
        before = pl.Series(np.where(where, number - 1, number))
        frame = frame.with_columns(pl.col(alike).gather(before))
    ids = pl.Series(
        [f"{chance.integers(16**6):06x}n{n}" if named_here[n] else None for n in range(n_rows)]
    )
    named = ids.drop_nulls().to_list()
    # Some refer to those, mostly to what was said lately and can still count otherwise. Two that
    # become known at once do not contradict each other: by which of them holds is not counted.
    n_said = np.cumsum(named_here)
    back = (n_said * chance.random(n_rows) ** 4).astype(int)
    which = np.where(named_here, 1.0, chance.random(n_rows))
    refers = pl.when(pl.lit(pl.Series(which < 0.2))).then(
        pl.lit(pl.Series([named[n] for n in n_said - 1 - back]))
    )
    frame = frame.with_columns(ids.alias(OBSERVATION_ID), refers.alias("_to")).with_columns(
        pl.when(pl.struct("_to", pl.col(KNOWN_AT).dt.date()).is_first_distinct()).then("_to")
    )
    corrects = pl.lit(pl.Series(which < 0.12))
    frame = frame.with_columns(
        pl.when(corrects).then("_to").alias(CORRECTS),
        pl.when(~corrects).then("_to").alias(RETRACTS),
    ).drop("_to")
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
        n_keys = KEYS_OF.get(wheel.name, KEYS.get(one.name, N_KEYS))
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
        Within which values only change places, or are others than all: each is there once.
    """
    values, chance = frame[column], np.random.default_rng(seed)
    if per is not None and seed % 2:
        fresh = pl.Series(chance.random(frame.height) < 0.3)
        another = pl.col(column) + ("x" if values.dtype == pl.String else 10_000)
        return frame.with_columns(pl.when(fresh).then(another).otherwise(column).alias(column))
    if per is not None:
        places = pl.int_range(pl.len()).shuffle(seed).over(per)
        return frame.with_columns(pl.col(column).gather(places).over(per))
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
    if column in {CORRECTS, RETRACTS}:
        # Near where it was: what is referred to long after counted already. Some of it twice, not
        # all of it, or nothing would be left.
        moved = values.shift(int(chance.integers(1, 9)))
        both = pl.coalesce(values, moved) if seed % 4 in {2, 3} else moved
        return frame.with_columns(both.alias(column))
    if seed % 4 in {2, 3}:
        alike = values.sort(nulls_last=True)[0 if seed % 4 == 2 else values.len() - 1]
        return frame.with_columns(pl.lit(alike, dtype=values.dtype).alias(column))
    return frame.with_columns(values.gather(pl.Series(chance.permutation(frame.height))))
