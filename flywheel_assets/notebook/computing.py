"""Features for any entities at any moments, by the functions that check training sets."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from flywheel_assets.declare.features import Aggregation, FeatureView
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.declare.rules import AS_OF, check_columns
from flywheel_assets.errors import ColumnsError, HomeError, MissingPartitionError, nearest
from flywheel_assets.point_in_time import windows
from flywheel_assets.stages.clock import DAY, closes
from flywheel_assets.stages.features import reach, recomputed
from flywheel_assets.stages.organize import dimension_schema, fact_schema
from flywheel_assets.stages.seen import seen_again, spine_schema
from flywheel_assets.stores.declared import Declared
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

UTC_TIME = pl.Datetime("us", "UTC")
Span = tuple[date, datetime]
_AS_TIME = "str.to_datetime(time_unit='us', time_zone='UTC')"
_WITH_ZONE = "cast(pl.Datetime('us')).dt.replace_time_zone('UTC')"
_NEVER = (date(9000, 1, 1), datetime(1, 1, 1, tzinfo=UTC))
MICROSECOND = timedelta(microseconds=1)


def declared_features(
    home: Home, flywheels: Sequence[Flywheel], spine: pl.DataFrame, name: str
) -> pl.DataFrame:
    """Compute what a flywheel's decisions see, or one feature view, for each row of a spine."""
    things = catalog(flywheels)
    for flywheel in things.flywheels:
        if flywheel.name == name:
            fitted = _fitted(spine, spine_schema(flywheel), f"flywheel {name!r}")
            suggested = {generator.name for generator in flywheel.policy.generators}
            _check_new([n for n in flywheel.descriptions if n not in suggested], spine)
            made_of = {view: _inputs(home, view, _span(fitted)) for view in flywheel.views}
            return seen_again(fitted, made_of, flywheel)
    for view in things.views:
        if view.name == name:
            schema = {key: view.fact.schema[key] for key in view.entity.keys}
            fitted = _fitted(spine, schema, f"feature view {name!r}")
            facts, dimensions = _inputs(home, view, _span(fitted))
            found = recomputed(fitted.select(*schema, AS_OF), facts, dimensions, view)
            _check_new(view.descriptions, spine)
            return fitted.with_columns(found.select(*view.descriptions).get_columns())
    names = [*(f.name for f in things.flywheels), *(v.name for v in things.views)]
    raise HomeError(
        expected="the name of a flywheel or of a feature view, or aggregations",
        found=repr(name),
        remedy=nearest(name, names),
    )


def ad_hoc_features(  # noqa: PLR0913, PLR0917  what is asked, of what
    home: Home,
    flywheels: Sequence[Flywheel],
    spine: pl.DataFrame,
    aggregations: Sequence[Aggregation],
    fact_name: str | None,
    by: Sequence[str] | None,
) -> pl.DataFrame:
    """Compute aggregations that nobody declared yet over a fact, for each row of a spine."""
    if not aggregations:
        raise ColumnsError(
            expected="an aggregation or more", found="none", remedy="write [Aggregation(...)]"
        )
    fact = _fact(flywheels, fact_name)
    keys = tuple(by) if by is not None else fact.observation.entity.keys
    check_columns(keys, fact.schema, f"by= over fact {fact.name!r}")
    for one in aggregations:
        read = [*one.columns, *(one.where.meta.root_names() if one.where is not None else ())]
        check_columns(read, fact.schema, f"aggregation {one.name!r} over fact {fact.name!r}")
    fitted = _fitted(spine, {key: fact.schema[key] for key in keys}, "the aggregations")
    spans = [one.window for one in aggregations]
    longest = None if None in spans else max(w for w in spans if w is not None)
    # A midnight-aligned window begins up to a day earlier.
    back = None if longest is None else longest + DAY + fact.observation.clock_tolerance
    rows = _read_fact(home, fact, _span(fitted), back)
    return windows(rows, fitted, list(aggregations), by=keys)


def check_is_frame(spine: object) -> None:
    """Refuse a spine that is another library's, or not read yet.

    Raises
    ------
    ColumnsError
    """
    if not isinstance(spine, pl.DataFrame):
        lazy = isinstance(spine, pl.LazyFrame)
        raise ColumnsError(
            expected="a spine as a Polars DataFrame",
            found=f"a {type(spine).__module__.split('.')[0]} {type(spine).__name__}",
            remedy="write spine.collect()" if lazy else "write pl.from_pandas(spine)",
        )


def _fact(flywheels: Sequence[Flywheel], name: str | None) -> Fact:
    known = {fact.name: fact for fact in catalog(flywheels).facts}
    asked = (name or "").removeprefix("organize/").removeprefix("fct_")
    if asked in known:
        return known[asked]
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    raise HomeError(
        expected="fact=, the name of the fact that is aggregated",
        found=repr(name),
        remedy=nearest(asked, known),
    )


def _inputs(
    home: Home, view: FeatureView, span: Span
) -> tuple[pl.DataFrame, dict[Dimension, pl.DataFrame]]:
    """Read what a view at some moments is made of, and no other partitions of its fact."""
    dimensions = {
        d: _known(home, f"organize/dim_{d.name}", dimension_schema(d), span, None)
        for d in view.dimensions
    }
    return _read_fact(home, view.fact, span, reach(view)), dimensions


def _read_fact(home: Home, fact: Fact, span: Span, back: timedelta | None) -> pl.DataFrame:
    table = f"organize/fct_{fact.name}"
    if not Tables(home.lakehouse).exists(table):
        raise HomeError(
            expected=f"{table}, which the features are computed from",
            found="none in this home",
            remedy="turn the flywheel first: flywheel run",
        )
    return _known(home, table, fact_schema(fact), span, back)


def _known(
    home: Home, table: str, schema: Mapping[str, Any], span: Span, back: timedelta | None
) -> pl.DataFrame:
    """Read what was known at some moments; refuse moments that the table does not cover yet."""
    tables = Tables(home.lakehouse)
    first, last, days = None, span[1].date(), tables.days(table)
    # A day on which nothing came has no partition, and was made all the same.
    made = [epoch.last for epoch in Declared(home.declared).epochs(table)]
    newest = max((*days, *made), default=None)
    if newest is not None and span[1] > closes(newest):
        raise MissingPartitionError(
            expected=f"moments up to {closes(newest)}, which {table} covers in {home.root}",
            found=str(span[1]),
            remedy="ask for earlier ones, or make the days up to then once they have closed: "
            f"flywheel run NAME --from {newest + DAY} --to {(span[1] - MICROSECOND).date()}",
        )
    if days:
        # The home's first partition holds everything that was known before it.
        first = None if back is None else max(span[0] - math.ceil(back / DAY) * DAY, days[0])
        last = max(last, days[0])
    return tables.read(table, schema, first, last).collect()


def _fitted(spine: pl.DataFrame, schema: Mapping[str, Any], what: str) -> pl.DataFrame:
    """Give keys and moments the types that the tables have; refuse what cannot have them."""
    needed = list(dict.fromkeys((*schema, AS_OF)))
    lacking = [name for name in needed if name not in spine.columns]
    if lacking:
        raise ColumnsError(
            expected=f"a spine for {what} with the columns {', '.join(needed)}",
            found=f"no {', '.join(lacking)}",
            remedy=nearest(lacking[0], spine.columns),
        )
    found = spine.schema[AS_OF]
    if not isinstance(found, pl.Datetime) or found.time_zone is None:
        raise ColumnsError(
            expected=f"{AS_OF} as times with a zone",
            found=str(found),
            remedy=f"write pl.col('{AS_OF}').{_AS_TIME if found == pl.String else _WITH_ZONE}",
        )
    moment = pl.col(AS_OF).dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    keys = {name: dtype for name, dtype in schema.items() if name != AS_OF}
    other = [key for key, dtype in keys.items() if not _means_the_same(spine[key], dtype)]
    if other:
        raise ColumnsError(
            expected=f"a spine for {what} with keys {keys}",
            found=", ".join(f"{key} of {spine.schema[key]}" for key in other),
            remedy="give keys of the tables' types, or such as mean the same in them",
        )
    return spine.with_columns(moment, *(pl.col(k).cast(t) for k, t in keys.items()))


def _means_the_same(values: pl.Series, dtype: Any) -> bool:
    """Say whether values have a type, or come back from it as they were."""
    if values.dtype == pl.Boolean and dtype != pl.Boolean:
        return False
    try:
        return values.cast(dtype).cast(values.dtype).equals(values)
    except pl.exceptions.PolarsError:
        return False


def _check_new(names: Iterable[str], spine: pl.DataFrame) -> None:
    taken = [name for name in names if name in spine.columns]
    if taken:
        raise ColumnsError(
            expected="a spine without columns that are called as features are",
            found=", ".join(taken),
            remedy="drop or rename them",
        )


def _span(spine: pl.DataFrame) -> Span:
    """Give the day of the first moment, and the last; of no moments, such as need nothing."""
    moments = spine[AS_OF].drop_nulls().sort()
    return (moments[0].date(), moments[-1]) if len(moments) else _NEVER
