"""The newest known row of an entity at a moment, as for the attributes of a dimension."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.declare.rules import EVENT_TIME, KNOWN_AT, OBSERVATION_ID
from flywheel_assets.errors import ColumnsError, nearest
from flywheel_assets.point_in_time.chunks import flat
from flywheel_assets.point_in_time.compiling import announced
from flywheel_assets.point_in_time.conventions import DEFAULT, Conventions
from flywheel_assets.point_in_time.layout import Ints, codes_of
from flywheel_assets.point_in_time.prepare import check_zones, microseconds, needed
from flywheel_assets.point_in_time.visible import NEVER, replaced
from flywheel_assets.point_in_time.windows import windows

_MICROSECOND = timedelta(microseconds=1)
_ROW = "_row"


def as_of(  # noqa: PLR0913  two frames, what to look up, and how the two fit together
    table: pl.DataFrame,
    spine: pl.DataFrame,
    columns: Sequence[str],
    *,
    by: Sequence[str],
    at: str = "as_of",
    max_age: timedelta | None = None,
    conventions: Conventions = DEFAULT,
) -> pl.DataFrame:
    """Look up the newest row of each entity that had happened and was known at a moment.

    Parameters
    ----------
    table : DataFrame, (n_rows, ...)
        With the keys, ``event_time``, the columns asked for and, where they matter, ``known_at``,
        ``observation_id``, ``corrects``, ``retracts``. Of rows of one moment, the one known last
        is the newest.
    spine : DataFrame, (n_moments, ...)
    columns : sequence of str
        Their values may be null, and of any type.
    max_age : timedelta, optional
        Rows older than this are not used (a time to live).

    Returns
    -------
    DataFrame, (n_moments, ...)
        The spine as it is, and the columns: null where there was no such row.

    Raises
    ------
    ColumnsError
        For columns that are missing.

    See Also
    --------
    Moments : For look-ups in several tables.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = lambda d: datetime(2026, 1, d, tzinfo=UTC)
    >>> moves = pl.DataFrame({"customer": [7, 7], "event_time": [day(1), day(5)],
    ...                       "country": ["UK", "France"]})
    >>> spine = pl.DataFrame({"customer": [7, 7], "as_of": [day(4), day(9)]})
    >>> as_of(moves, spine, ["country"], by=["customer"])["country"].to_list()
    ['UK', 'France']
    """
    moments = Moments(spine, by=by, at=at, conventions=conventions)
    return spine.with_columns(moments.newest(table, columns, max_age=max_age))


class Moments:
    """A spine, put into order once for look-ups in any number of tables.

    Tables may be looked up in from several threads at once: each look-up leaves the other cores
    idle for most of its time.

    Parameters
    ----------
    spine : DataFrame, (n_moments, ...)
        The keys, and the moment in `at`. In any order; rows may repeat.
    by : sequence of str
        The entity's key columns.
    at : str
        The spine's column of moments.
    conventions : Conventions

    Raises
    ------
    ColumnsError
        For moments that are missing or no times.
    """

    def __init__(
        self,
        spine: pl.DataFrame,
        *,
        by: Sequence[str],
        at: str = "as_of",
        conventions: Conventions = DEFAULT,
    ) -> None:
        self._by, self._at, self._conventions = by, at, conventions
        self._spine = spine.select(*by, at)
        moments = flat(microseconds(spine, at)) - conventions.lag // _MICROSECOND
        self._order = np.argsort(moments, kind="stable")
        self._moments = moments[self._order]
        self._keys = spine.select(by)[self._order]

    def newest(
        self, table: pl.DataFrame, columns: Sequence[str], *, max_age: timedelta | None = None
    ) -> list[pl.Series]:
        """Look up the newest row of each entity, as `as_of` does.

        Returns
        -------
        list of Series, (n_moments,)
            The columns, in the order of the spine; null where there was no such row.
        """
        for column in columns:
            if column not in table.columns:
                raise ColumnsError(
                    expected=f"a table with a column {column!r}",
                    found=", ".join(table.columns),
                    remedy=nearest(column, table.columns),
                )
        rows = self._rows(table, max_age)
        return [table[column].rechunk().gather(rows) for column in columns]

    def _rows(self, table: pl.DataFrame, max_age: timedelta | None) -> pl.Series:
        """Give the position in the table of each moment's row."""
        read = needed(table, [], self._by)
        check_zones(read, self._spine, self._at)
        ended, until = replaced(read, availability=self._conventions.availability)
        if (until != NEVER).any():
            return self._through_windows(table, max_age)
        ids = table[OBSERVATION_ID] if OBSERVATION_ID in table.columns else None
        with announced():
            found = pl.Series(self._swept(read, ended, ids, max_age))
        return found.set(found < 0, None)

    def _through_windows(self, table: pl.DataFrame, max_age: timedelta | None) -> pl.Series:
        """Find the rows where some go out of sight again, as those that are corrected do."""
        newest = Aggregation(name="newest", function="last", column=_ROW, window=max_age)
        return windows(
            table.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_ROW)),
            self._spine,
            [newest],
            by=self._by,
            at=self._at,
            conventions=self._conventions,
        )["newest"]

    def _swept(
        self,
        read: pl.DataFrame,
        left_out: Ints,
        ids: pl.Series | None,
        max_age: timedelta | None,
    ) -> NDArray[np.int32]:
        """Find the rows where all that comes into sight stays there; -1 for none."""
        from flywheel_assets.point_in_time.kernels.sweep import newest

        codes, asked = codes_of(read, self._keys, self._by)
        codes = codes.without(left_out)
        numbers = flat(codes.numbers)
        meant = self._conventions
        happened = flat(microseconds(read, EVENT_TIME))
        known = happened
        if KNOWN_AT in read.columns:
            known = flat(microseconds(read, KNOWN_AT))
        visible_from = happened
        if meant.availability and known is not happened:
            visible_from = np.maximum(happened, known - meant.settle // _MICROSECOND)
        lower = np.empty(0, np.int64)
        if max_age is not None:
            lower = self._moments - max_age // _MICROSECOND + (meant.lower == "excluded")
        upper = self._moments + (meant.upper == "included")
        order = np.argsort(visible_from, kind="stable")
        found = np.empty(upper.size, np.int32)
        tied = np.zeros(numbers.size, np.bool_)

        def sweep(rank: NDArray[np.uint32]) -> None:
            rows = (order, visible_from, numbers, codes.least, happened, known, rank)
            queries = (flat(asked.numbers), upper, lower, self._order)
            newest(*rows, codes.n_entities, *queries, found, tied)

        sweep(np.empty(0, np.uint32))
        if ids is not None and tied.any():
            rank = np.zeros(numbers.size, np.uint32)
            rank[tied] = ids.filter(pl.Series(tied)).rank("dense").fill_null(0).to_numpy()
            sweep(rank)
        return found
