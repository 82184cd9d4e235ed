"""The newest known row of an entity at a moment, as for the attributes of a dimension."""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.errors import ColumnsError, nearest
from flywheel_assets.point_in_time.conventions import DEFAULT, Conventions
from flywheel_assets.point_in_time.windows import windows

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
    for column in columns:
        if column not in table.columns:
            raise ColumnsError(
                expected=f"a table with a column {column!r}",
                found=", ".join(table.columns),
                remedy=nearest(column, table.columns),
            )
    newest = Aggregation(name="newest", function="last", column=_ROW, window=max_age)
    numbered = table.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_ROW))
    asked = spine.select(*by, at)
    rows = windows(numbered, asked, [newest], by=by, at=at, conventions=conventions)["newest"]
    return spine.with_columns(table[column].gather(rows) for column in columns)
