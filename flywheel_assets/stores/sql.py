"""Rows of a SQL database from a cursor on, read through its ADBC driver as text."""

import os
import re
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import quote

import polars as pl

from flywheel_assets.declare.collect import SqlSource
from flywheel_assets.errors import SourceError

CURSOR = "=cursor"
"""The column that says where each row stands: the cursor's type and its value, ``bigint:7``."""
_CURSORS = {
    "sqlite": ("integer", "real", "text"),
    "postgresql": (
        *("smallint", "integer", "bigint", "numeric", "real", "double precision"),
        *("date", "timestamp without time zone", "timestamp with time zone"),
        *("uuid", "text", "character varying"),
    ),
}
"""Types that a cursor may have: their order is that of the database, and their text is exact."""
# A value of SQLite has a type of its own, whatever its column's: it comes along, and none is null,
# from which the driver would take the column for one of numbers.
_SQLITE = (
    "typeof({0}) || ':' || CASE typeof({0}) WHEN 'real' THEN printf('%!.17g', {0})"
    " WHEN 'blob' THEN '' ELSE ifnull(CAST({0} AS TEXT), '') END"
)
# What a time with a zone says of it, an hour, is not all of ISO 8601's offset.
_POSTGRESQL = "{0}::text || CASE pg_typeof({0}) WHEN 'timestamptz'::regtype THEN ':00' ELSE '' END"
_PART = r"(?:[^@:/?#%\[\]\s]|%(?!00)[0-9A-Fa-f]{2})*"
_POSTGRESQL_URL = re.compile(
    rf"postgresql://(?:{_PART}(?::{_PART})?@)?"
    rf"(?:(?:{_PART}|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?,?)*(?:/{_PART})?"
    r"(?:\?(?:[^@?#%\s]|%(?!00)[0-9A-Fa-f]{2})*)?"
)
"""A URL in which no part of the password can be taken for anything else."""
_SESSION = ("SET TIME ZONE 'UTC'", "SET DateStyle TO ISO", "SET extra_float_digits TO 1")


def read_rows(source: SqlSource, columns: list[str], cursor: str | None) -> pl.DataFrame:
    """Read the rows whose cursor is not below one, in its order; all rows without one.

    Those at the cursor are read again: others may have been committed with the same since.

    Returns
    -------
    DataFrame
        ``columns`` as the database's own text, times with a time zone in UTC, and ``CURSOR``,
        which is what `cursor` of a later read may be.

    Raises
    ------
    SourceError
        For an environment variable that is not set, a database that does not answer, a column
        that is not there or holds what has no text, and a cursor that is null or of a type whose
        order is not certain.
    """
    url = os.environ.get(source.url, "")
    scheme = url.partition("://")[0]
    if scheme not in _CURSORS:
        raise SourceError(
            expected=f"a URL of a database in ${source.url}, {' or '.join(_CURSORS)}",
            found=f"{scheme}://..." if "://" in url else "none",
            remedy="set the environment variable where the flywheel runs",
        )
    if scheme == "postgresql" and not _POSTGRESQL_URL.fullmatch(url):
        # The driver would take a part of the password for the host, say, and tell it.
        raise SourceError(
            expected=f"a URL in ${source.url} with its parts escaped",
            found="a character that stands for something else in it",
            remedy="write @ : / ? # % [ ] of a user or password as %40 %3A %2F %3F %23 %25 %5B %5D",
        )
    bound = None if cursor is None else _Bound.of(cursor, scheme)
    frame = _fetch(url, scheme, _statement(source, columns, scheme, bound), bound)
    if scheme == "sqlite":
        frame = frame.with_columns(_untagged(frame, name) for name in columns)
    return frame.with_columns(_checked(frame[CURSOR], source, scheme))


class _Bound(NamedTuple):
    """A cursor to begin at: where it goes in a statement, and its value."""

    mark: str
    value: Any

    @classmethod
    def of(cls, cursor: str, scheme: str) -> "_Bound":
        dtype, _, value = cursor.partition(":")
        if dtype not in _CURSORS[scheme]:
            raise SourceError(
                expected=f"a cursor of {scheme}, where the last read ended",
                found=f"one of type {dtype}, from another database",
                remedy="set the environment variable to the database that was read before",
            )
        if scheme == "postgresql":
            return cls(f"$1::text::{dtype}", value)
        return cls("?", {"integer": int, "real": float}.get(dtype, str)(value))


def _statement(source: SqlSource, columns: list[str], scheme: str, bound: _Bound | None) -> str:
    rows = ".".join(map(_quoted, source.table.split("."))) if source.table else f"({source.query})"
    # With the name of the rows before it, a name is never taken for that of a column of the
    # result, which is text, nor by SQLite for a text of its own.
    cursor = f"source.{_quoted(source.cursor)}"
    text = _SQLITE if scheme == "sqlite" else _POSTGRESQL
    at = _SQLITE if scheme == "sqlite" else "pg_typeof({0})::text || ':' || {0}::text"
    names = [f"{text.format(f'source.{_quoted(c)}')} AS {_quoted(c)}" for c in columns]
    told = ", ".join([*names, f"{at.format(cursor)} AS {_quoted(CURSOR)}"])
    where = f" WHERE {cursor} >= {bound.mark}" if bound else ""
    return f"SELECT {told} FROM {rows} AS source{where} ORDER BY {cursor}"  # noqa: S608  names are quoted, the value is bound


def _untagged(frame: pl.DataFrame, name: str) -> pl.Series:
    """Take the type off SQLite's values, and write numbers as short as they can be."""
    split = frame[name].str.splitn(":", 2).struct.rename_fields(["type", "text"]).struct.unnest()
    if (split["type"] == "blob").any():
        raise SourceError(
            expected=f"column {name!r} of numbers and texts",
            found="a BLOB",
            remedy="cast it in query=, or leave the column out",
        )
    number = pl.col("text").cast(pl.Float64, strict=False).cast(pl.String)
    return split.select(
        pl.when(pl.col("type") == "real")
        .then(number)
        .when(pl.col("type") != "null")
        .then("text")
        .alias(name)
    ).to_series()


def _checked(cursors: pl.Series, source: SqlSource, scheme: str) -> pl.Series:
    """Refuse a cursor after which reading could not go on."""
    types = cursors.str.split(":").list.first()
    nothing = cursors.is_null() | (types == "null")
    if nothing.any():
        raise SourceError(
            expected=f"a cursor {source.cursor!r} without nulls",
            found=f"{nothing.sum()} of them",
            remedy="choose a column that every row has, or filter in query=",
        )
    other = types.filter(~types.is_in(_CURSORS[scheme]))
    if other.len():
        raise SourceError(
            expected=f"a cursor {source.cursor!r} of type {', '.join(_CURSORS[scheme])}",
            found=other[0],
            remedy="choose another column, or cast it in query=",
        )
    return cursors


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _fetch(url: str, scheme: str, statement: str, bound: _Bound | None) -> pl.DataFrame:
    try:
        with closing(_connect(url, scheme)) as connection, closing(connection.cursor()) as reading:
            for setting in _SESSION if scheme == "postgresql" else ():
                reading.execute(setting)
            reading.execute(statement, [bound.value] if bound else None)
            return pl.DataFrame(pl.from_arrow(reading.fetch_arrow_table())).cast(pl.String)
    except (_errors(), OSError) as error:
        # What the driver says may name the user and the host, not the password.
        raise SourceError(
            expected="a database that answers",
            found=str(error).partition("\n")[0],
            remedy="see that it runs, and that the declared table and columns are there",
        ) from None


def _connect(url: str, scheme: str) -> Any:
    if scheme == "postgresql":
        import adbc_driver_postgresql.dbapi

        return adbc_driver_postgresql.dbapi.connect(url)
    import adbc_driver_sqlite.dbapi

    file = quote(url.removeprefix("sqlite:///"))
    return adbc_driver_sqlite.dbapi.connect(f"file:{file}?mode=ro")


def _errors() -> type[Exception]:
    from adbc_driver_manager import Error

    return Error
