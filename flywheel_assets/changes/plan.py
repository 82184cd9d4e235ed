"""What changes when a declaration replaces the one that tables were made by."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

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


def plan(before: Mapping[str, Meaning], after: Mapping[str, Meaning]) -> list[Change]:
    """Hold what is declared against what tables were made by.

    Returns
    -------
    list of Change
        Those tables that something happens to, in the order of the loop. Published decisions and
        promotions are among them, although history is not rewritten: from then on they are made by
        the new declaration.
    """
    tables = dict.fromkeys([*after, *before])
    found = [_compare(table, before.get(table), after.get(table)) for table in tables]
    return [change for change in found if change is not None]


def _compare(table: str, before: Meaning | None, after: Meaning | None) -> Change | None:
    if after is None:
        gone = before.whole if before else {}
        return Change(table, Grade.BREAKING, removed=tuple(gone), owners=_owners(before))
    if before is None:
        return Change(table, Grade.ADDITIVE, added=tuple(after.whole), owners=_owners(after))
    old, new = before.whole, after.whole
    added = tuple(name for name in new if name not in old)
    removed = tuple(name for name in old if name not in new)
    differs = [name for name in new if name in old and _differs(name, before, after)]
    changed = tuple(name for name in differs if _differs_itself(name, before, after))
    touched = tuple(name for name in differs if name not in changed)
    if added or removed or differs:
        grade = Grade.RECOMPUTE if differs else Grade.ADDITIVE
        if any(before.users.get(name) for name in removed) or _narrowed(before, after):
            grade = Grade.BREAKING
        return Change(table, grade, added, changed, removed, touched, _owners(after))
    if (before.words, before.owners) != (after.words, after.owners):
        return Change(table, Grade.DESCRIPTION, owners=_owners(after))
    return None


def _owners(meaning: Meaning | None) -> tuple[str, ...]:
    return tuple(meaning.owners) if meaning else ()


def _differs(name: str, before: Meaning, after: Meaning) -> bool:
    return before.whole[name] != after.whole[name] or _retyped(name, before, after)


def _differs_itself(name: str, before: Meaning, after: Meaning) -> bool:
    own = before.columns.get(name, "") != after.columns.get(name, "")
    return own or _retyped(name, before, after)


def _retyped(name: str, before: Meaning, after: Meaning) -> bool:
    return before.types.get(name) != after.types.get(name)


WIDER = frozenset({("Int32", "Int64"), ("Int32", "Float64")})
"""Types that hold every value of another."""


def _narrowed(before: Meaning, after: Meaning) -> bool:
    """Say whether a column is of a type that cannot hold what the old one held."""
    return any(
        (old, after.types[name]) not in WIDER
        for name, old in before.types.items()
        if name in after.types and after.types[name] != old
    )
