"""What the API received, laid out as the records of a source are, for the same validation."""

import json
from typing import Any

import polars as pl

from flywheel_assets.declare.collect import Observation, TableFile
from flywheel_assets.declare.field import Field
from flywheel_assets.declare.rules import (
    EVENT_TIME,
    FILE,
    KNOWN_AT,
    LINE,
    OBSERVATION_ID,
    PROBLEM,
    RAW,
)
from flywheel_assets.stages.parsing import LINKS, SAID

API = TableFile(path="inbox", event_time=EVENT_TIME, known_at=KNOWN_AT)
"""As a source, the inbox is a table that says both times itself."""


def as_raw(received: pl.DataFrame, observation: Observation) -> pl.DataFrame:
    """Lay out received records as raw ones: each field as text, and where it stood.

    Parameters
    ----------
    received : DataFrame
        Rows of ``collect/<observation>_received``; duplicates, which have no record, are left out.

    Returns
    -------
    DataFrame
        The observation's fields, what links it to others, both times. What was refused when it was
        received, and what cannot be read any more, has ``_problem``.
    """
    rows = received.filter(pl.col("status") != "duplicate").sort("seq")
    accepted = pl.col("status") == "accepted"
    text = pl.when(accepted).then(pl.col("record"))
    records = _decoded(rows.select(text).to_series(), observation)
    problem: pl.Expr = pl.when(~accepted).then(pl.col("reason"))
    if observation.is_full_dump:
        problem = pl.coalesce(problem, pl.lit("a full dump tells the whole of its source"))
    unread = accepted & records.is_null()
    entity, payload = records.struct.field("entity"), records.struct.field("payload")
    keys, by_name = observation.entity.keys, {f.name: f for f in observation.fields}
    return rows.select(
        *(entity.struct.field(n) if n in keys else _told(payload, f) for n, f in by_name.items()),
        *(records.struct.field(n).alias(SAID[n]) for n in LINKS),
        pl.col(OBSERVATION_ID).alias(SAID[OBSERVATION_ID]),
        # What was refused has no time of its own; it is of the day on which it was received.
        pl.coalesce(EVENT_TIME, KNOWN_AT).alias(EVENT_TIME),
        pl.col(KNOWN_AT),
        pl.lit("api").alias(FILE),
        pl.col("seq").alias(LINE),
        pl.coalesce(problem, pl.when(unread).then(pl.lit("expected a JSON record"))).alias(PROBLEM),
        pl.col("record").alias(RAW),
    )


def _told(payload: pl.Series, field: Field) -> pl.Series | pl.Expr:
    """Give a field of the payload, received under whichever of its names."""
    names = (field.name, *reversed(field.old_names))
    parts = [payload.struct.field(n).alias(field.name) for n in names]
    return parts[0] if len(parts) == 1 else pl.coalesce(pl.lit(p) for p in parts)


def repeats(received: pl.DataFrame) -> pl.DataFrame:
    """Count the records of each day that had been received before.

    Returns
    -------
    DataFrame
        ``partition_date``, ``copies``.
    """
    again = received.filter(status="duplicate")
    return again.group_by("partition_date").agg(pl.col("copies").sum())


def _decoded(texts: pl.Series, observation: Observation) -> pl.Series:
    """Decode records, each value as text; null for one that is not a record."""
    keys = observation.entity.keys
    told = [f for f in observation.fields if f.name not in keys]
    inner = {
        "entity": pl.Struct({k: pl.String() for k in keys}),
        "payload": pl.Struct({n: pl.String() for f in told for n in (f.name, *f.old_names)}),
    }
    dtype = pl.Struct({**inner, **{n: pl.String() for n in LINKS}})
    try:
        return texts.str.json_decode(dtype)
    except pl.exceptions.ComputeError:
        # One that cannot be decoded spoils them all: leave it out.
        sound = [t if t is not None and _is_record(t) else None for t in texts]
        return pl.Series(sound, dtype=pl.String).str.json_decode(dtype)


def _is_record(text: str) -> bool:
    try:
        found: Any = json.loads(text)
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    parts = [found.get("entity") or {}, found.get("payload") or {}]
    return all(
        isinstance(part, dict) and not any(isinstance(v, dict | list) for v in part.values())
        for part in parts
    )
