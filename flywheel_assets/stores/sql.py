"""Rows of a SQL database from a cursor on, read through its ADBC driver as Arrow."""

import os
from contextlib import closing
from typing import Any

import polars as pl

from flywheel_assets.declare.collect import SqlSource
from flywheel_assets.errors import SourceError

_SCHEMES = ("sqlite", "postgresql")


def read_rows(source: SqlSource, columns: list[str], cursor: Any | None) -> pl.DataFrame:
    """Read the rows whose cursor is not below one, in its order; all rows without one.

    Those at the cursor are read again: others may have been committed with the same since.

    Returns
    -------
    DataFrame
        ``columns`` and the cursor's, typed as the database types them.

    Raises
    ------
    SourceError
        For an environment variable that is not set, a database that does not answer, a column
        that is not there, and a cursor that is null.
    """
    url = os.environ.get(source.url, "")
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        raise SourceError(
            expected=f"a URL of a database in ${source.url}, {' or '.join(_SCHEMES)}",
            found=f"{scheme}://..." if "://" in url else "none",
            remedy="set the environment variable where the flywheel runs",
        )
    wanted = list(dict.fromkeys([*columns, source.cursor]))
    statement = _statement(source, wanted, scheme, since=cursor is not None)
    frame = _fetch(url, scheme, statement, cursor)
    if frame[source.cursor].null_count():
        raise SourceError(
            expected=f"a cursor {source.cursor!r} without nulls",
            found=f"{frame[source.cursor].null_count()} of them",
            remedy="choose a column that every row has, or filter in query=",
        )
    return frame.select(wanted)


def _statement(source: SqlSource, columns: list[str], scheme: str, *, since: bool) -> str:
    names = ", ".join(map(_quoted, columns))
    rows = ".".join(map(_quoted, source.table.split("."))) if source.table else f"({source.query})"
    mark = "?" if scheme == "sqlite" else "$1"
    cursor = _quoted(source.cursor)
    where = f" WHERE {cursor} >= {mark}" if since else ""
    return f"SELECT {names} FROM {rows} AS source{where} ORDER BY {cursor}"  # noqa: S608  names are quoted, the value is bound


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _fetch(url: str, scheme: str, statement: str, cursor: Any | None) -> pl.DataFrame:
    try:
        with closing(_connect(url, scheme)) as connection, closing(connection.cursor()) as reading:
            reading.execute(statement, None if cursor is None else [cursor])
            return pl.DataFrame(pl.from_arrow(reading.fetch_arrow_table()))
    except _errors() as error:
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

    return adbc_driver_sqlite.dbapi.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro")


def _errors() -> type[Exception]:
    from adbc_driver_manager import Error

    return Error
