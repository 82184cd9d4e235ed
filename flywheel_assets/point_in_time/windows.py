"""Windowed features at any moments of any entities, as known at those moments."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.errors import ColumnsError
from flywheel_assets.point_in_time.channel import channel
from flywheel_assets.point_in_time.chunks import Chunks, flat
from flywheel_assets.point_in_time.compiling import announced
from flywheel_assets.point_in_time.compute import compute
from flywheel_assets.point_in_time.conventions import DEFAULT, Conventions
from flywheel_assets.point_in_time.encode import Encoded, encode
from flywheel_assets.point_in_time.prepare import Prepared, needed, prepare, spans
from flywheel_assets.point_in_time.results import Column

_BY_PLACE = frozenset({"first", "last", "first_n", "last_n"})


def windows(  # noqa: PLR0913  two frames, what to compute, and how the two fit together
    events: pl.DataFrame | pl.LazyFrame,
    spine: pl.DataFrame,
    aggregations: Sequence[Aggregation],
    *,
    by: Sequence[str],
    at: str = "as_of",
    conventions: Conventions = DEFAULT,
) -> pl.DataFrame:
    """Compute what each entity's windows held at a moment, as known at that moment.

    Parameters
    ----------
    events : DataFrame or LazyFrame, (n_events, ...)
        With the keys, ``event_time``, and what the aggregations read; with ``known_at``, unless
        everything was known when it happened; with ``observation_id`` where order among rows of one
        moment matters, or where ``corrects`` or ``retracts`` names the row that a later one
        replaces or withdraws. In any order.
    spine : DataFrame, (n_rows, ...)
        The keys, and the moment in `at`. In any order; rows may repeat.
    aggregations : sequence of Aggregation
    by : sequence of str
        The entity's key columns. A null key is an entity without events.
    at : str
        The spine's column of moments.
    conventions : Conventions
        Edges, availability, lag; ``[t - w, t)`` of what was known before t by default.

    Returns
    -------
    DataFrame, (n_rows, ...)
        The spine as it is, each row once and in its order, and one column for each aggregation.
        Counts, and sums of integers, are Int64; means and deviations Float64; extremes and values
        have the type of their column, as have sums of wider integers and of floats in the lists of
        a secondary key. Integer sums are exact, or refused; in floating-point ones what rounding
        loses is given back, so that they do not depend on what else is computed.

    Raises
    ------
    ColumnsError
        For columns that are missing, of the wrong type, or null where a time is needed, and for an
        aggregation named as another is or as a column of the spine.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> day = lambda d: datetime(2026, 1, d, tzinfo=UTC)
    >>> events = pl.DataFrame({"customer": [7, 7, 7], "price": [2, 3, 4],
    ...     "event_time": [day(1), day(7), day(8)], "known_at": [day(1), day(7), day(20)]})
    >>> spine = pl.DataFrame({"customer": [7, 8], "as_of": [day(9), day(9)]})
    >>> week = Aggregation(name="spent_7d", function="sum", column="price",
    ...                    window=timedelta(days=7))
    >>> windows(events, spine, [week], by=["customer"])["spent_7d"].to_list()
    [3, 0]
    """
    _check_names(aggregations, spine)
    table = needed(events, aggregations, by)
    names = [a.name for a in aggregations]
    below = {a.name: _unused(f"{a.name}_over", names) for a in aggregations}
    simple = [part for a in aggregations for part in _parts(a, below[a.name])]
    found: dict[str, pl.Series] = {}
    with announced():
        prepared = prepare(
            table,
            spine,
            by=by,
            at=at,
            conventions=conventions,
            ties=any(a.function in _BY_PLACE for a in aggregations),
        )
        encoded = {c: encode(table[c]) for c in dict.fromkeys(c for a in simple for c in a.columns)}
        groups = list(_groups(simple, encoded))
        for group in groups:
            mask, last = _mask(group[0], table, encoded), group is groups[-1]
            found |= _computed(group, mask, encoded, prepared, last=last)
    return spine.with_columns(_result(a, found, below[a.name]) for a in aggregations)


def _check_names(aggregations: Sequence[Aggregation], spine: pl.DataFrame) -> None:
    taken = set(spine.columns)
    for a in aggregations:
        if a.name in taken:
            raise ColumnsError(
                expected="aggregations with names of their own",
                found=f"{a.name!r} twice, or in the spine",
                remedy="rename one of them",
            )
        taken.add(a.name)


def _unused(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _parts(aggregation: Aggregation, below: str) -> Iterable[Aggregation]:
    """Take a ratio apart into its two sums."""
    if aggregation.function != "ratio":
        return [aggregation]
    above = replace(aggregation, function="sum", over=None)
    return [above, replace(above, name=below, column=aggregation.over)]


def _result(aggregation: Aggregation, found: dict[str, pl.Series], below: str) -> pl.Series:
    if aggregation.function != "ratio":
        return found[aggregation.name]
    ratio = found[aggregation.name] / found[below].replace(0, None)
    return ratio.alias(aggregation.name)


def _groups(
    aggregations: Sequence[Aggregation], encoded: dict[str, Encoded]
) -> Iterable[list[Aggregation]]:
    """Bring together the aggregations over the same rows, whose windows nest."""
    groups: dict[object, list[Aggregation]] = {}
    for a in aggregations:
        where = None if a.where is None else a.where.meta.serialize()
        nulls = tuple(c for c in a.columns if encoded[c].valid is not None)
        aligned = a.aligned and a.window is not None
        groups.setdefault((where, nulls, aligned), []).append(a)
    return groups.values()


def _mask(
    aggregation: Aggregation, table: pl.DataFrame, encoded: dict[str, Encoded]
) -> Chunks | None:
    """Say which rows an aggregation is about; None for all."""
    masks = [flat(valid) for c in aggregation.columns if (valid := encoded[c].valid) is not None]
    if aggregation.where is not None:
        holds = aggregation.where.fill_null(value=False).cast(pl.Boolean)
        masks.append(table.with_columns(holds.alias("_"))["_"].rechunk().to_numpy())
    return [np.logical_and.reduce(masks)] if masks else None


def _computed(
    group: list[Aggregation],
    mask: Chunks | None,
    encoded: dict[str, Encoded],
    prepared: Prepared,
    *,
    last: bool,
) -> dict[str, pl.Series]:
    keep = None if mask is None else prepared.order.arrange(mask)
    nested = spans(group)
    begins = [prepared.begins(s) for s in nested]
    ready = channel(prepared.take(keep, last=last), prepared.queries, begins)
    columns = {}
    for name in dict.fromkeys(c for a in group for c in a.columns):
        numbers = prepared.order.arrange(encoded[name].numbers)
        columns[name] = Column(
            numbers=numbers if keep is None else numbers[keep],
            decode=encoded[name].decode,
            numeric=encoded[name].numeric,
        )
    which = [nested.index((a.window, a.aligned and a.window is not None)) for a in group]
    return compute(group, which, ready, columns)
