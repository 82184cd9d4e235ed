"""How a record may break its contract, and the words for it."""

from datetime import timedelta
from typing import TypeAlias

import polars as pl

from flywheel_assets.declare.collect import DailyFiles, Observation, Source
from flywheel_assets.declare.field import Field
from flywheel_assets.declare.rules import FILE_DAY, RETRACTS
from flywheel_assets.stages.parsing import BY_DAY, SAID
from flywheel_assets.stages.times import first_moment

Broken: TypeAlias = tuple[pl.Expr, pl.Expr]
"""When a rule is broken, and what is then said."""


def breaches(typed: pl.DataFrame, observation: Observation, source: Source) -> pl.DataFrame:
    """Say what is wrong with the rows that break the contract: ``_row``, ``reason``."""
    broken = [
        *(_broken(f, source.source_column(f.name)) for f in observation.fields),
        *([b] for b in _broken_times(source, observation.clock_tolerance)),
    ]
    # Words cost far more than comparisons, and most rows need none.
    # In one piece: of several, Polars fails to put words together where the first are empty.
    wrong = typed.filter(pl.any_horizontal(w for rules in broken for w, _ in rules)).rechunk()
    said = (pl.coalesce(pl.when(w).then(reason) for w, reason in rules) for rules in broken)
    told = pl.concat_list(*said).list.drop_nulls().list.join("; ")
    return wrong.select("_row", told.alias("reason"))


def _broken(field: Field, column: str) -> list[Broken]:
    """Pair each way in which a field may break its contract with the words for it."""
    value, raw = pl.col(f"={field.name}"), pl.col(column)
    found = raw.cast(pl.String)

    def expected(what: object) -> pl.Expr:
        return pl.format(f"{field.name}: expected {what}, found {{}}", found)

    broken = [(value.is_null() & raw.is_not_null(), expected(field.dtype))]
    if not field.nullable and not field.fills:
        # A retraction has no payload.
        missing = raw.is_null() & pl.col(SAID[RETRACTS]).is_null()
        broken.append((missing, pl.lit(f"{field.name}: required, found nothing")))
    if field.minimum is not None:
        broken.append((value < field.minimum, expected(f"at least {field.minimum}")))
    if field.maximum is not None:
        broken.append((value > field.maximum, expected(f"at most {field.maximum}")))
    if field.allowed is not None:
        allowed = list(field.allowed)
        if field.dtype == pl.String:  # in quotes, so that blanks show
            found = pl.format("'{}'", found)
        broken.append((~value.is_in(allowed), expected(f"one of {allowed}")))
    return broken


def _broken_times(source: Source, tolerance: timedelta) -> list[Broken]:
    event, known = pl.col("=event_time"), pl.col("=known_at")
    broken: list[Broken] = []
    unread = ((source.event_time, event.is_null()), (source.known_at, pl.col("=unheard")))
    for column, wrong in unread:
        if column is not None:
            found = pl.col(column).cast(pl.String).fill_null("nothing")
            said = pl.format(f"{column}: expected a time, found {{}}", found)
            broken.append((wrong, said))
    future = event > known + tolerance
    if isinstance(source, BY_DAY):
        # A file's day is the product's; the day of a row that was read is ours.
        zone = source.time_zone if isinstance(source, DailyFiles) else "UTC"
        # Of two midnights the later: what may still be of the day is not refused.
        closed = first_moment(pl.col(FILE_DAY) + pl.duration(days=1), zone, ambiguous="latest")
        if source.event_time is not None:
            future = future | (event >= closed + tolerance)
        late = known.dt.date() > pl.col(FILE_DAY) + pl.duration(days=1) + source.delay_in_days
        said = pl.lit("known_at: expected a time of the file's day, found a later one")
        broken.append((late & ~future, said))
    said = pl.format("event_time: expected a time that has been, found {}", event)
    return [*broken, (future, said)]
