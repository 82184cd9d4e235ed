"""Collect: each raw record becomes an observation, a reject with its reason, or a duplicate."""

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl
import polars_hash as plh

from flywheel_assets.declare.collect import DailyFiles, Observation, Source
from flywheel_assets.declare.rules import (
    DECISION_ID,
    EVENT_TIME,
    FILE,
    FILE_DAY,
    KNOWN_AT,
    LINE,
    OBSERVATION_ID,
    OTHER_CONTENT,
    PARTITION,
    PROBLEM,
    RAW,
)
from flywheel_assets.declare.shape import Columns
from flywheel_assets.stages.breaches import breaches
from flywheel_assets.stages.parsing import BY_DAY, LINKS, SAID, dated, times_of, value_of
from flywheel_assets.stages.times import UTC_TIME

CONFLICT = f"observation_id: already collected {OTHER_CONTENT}"
"""Why a record is rejected whose id another has."""
REJECTED_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "reason": pl.String(),
    "file": pl.String(),
    "line": pl.Int64(),
    "record": pl.String(),
}
REJECTED_COLUMNS = {
    "reason": "Each field that breaks the contract: what was expected, what was found.",
    "file": "Where the record stood; api for what was logged.",
    "line": "Which record of the file, from 1, or of all that was logged.",
    "record": "The record as it was.",
}
ACCOUNT_SCHEMA: dict[str, pl.DataType] = {
    PARTITION: pl.Date(),
    "received": pl.Int64(),
    "collected": pl.Int64(),
    "rejected": pl.Int64(),
    "duplicates": pl.Int64(),
}


@dataclass(frozen=True)
class Collected:
    """What became of a batch of records; together, all of it.

    ``accounts`` has one row a day: received = collected + rejected + duplicates. ``ends`` is the
    last day that a source which is read as a whole has a sound record of.
    """

    observations: pl.DataFrame
    rejected: pl.DataFrame
    accounts: pl.DataFrame
    ends: date | None = None


def observation_schema(observation: Observation) -> Columns:
    """Give the columns of ``collect/<observation>``."""
    system = {
        PARTITION: pl.Date(),
        OBSERVATION_ID: pl.String(),
        EVENT_TIME: UTC_TIME,
        KNOWN_AT: UTC_TIME,
        **dict.fromkeys(LINKS, pl.String()),
    }
    return Columns({**system, **observation.schema}, observation.fields)


def dump_schema(observation: Observation) -> dict[str, pl.DataType]:
    """Give the columns of ``collect/<observation>_in_dump``: who is in each day's full dump."""
    return {PARTITION: pl.Date(), **{k: observation.schema[k] for k in observation.entity.keys}}


def in_dump(raw: pl.DataFrame, observation: Observation, source: Source) -> pl.DataFrame:
    """Say who is in the full dump of each day: whose key can be read, rejected or not."""
    keys = [f for f in observation.fields if f.name in observation.entity.keys]
    told = raw.select(
        pl.col(FILE_DAY).alias(PARTITION), *(value_of(raw, f, source).alias(f.name) for f in keys)
    )
    columns = list(dump_schema(observation))
    return told.select(columns).drop_nulls().unique().sort(columns)


def validate(raw: pl.DataFrame, observation: Observation, source: Source) -> pl.DataFrame:
    """Type raw records, date them, and say what is wrong with those that break the contract.

    Parameters
    ----------
    raw : DataFrame
        The source's columns, and for each record where it stood (``_file``, ``_line``), the day of
        its file where files are daily (``_file_day``), and what is structurally wrong with it.
        What the API received also says its ``observation_id`` and what it links to.
    source : Source
        How to read the columns: the observation's own, or `received.API`.

    Returns
    -------
    DataFrame
        The observation's columns, ``reason`` (null for a sound record), ``partition_date`` (null
        where nothing dates the record) and where it stood. Every record comes back, in order.
    """
    raw = _with_links(raw, source)
    record = pl.coalesce(RAW, pl.struct(*_raw_columns(raw)).struct.json_encode()).alias("record")
    frame = raw.with_row_index("_row").select("_row", pl.all().exclude("_row"), record)
    typed = frame.with_columns(
        *(value_of(raw, f, source).alias(f"={f.name}") for f in observation.fields),
        *times_of(raw, source),
    )
    typed = typed.with_columns(dated(source))
    typed = typed.join(
        breaches(typed, observation, source), on="_row", how="left", maintain_order="left"
    )
    reason = pl.coalesce(PROBLEM, "reason")
    partition = pl.col("=known_at").dt.date()
    if isinstance(source, BY_DAY):
        partition = pl.when(reason.is_null()).then(partition).otherwise(pl.col(FILE_DAY))
    return typed.select(
        partition.alias(PARTITION),
        pl.coalesce(SAID[OBSERVATION_ID], _identity(observation, source)).alias(OBSERVATION_ID),
        pl.col("=event_time").alias(EVENT_TIME),
        pl.col("=known_at").alias(KNOWN_AT),
        *(pl.col(SAID[name]).alias(name) for name in LINKS),
        *(pl.col(f"={f.name}").alias(f.name) for f in observation.fields),
        reason.alias("reason"),
        pl.col(FILE).alias("file"),
        pl.col(LINE).alias("line"),
        "record",
    )


def parsed(raw: pl.DataFrame, observation: Observation, source: Source) -> pl.DataFrame:
    """Type the fields of raw records as `validate` does, those with a default aside."""
    fields = [f for f in observation.fields if not f.fills]
    return raw.select(value_of(raw, f, source).alias(f.name) for f in fields)


def known_days(raw: pl.DataFrame, source: Source, now: datetime) -> pl.Series:
    """Give the day on which each raw record says that it became known.

    Null where it does not say, and where that is yet to come.
    """
    told = raw.select(*times_of(raw, source))
    moment = pl.col("=event_time" if source.known_at is None else "=known_at") + source.delay
    return told.select(pl.when(moment <= now).then(moment.dt.date())).to_series()


def settle(
    checked: pl.DataFrame,
    known: pl.DataFrame,
    observation: Observation,
    repeats: pl.DataFrame | None = None,
) -> Collected:
    """Tell sound records from duplicates and conflicts, and account for all of them.

    Parameters
    ----------
    checked : DataFrame
        What `validate` gave, with a partition for each record, for a span of days no longer than
        ``duplicates_within``.
    known : DataFrame
        Observations already collected within that time before, in the same columns.
    repeats : DataFrame, optional
        How many duplicates the inbox recognised itself: ``partition_date``, ``copies``.
    """
    horizon = observation.duplicates_within
    columns = list(observation_schema(observation))
    sound = (
        checked.filter(pl.col("reason").is_null())
        .sort(KNOWN_AT, "file", "line", maintain_order=True)
        .with_row_index("_order")
    )
    before = known.select(columns).sort(PARTITION).unique(OBSERVATION_ID, keep="last")
    # Each is held against what stood when it came, whatever is collected of its id later.
    repeated = sound.join(before, on=OBSERVATION_ID, how="left", suffix="_known").filter(
        pl.col(f"{PARTITION}_known") >= pl.col(PARTITION) - horizon
    )
    others = sound.join(repeated, on="_order", how="anti")
    new = others.unique(OBSERVATION_ID, keep="first", maintain_order=True)
    copies = others.join(new, on="_order", how="anti")
    again = pl.concat(
        [repeated, copies.join(new.select(columns), on=OBSERVATION_ID, suffix="_known")]
    )
    names = [*observation.schema, EVENT_TIME, *LINKS]
    same = pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n}_known")) for n in names)
    conflict = again.filter(~same).with_columns(reason=pl.lit(CONFLICT))
    rejected = pl.concat(
        [checked.filter(pl.col("reason").is_not_null()), conflict.select(checked.columns)]
    ).select(*REJECTED_SCHEMA)
    return Collected(
        observations=new.select(columns).sort(KNOWN_AT, OBSERVATION_ID),
        rejected=rejected.sort(PARTITION, "file", "line", "record"),
        accounts=_accounts(checked, new, rejected, repeats),
    )


def _accounts(
    checked: pl.DataFrame,
    new: pl.DataFrame,
    rejected: pl.DataFrame,
    repeats: pl.DataFrame | None,
) -> pl.DataFrame:
    def count(frame: pl.DataFrame, name: str) -> pl.DataFrame:
        return frame.group_by(PARTITION).agg(pl.len().cast(pl.Int64).alias(name))

    received = count(checked, "received")
    if repeats is not None:
        again = repeats.select(PARTITION, received="copies")
        received = pl.concat([received, again]).group_by(PARTITION).agg(pl.col("received").sum())
    return (
        received.join(count(new, "collected"), on=PARTITION, how="left")
        .join(count(rejected, "rejected"), on=PARTITION, how="left")
        .with_columns(pl.col("collected", "rejected").fill_null(0))
        .with_columns(duplicates=pl.col("received") - pl.col("collected") - pl.col("rejected"))
        .select(*ACCOUNT_SCHEMA)
        .sort(PARTITION)
    )


def _with_links(raw: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Add the decision that a file's record answers, and what no file says: its id, other links."""
    if source.decision_id is not None:
        answered = pl.col(source.decision_id).cast(pl.String).alias(SAID[DECISION_ID])
        raw = raw.with_columns(answered)
    lacking = [c for c in SAID.values() if c not in raw.columns]
    return raw.with_columns(pl.lit(None, dtype=pl.String).alias(c) for c in lacking)


def _raw_columns(raw: pl.DataFrame) -> list[str]:
    system = {FILE, LINE, PROBLEM, RAW, FILE_DAY, *SAID.values()}
    return [c for c in raw.columns if c not in system]


def _identity(observation: Observation, source: Source) -> pl.Expr:
    texts = [pl.col(f"={n}").cast(pl.String) for n in (EVENT_TIME, *observation.identified_by)]
    if isinstance(source, DailyFiles) and source.full_dump:
        texts.append(pl.col(FILE_DAY).cast(pl.String))
    # Each part says its length, so that no two different records read the same.
    parts = [_part(t).fill_null("-;") for t in texts]
    for field in observation.added:
        value = pl.col(f"={field.name}")
        # Records from before the field say nothing of it, and keep their ids.
        told = pl.format(f"{field.identity}={{}}", _part(value.cast(pl.String)))
        parts.append(pl.when(value.ne_missing(field.default)).then(told).fill_null(""))
    digest: pl.Expr = plh.concat_str(parts).chash.sha2_256()
    return digest.str.head(32)


def _part(text: pl.Expr) -> pl.Expr:
    return pl.format("{}:{};", text.str.len_bytes(), text)
