"""Organize: observations become facts, and attribute changes become dimensions."""

from collections.abc import Sequence
from datetime import UTC, datetime, time

import polars as pl

from flywheel_assets.declare.organize import CANCELS, Dimension, Fact
from flywheel_assets.declare.rules import (
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
    RETRACTS,
)
from flywheel_assets.declare.shape import Columns
from flywheel_assets.point_in_time import as_of
from flywheel_assets.stages.cancellations import withdrawing

UTC_TIME = pl.Datetime("us", "UTC")
VALID_FROM, CLOSED = "valid_from", "is_closed"


def fact_schema(fact: Fact) -> Columns:
    """Give the columns of ``organize/fct_<name>``."""
    return Columns({PARTITION: pl.Date(), **fact.schema}, fact.observation.fields)


def facts(observations: pl.DataFrame, earlier: pl.DataFrame, fact: Fact) -> pl.DataFrame:
    """Model a range of days of observations as a fact.

    Parameters
    ----------
    observations : DataFrame
        As collected.
    earlier : DataFrame
        The fact's own rows of the days before, needed where cancellations are retractions.
    """
    rule = fact.cancellation
    frame = observations.sort(KNOWN_AT, OBSERVATION_ID)
    if rule is not None:
        cancels = rule.when.fill_null(value=False)
        frame = frame.with_columns(cancels.alias(CANCELS)).with_columns(
            pl.when(CANCELS).then(-pl.col(m).abs()).otherwise(pl.col(m)).alias(m)
            for m in rule.measures
        )
    schema = fact_schema(fact)
    if rule is None or rule.becomes == "negative_fact":
        return frame.with_columns(**fact.derive).select(*schema)
    return withdrawing(frame, earlier, rule).with_columns(**fact.derive).select(*schema)


def dimension_schema(dimension: Dimension) -> Columns:
    """Give the columns of ``organize/dim_<name>``: one row for each change."""
    source = dimension.observation.schema
    types = {
        PARTITION: pl.Date(),
        **{k: source[k] for k in dimension.entity.keys},
        **{a: source[a] for a in dimension.attributes},
        VALID_FROM: UTC_TIME,
        KNOWN_AT: UTC_TIME,
        CLOSED: pl.Boolean(),
    }
    return Columns(types, dimension.observation.fields)


def changes(
    observations: pl.DataFrame,
    earlier: pl.DataFrame,
    dimension: Dimension,
    told: pl.LazyFrame | None = None,
    in_dump: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Keep what changed: the rows whose attributes differ from the entity's last known ones.

    News of what happened before the newest that is known changes nothing at any moment from then
    on, and is left out.

    Parameters
    ----------
    observations : DataFrame
        As collected, for a range of days.
    earlier : DataFrame
        The dimension's rows of all days before.
    told : LazyFrame, optional
        All observations, for a value told again is among them alone. Read where news is late.
    in_dump : DataFrame, optional
        Who is in the full dump of each day of the range, as `stages.collect.in_dump` gives; who is
        among the observations of the day, if left out.
    """
    news, keys = _news(observations, dimension), list(dimension.entity.keys)
    if dimension.observation.is_full_dump:
        return _dumped(news, earlier, dimension, news if in_dump is None else in_dump)
    if news.is_empty():
        return news
    begun = pl.lit(news[PARTITION].min()).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    ahead = pl.col(VALID_FROM) >= begun
    before = [_latest(earlier.filter(~ahead), keys), earlier.filter(ahead)]
    if told is not None:
        before.append(_told_since(told, news, dimension))
    known = pl.concat(
        [
            pl.concat(before).with_columns(_new=pl.lit(value=False)),
            news.with_columns(_new=pl.lit(value=True)),
        ]
    )
    seen_from = pl.max_horizontal(VALID_FROM, KNOWN_AT)
    known = known.sort(*keys, seen_from, VALID_FROM, KNOWN_AT, maintain_order=True)
    newest = known.filter(pl.col(VALID_FROM) == pl.col(VALID_FROM).cum_max().over(keys))
    # What comes tomorrow may come in before a row that is ahead of its day, and differ from it.
    ahead = pl.col(VALID_FROM).dt.date() > pl.col(PARTITION)
    return newest.filter(pl.col("_new") & (_differs(dimension) | ahead)).drop("_new")


def _news(observations: pl.DataFrame, dimension: Dimension) -> pl.DataFrame:
    """Lay out observations as rows of a dimension, one for each moment and what is known at it."""
    return (
        # A retraction tells no attributes; what it withdraws was true until something else is told.
        observations.filter(pl.col(RETRACTS).is_null())
        .sort(EVENT_TIME, KNOWN_AT, OBSERVATION_ID)
        .with_columns(pl.col(EVENT_TIME).alias(VALID_FROM), pl.lit(value=False).alias(CLOSED))
        .select(*dimension_schema(dimension))
        .unique(
            [PARTITION, *dimension.entity.keys, VALID_FROM, KNOWN_AT],
            keep="last",
            maintain_order=True,
        )
    )


def _told_since(told: pl.LazyFrame, news: pl.DataFrame, dimension: Dimension) -> pl.DataFrame:
    """Read the earlier observations that may be newer than late ones among the news."""
    first = news[PARTITION].min()
    late = news.filter(pl.col(VALID_FROM).dt.date() < pl.lit(first))
    if late.is_empty():
        return news.clear()
    oldest = late.select(pl.col(VALID_FROM).min()).item()
    # Nothing is known long before it happens.
    since = (oldest - dimension.observation.clock_tolerance).date()
    keys = dimension.entity.keys
    columns = (PARTITION, OBSERVATION_ID, EVENT_TIME, KNOWN_AT, RETRACTS, *keys)
    found = (
        told.filter(pl.col(PARTITION) >= since, pl.col(PARTITION) < pl.lit(first))
        .filter(pl.col(EVENT_TIME) >= oldest)
        .select(dict.fromkeys((*columns, *dimension.attributes)).keys())
        .join(late.lazy().select(keys), on=keys, how="semi")
    )
    return _news(found.collect(), dimension)


def _differs(dimension: Dimension) -> pl.Expr:
    """Say whether a row is its entity's first, or tells something else than the one before it."""
    keys, told = list(dimension.entity.keys), (*dimension.attributes, CLOSED)
    first = pl.int_range(pl.len()).over(keys) == 0
    return first | pl.any_horizontal(
        pl.col(a).ne_missing(pl.col(a).shift(1).over(keys)) for a in told
    )


def _dumped(
    news: pl.DataFrame, earlier: pl.DataFrame, dimension: Dimension, in_dump: pl.DataFrame
) -> pl.DataFrame:
    """Keep what changed from one dump to the next, and close who is no longer in it."""
    keys = list(dimension.entity.keys)
    # What an older file told is no news on a day whose own dump has it no more.
    gone = news.join(in_dump, on=PARTITION, how="semi").join(
        in_dump, on=[PARTITION, *keys], how="anti"
    )
    news = news.join(gone, on=[PARTITION, *keys], how="anti")
    news = pl.concat([news, _gone(in_dump, news, earlier, keys)])
    known = pl.concat(
        [
            _latest(earlier, keys).with_columns(_new=pl.lit(value=False)),
            news.with_columns(_new=pl.lit(value=True)),
        ]
    ).sort(*keys, PARTITION, VALID_FROM, KNOWN_AT, maintain_order=True)
    changed = known.filter(~pl.col("_new") | _differs(dimension))
    # A dump is newer than the one before it, however long ago its rows say that they happened.
    newer = changed.with_columns(pl.col(VALID_FROM).cum_max().over(keys))
    return newer.filter("_new").drop("_new")


def _latest(
    rows: pl.DataFrame, keys: Sequence[str], order: Sequence[str] = (VALID_FROM, KNOWN_AT)
) -> pl.DataFrame:
    ordered = rows.sort(order)
    return ordered.unique(list(keys), keep="last", maintain_order=True)


def _gone(
    in_dump: pl.DataFrame, news: pl.DataFrame, earlier: pl.DataFrame, keys: Sequence[str]
) -> pl.DataFrame:
    """Close what a dump no longer has, at the first moment of the day of that dump."""
    seen = pl.concat([_latest(earlier, keys), news])
    closed = [news.clear()]
    for day in in_dump[PARTITION].unique().sort():
        present = in_dump.filter(pl.col(PARTITION) == day)
        at = datetime.combine(day, time(), tzinfo=UTC)
        known = news.filter(pl.col(PARTITION) == day)[KNOWN_AT].max()
        before = _latest(seen.filter(pl.col(PARTITION) < day), keys, (PARTITION, VALID_FROM))
        closed.append(
            before.join(present, on=list(keys), how="anti").with_columns(
                pl.lit(day).alias(PARTITION),
                pl.lit(at).cast(UTC_TIME).alias(VALID_FROM),
                pl.lit(known or at).cast(UTC_TIME).alias(KNOWN_AT),
                pl.lit(value=True).alias(CLOSED),
            )
        )
    return pl.concat(closed)


def looked_up(
    spine: pl.DataFrame, rows: pl.DataFrame, dimension: Dimension, attributes: Sequence[str]
) -> pl.DataFrame:
    """Add each entity's attributes at a moment, as known at that moment.

    Parameters
    ----------
    spine : DataFrame
        The entity's keys, and the moment in ``as_of``.
    rows : DataFrame
        Of ``organize/dim_<name>``.

    Returns
    -------
    DataFrame
        The spine with the attributes: null where the entity was not there, or no longer.
    """
    changed = rows.rename({VALID_FROM: EVENT_TIME})
    found = as_of(changed, spine, [*attributes, CLOSED], by=dimension.entity.keys)
    there = ~pl.col(CLOSED)
    return found.with_columns(pl.when(there).then(pl.col(a)).alias(a) for a in attributes).drop(
        CLOSED
    )
