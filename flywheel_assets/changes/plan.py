"""What changes when a declaration replaces the one that tables were made by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from flywheel_assets.changes.graph import ROWS, Column, Lineage
from flywheel_assets.changes.meaning import Meaning


class Grade(IntEnum):
    """How much a change asks for; the higher, the more."""

    DESCRIPTION = 1
    """Words and owners only: nothing is made again."""
    ADDITIVE = 2
    """New columns or tables; what is there stays as it is."""
    RECOMPUTE = 3
    """What is there comes out different, and so does what is made of it."""
    BREAKING = 4
    """Something that others use is gone or of another type."""


@dataclass(frozen=True)
class Change:
    """What happens to one table.

    Parameters
    ----------
    added, changed, removed : tuple of str
        Columns whose own definition is new, different, or gone; ``*`` is which rows there are.
    touched : tuple of str
        Columns that come out different because of what they are made of.
    """

    table: str
    grade: Grade
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()

    @property
    def recomputes(self) -> bool:
        """Whether its partitions have to be made again."""
        return self.grade is not Grade.DESCRIPTION


def plan(
    before: Mapping[str, Meaning], after: Mapping[str, Meaning], graph: Lineage, old: Lineage
) -> list[Change]:
    """Hold what is declared against what tables were made by.

    Parameters
    ----------
    before, after : mapping of str to Meaning
    graph, old : Lineage
        Of what is declared now, and of what was.

    Returns
    -------
    list of Change
        Those tables that something happens to, in the order of the loop. Which tables are made of
        what changed is said of published decisions and promotions, too, although they stay as
        they are: history is not rewritten.
    """
    sources: list[Column] = []
    own: dict[str, Change] = {}
    for table in dict.fromkeys([*after, *before]):
        found = _compare(table, before.get(table), after.get(table))
        if found is not None:
            own[table] = found
            names = found.changed
            if ROWS in names:
                names = tuple(c.name for c in graph.find(table)) if table in graph.tables else ()
            sources += [Column(table, name) for name in names]
    touched: dict[str, list[str]] = {}
    for column in graph.downstream(sources):
        touched.setdefault(column.table, []).append(column.name)
    gone = [Column(c.table, name) for c in own.values() for name in c.removed]
    used = {c.table for column in gone for c in _users(column, old)}
    return [
        _graded(table, own.get(table), touched.get(table, ()), used, before, after)
        for table in dict.fromkeys([*graph.tables, *before])
        if table in own or table in touched
    ]


def _users(column: Column, old: Lineage) -> Iterable[Column]:
    return [c for c in old.downstream([column]) if c.table != column.table]


def _compare(table: str, before: Meaning | None, after: Meaning | None) -> Change | None:
    if before is None and after is not None:
        return Change(table, Grade.ADDITIVE, added=tuple(after.columns), owners=after.owners)
    if after is None and before is not None:
        return Change(table, Grade.BREAKING, removed=tuple(before.columns), owners=before.owners)
    if before is None or after is None:
        return None
    old, new = before.columns, after.columns
    added = tuple(n for n in new if n not in old)
    removed = tuple(n for n in old if n not in new)
    changed = [n for n in new if n in old and new[n] != old[n]]
    changed += [
        n
        for n, dtype in after.types.items()
        if n in old and n not in changed and before.types.get(n, dtype) != dtype
    ]
    if added or removed or changed:
        grade = Grade.RECOMPUTE if changed else Grade.ADDITIVE
        return Change(table, grade, added, tuple(changed), removed, owners=after.owners)
    if (before.words, before.owners) != (after.words, after.owners):
        return Change(table, Grade.DESCRIPTION, owners=after.owners)
    return None


def _graded(  # noqa: PLR0913, PLR0917  one table's part of everything
    table: str,
    own: Change | None,
    touched: Iterable[str],
    used: set[str],
    before: Mapping[str, Meaning],
    after: Mapping[str, Meaning],
) -> Change:
    known = after.get(table) or before.get(table)
    change = own or Change(table, Grade.RECOMPUTE, owners=known.owners if known else ())
    rest = tuple(n for n in touched if n not in {*change.added, *change.changed})
    grade = max(change.grade, Grade.RECOMPUTE) if rest else change.grade
    if (change.removed and used) or _narrowed(before.get(table), after.get(table)):
        grade = Grade.BREAKING
    return Change(table, grade, change.added, change.changed, change.removed, rest, change.owners)


WIDER = frozenset({("Int32", "Int64"), ("Int32", "Float64")})
"""Types that hold every value of another."""


def _narrowed(before: Meaning | None, after: Meaning | None) -> bool:
    """Say whether a column is of a type that cannot hold what the old one held."""
    if before is None or after is None:
        return False
    return any(
        (old, after.types[name]) not in WIDER
        for name, old in before.types.items()
        if name in after.types and after.types[name] != old
    )
