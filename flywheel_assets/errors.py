"""Everything that flywheel_assets raises on purpose, as one tree.

Each error says what was expected, what was found, and what to do::

    FlywheelError
    ├── DeclarationError         a declaration that cannot mean anything: raised at import
    ├── ColumnsError             columns that do not fit what is asked of them
    ├── SourceError              a source that cannot be read as declared
    ├── TrainingError            rows that no model can be trained on
    ├── UnfitModelError          a trained model that does not fit what is declared by now
    ├── MissingPartitionError    a stage asked for days that nobody has materialized yet
    ├── PublishedError           published history would come out different
    ├── EmptyReplaceError        an empty result would delete rows where empty is not right
    ├── ConflictError            other writers of a table were faster, again and again
    ├── HomeError                a home folder that does not fit what is asked of it
    ├── OffPolicyError           logged decisions that do not say what is asked of them
    ├── InboxError               an inbox that cannot do what is asked of it
    │   ├── InboxFullError       no room on the disk: nothing of this was received
    │   └── InboxBusyError       the inbox is not keeping up: send it again later
    └── ApiError                 the API refused what was asked of it
        └── ApiKeyError          keys that do not fit how the API is served
"""

import difflib
from collections.abc import Iterable


class FlywheelError(Exception):
    """The root of the tree; carries the three things that every message says.

    Parameters
    ----------
    expected, found, remedy : str
        Clauses without a full stop.

    Examples
    --------
    >>> raise FlywheelError(expected="a day", found="'today'", remedy="write it as 2026-01-31")
    Traceback (most recent call last):
    flywheel_assets.errors.FlywheelError: expected a day; found 'today'; write it as 2026-01-31
    """

    def __init__(self, *, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}; found {found}; {remedy}")


class DeclarationError(FlywheelError):
    """A declaration that cannot mean anything."""


class ColumnsError(FlywheelError):
    """Columns that do not fit what is asked of them."""


class SourceError(FlywheelError):
    """A source that cannot be read as declared."""


class TrainingError(FlywheelError):
    """Rows that no model can be trained on."""


class UnfitModelError(FlywheelError):
    """A trained model that does not fit what is declared by now."""


class MissingPartitionError(FlywheelError):
    """A stage asked for days that nobody has materialized yet."""


class PublishedError(FlywheelError):
    """What was published would come out different."""


class EmptyReplaceError(FlywheelError):
    """An empty result would delete rows where empty is not right."""


class ConflictError(FlywheelError):
    """Other writers of a table were faster, again and again."""


class HomeError(FlywheelError):
    """A home folder that does not fit what is asked of it."""


class OffPolicyError(FlywheelError):
    """Logged decisions that do not say what is asked of them."""


class InboxError(FlywheelError):
    """An inbox that cannot do what is asked of it."""


class InboxFullError(InboxError):
    """No room on the disk: nothing of this was received."""


class InboxBusyError(InboxError):
    """The inbox is not keeping up: send it again later."""


class ApiError(FlywheelError):
    """The API refused what was asked of it."""


class ApiKeyError(ApiError):
    """Keys that do not fit how the API is served."""


NAMED = 10
"""How many valid names a message lists: the nearest, where there are more."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which valid name was probably meant, and what is valid.

    Examples
    --------
    >>> nearest("quantitty", ["quantity", "price"])
    "did you mean 'quantity'? valid: price, quantity"
    >>> nearest("x", [])
    'none is declared'
    >>> nearest("lag_7x", [f"lag_{day}" for day in range(99)])[-11:]
    'and 89 more'
    """
    known = sorted(valid)
    if not known:
        return "none is declared"
    match = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {match[0]!r}? " if match else ""
    shown = known
    if len(known) > NAMED:
        shown = sorted(difflib.get_close_matches(name, known, n=NAMED, cutoff=0))
    more = f" and {len(known) - len(shown):,} more" if len(shown) < len(known) else ""
    return f"{hint}valid: {', '.join(shown)}{more}"


def many(n: int, one: str, more: str | None = None) -> str:
    """Count things.

    Examples
    --------
    >>> many(1, "day"), many(1200, "day")
    ('1 day', '1,200 days')
    """
    return f"{n:,} {one if n == 1 else more or one + 's'}"
