"""The graph of columns: what is made of what, followed both ways."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from flywheel_assets.errors import ColumnsError, nearest

ROWS = "*"
"""Stands for which rows a table has, as a column among its others."""


@dataclass(frozen=True, order=True)
class Column:
    """A column of a table, or which rows it has.

    Parameters
    ----------
    part : str
        Of a column that several things write, the part that one of them does: what one flywheel
        logs teaches no other.

    Examples
    --------
    >>> str(Column("collect/order", "amount"))
    'collect/order.amount'
    """

    table: str
    name: str
    part: str = ""

    def __str__(self) -> str:
        """Write it as it is asked for."""
        return f"{self.table}.{self.name}"


@dataclass(frozen=True)
class Made:
    """One column and what it is made of directly."""

    column: Column
    of: frozenset[Column]


def columns(table: str, names: Iterable[str], part: str = "") -> frozenset[Column]:
    """Give columns of a table by name."""
    return frozenset(Column(table, name, part) for name in names)


def made(table: str, name: str, *of: frozenset[Column]) -> Made:
    """Say what a column is made of."""
    return Made(Column(table, name), frozenset().union(*of))


def roots(*expressions: pl.Expr | None) -> set[str]:
    """Name the columns that expressions look at."""
    return {name for e in expressions if e is not None for name in e.meta.root_names()}


class Lineage:
    """Columns in the order of the loop, each with those that it is made of.

    Which rows a table has touches each of its columns: a column is made of its table's rows, too.

    Examples
    --------
    >>> a, b, c = Column("t", "a"), Column("u", "b"), Column("v", "c")
    >>> graph = Lineage([Made(a, frozenset()), Made(b, frozenset({a})), Made(c, frozenset({b}))])
    >>> [str(column) for column in graph.downstream([a])]
    ['u.b', 'v.c']
    >>> [str(column) for column in graph.upstream([c])]
    ['t.a', 'u.b']
    """

    def __init__(self, made: Iterable[Made]) -> None:
        self._of: dict[Column, frozenset[Column]] = {}
        for one in made:
            self._of[one.column] = self._of.get(one.column, frozenset()) | one.of
        for column, of in self._of.items():
            rows = Column(column.table, ROWS)
            if rows in self._of and column != rows:
                self._of[column] = of | {rows}
        self._into: dict[Column, set[Column]] = {}
        for column, of in self._of.items():
            for parent in of:
                self._into.setdefault(parent, set()).add(column)
        self._place = {column: place for place, column in enumerate(self)}

    def __iter__(self) -> Iterator[Column]:
        """Go through all columns, rows aside, in the order of the loop."""
        return (column for column in self._of if column.name != ROWS)

    @property
    def tables(self) -> list[str]:
        """All tables, in the order of the loop."""
        return list(dict.fromkeys(column.table for column in self._of))

    def columns(self, table: str) -> list[Column]:
        """Give a table's columns, and which rows it has where that is known to depend."""
        return [column for column in self._of if column.table == table]

    def of(self, column: Column) -> frozenset[Column]:
        """Give what a column is made of directly."""
        return self._of.get(column, frozenset())

    def sources(self, table: str) -> dict[str, list[Column]]:
        """Give, for each column of a table, those of other tables that it is made of directly.

        Also what it is made of through its own table's, but not the rows of others.
        """
        found: dict[str, set[Column]] = {}
        for column in self.columns(table):
            if column.name != ROWS:
                found.setdefault(column.name, set()).update(self._sources(column))
        return {name: sorted(of) for name, of in found.items()}

    def _sources(self, column: Column) -> set[Column]:
        reached, waiting = set[Column](), [column]
        while waiting:
            for step in self.of(waiting.pop()) - reached:
                reached.add(step)
                if step.table == column.table:
                    waiting.append(step)
        return {
            Column(c.table, c.name) for c in reached if c.table != column.table and c.name != ROWS
        }

    def find(self, text: str) -> list[Column]:
        """Read ``table.column``, or a table: then all of its columns.

        Raises
        ------
        ColumnsError
            When there is no such table or column.
        """
        known: dict[str, list[Column]] = {}
        for column in self:
            known.setdefault(str(column), []).append(column)
        for table in self.tables:
            known[table] = self.columns(table)
        if text not in known:
            raise ColumnsError(
                expected="a table, or a column as table.column",
                found=repr(text),
                remedy=nearest(text, known),
            )
        return known[text]

    def downstream(self, columns: Iterable[Column]) -> list[Column]:
        """Give all that is made of some columns, over any number of steps."""
        return self._walk(columns, self._into)

    def upstream(self, columns: Iterable[Column]) -> list[Column]:
        """Give all that some columns are made of, over any number of steps."""
        return self._walk(columns, self._of)

    def _walk(
        self, columns: Iterable[Column], along: Mapping[Column, Iterable[Column]]
    ) -> list[Column]:
        start = list(columns)
        reached: set[Column] = set()
        waiting = list(start)
        while waiting:
            for step in along.get(waiting.pop(), ()):
                if step not in reached:
                    reached.add(step)
                    waiting.append(step)
        found = reached.difference(start) & self._place.keys()
        return sorted(found, key=self._place.__getitem__)
