"""What changes when a declaration replaces the one that tables were made by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Any

from flywheel_assets.changes.meaning import Meaning


class Grade(IntEnum):
    """How much a change asks for; the higher, the more."""

    DESCRIPTION = 1
    """Words and owners only: nothing is made again."""
    ADDITIVE = 2
    """New columns or tables, other names, wider types; what is there stays as it is."""
    RECOMPUTE = 3
    """What is there comes out different, and so does what is made of it."""
    BREAKING = 4
    """Something that others use is gone or of another type, a field that was not retired is gone,
    or producers have to tell more."""


@dataclass(frozen=True)
class Change:
    """What happens to one table.

    Parameters
    ----------
    added, changed, removed : tuple of str
        Columns whose own definition is new, different, or gone; ``*`` is which rows there are.
    touched : tuple of str
        Columns that come out different because of what they are made of.
    carried : tuple of str
        Columns of another name, a wider type or an easier contract, or that read right where they
        are not there yet: partitions need not be made again for them.
    """

    table: str
    grade: Grade
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    @property
    def recomputes(self) -> bool:
        """Whether its partitions have to be made again."""
        return not {*self.added, *self.changed, *self.touched} <= {*self.carried}


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
    before, called = _called_now(before, after)
    old, new = before.whole, after.whole
    added = tuple(name for name in new if name not in old)
    removed = tuple(name for name in old if name not in new)
    differs = [name for name in new if name in old and _differs(name, before, after)]
    changed = tuple(name for name in differs if _differs_itself(name, before, after))
    touched = tuple(name for name in differs if name not in changed)
    wider = [name for name in before.types if _retyped(name, before, after) is Retyped.WIDER]
    same = [name for name in (*called, *wider) if name not in differs]
    # Of partitions from before runs kept records nothing is known, not even what they lack.
    filled = [name for name in added if name in after.fills] if before.whole else []
    carried = tuple(dict.fromkeys([*same, *filled]))
    if added or removed or differs or carried:
        grade = Grade.RECOMPUTE if differs else Grade.ADDITIVE
        # Who sends or reads a field has had no notice before it was retired.
        unannounced = {*removed} & before.rules.keys() - {*before.retired}
        used = any(_others(table, before.users.get(name, ())) for name in removed)
        demanded = before.whole and not {*added}.isdisjoint(after.demands)
        if used or unannounced or demanded or _narrowed(before, after):
            grade = Grade.BREAKING
        parts = (added, changed, removed, touched)
        return Change(table, grade, *parts, _owners(after), carried)
    told = [(one.words, one.owners, one.retired) for one in (before, after)]
    if told[0] != told[1]:
        return Change(table, Grade.DESCRIPTION, owners=_owners(after))
    return None


def _owners(meaning: Meaning | None) -> tuple[str, ...]:
    return tuple(meaning.owners) if meaning else ()


def _called_now(before: Meaning, after: Meaning) -> tuple[Meaning, list[str]]:
    """Say what was declared before in the names that columns have now, and which got others."""
    names = {
        old: name
        for name, olds in after.old_names.items()
        for old in olds
        if old in before.whole and name not in before.whole
    }
    if not names:
        return before, []

    def now(said: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): value for name, value in said.items()}

    parts = ("columns", "whole", "types", "users", "words")
    renamed: dict[str, Any] = {part: now(getattr(before, part)) for part in parts}
    return replace(before, **renamed), list(names.values())


def easier(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Say whether a contract takes all that another does, and more.

    Examples
    --------
    >>> easier([False, 0, 9, None], [True, 0, None, None])
    True
    >>> easier([True, 0, None, None], [True, 1, None, None])
    False
    """
    (nullable, low, high, allowed), (now, lowest, highest, allows) = before, after
    return list(before) != list(after) and all(
        (
            now or not nullable,
            lowest is None or (low is not None and lowest <= low),
            highest is None or (high is not None and highest >= high),
            allows is None or (allowed is not None and {*allowed} <= {*allows}),
        )
    )


def _others(table: str, users: Sequence[str]) -> list[str]:
    """Leave out the facts that only carry what an observation tells."""
    carrying = "organize/fct_" if table.startswith("collect/") else "\0"
    return [user for user in users if not user.startswith(carrying)]


def _differs(name: str, before: Meaning, after: Meaning) -> bool:
    retyped = _retyped(name, before, after) is Retyped.NARROWER
    return before.whole[name] != after.whole[name] or retyped


def _differs_itself(name: str, before: Meaning, after: Meaning) -> bool:
    own = before.columns.get(name, "") != after.columns.get(name, "")
    return own or _retyped(name, before, after) is Retyped.NARROWER


class Retyped(Enum):
    """What became of a column's type."""

    SAME = 0
    WIDER = 1
    NARROWER = 2
    """It may not hold what the old one held."""


WIDER = frozenset({("Int32", "Int64"), ("Int32", "Float64")})
"""Types that hold every value of another."""


def _retyped(name: str, before: Meaning, after: Meaning) -> Retyped:
    old, new = before.types.get(name), after.types.get(name)
    if old is None or new is None or old == new:
        return Retyped.SAME
    return Retyped.WIDER if (old, new) in WIDER else Retyped.NARROWER


def _narrowed(before: Meaning, after: Meaning) -> bool:
    return any(_retyped(name, before, after) is Retyped.NARROWER for name in before.types)
