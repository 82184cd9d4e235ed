"""The rules that every declaration keeps: names, owners, durations, columns of an expression."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from numbers import Integral, Real

import polars as pl

from flywheel_assets.errors import DeclarationError, nearest

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_TEAM = re.compile(r"^team:[A-Za-z0-9_.-]+$")
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")

OBSERVATION_ID = "observation_id"
EVENT_TIME = "event_time"
KNOWN_AT = "known_at"
PARTITION = "partition_date"
AS_OF = "as_of"
DECISION_ID = "decision_id"
"""The decision that a row answers, or is."""
CORRECTS, RETRACTS = "corrects", "retracts"
"""The observation_id that a row replaces, and the one that it withdraws."""
RESERVED = frozenset(
    {OBSERVATION_ID, EVENT_TIME, KNOWN_AT, PARTITION, AS_OF, DECISION_ID, CORRECTS, RETRACTS}
)
"""Column names that the flywheel itself writes."""

DECISION_FIELDS = (
    *("decision_id", "flywheel", "entity_id", "decided_at", "action", "score", "rank"),
    *("propensity", "explored", "model_version", "outcome", "reward", "weight"),
)
"""What a training row says beside its features, and no feature may be called."""

OTHER_CONTENT = "with other content"
"""What the reason ends with for which a record is rejected whose id another has."""

IN_ORDER = "in order"
"""Metadata of a declaration's field whose mapping means another thing in another order."""

FILE, LINE, PROBLEM, RAW, FILE_DAY = "_file", "_line", "_problem", "_raw", "_file_day"
"""Where a raw record stood, what is structurally wrong with it, its text, the day of its file."""


def check_name(name: str, what: str) -> None:
    """Refuse a name that Dagster, Delta or a file system would refuse."""
    if not _NAME.match(name):
        likely = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        raise DeclarationError(
            expected=f"{what} named by lower-case letters, digits and underscores, a letter first",
            found=repr(name),
            remedy=f"rename it, for example {likely if _NAME.match(likely) else 'order_line'!r}",
        )


def check_owners(owners: Sequence[str], what: str) -> None:
    """Refuse a stage that nobody owns, and owners that the UI could not show."""
    if isinstance(owners, str) or not owners:
        raise DeclarationError(
            expected=f"{what} with a list of one owner or more",
            found=repr(owners),
            remedy="add owners=['team:name'] or an email address",
        )
    for owner in owners:
        if not (_TEAM.match(owner) or _EMAIL.match(owner)):
            raise DeclarationError(
                expected=f"an owner of {what} written 'team:name' or as an email address",
                found=repr(owner),
                remedy="correct it, for example 'team:growth'",
            )


def check_tuple(given: object, option: str, what: str) -> None:
    """Refuse one text where several may stand: it would be read as its letters."""
    if isinstance(given, str):
        raise DeclarationError(
            expected=f"{option} of {what} as a tuple",
            found=repr(given),
            remedy=f"write {option}=({given!r},)",
        )


def check_positive(value: timedelta, what: str) -> None:
    """Refuse a duration of nothing or less."""
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise DeclarationError(
            expected=f"{what} as a timedelta above zero",
            found=repr(value),
            remedy="write for example timedelta(days=30)",
        )


def check_whole_days(value: timedelta, what: str) -> None:
    """Refuse a duration that does not fall on the edges of the daily partitions."""
    check_positive(value, what)
    if value % timedelta(days=1):
        raise DeclarationError(
            expected=f"{what} in whole days, since partitions are days",
            found=str(value),
            remedy="round it to days",
        )


def check_number(value: object, what: str, *, whole: bool = False) -> None:
    """Refuse what is no number, such as one in quotes, or NaN: nothing is above or below it."""
    number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not number or value != value:  # noqa: PLR0124  as NaN alone is
        raise DeclarationError(
            expected=f"{what} as a {'whole ' if whole else ''}number",
            found=repr(value),
            remedy=f"write it as a number, for example {20 if whole else 0.5}, without quotes",
        )


def check_count(value: int, what: str) -> None:
    """Refuse a number that is not 1, 2, 3 and so on."""
    check_number(value, what, whole=True)
    if value < 1:
        raise DeclarationError(
            expected=f"{what} of one or more",
            found=str(value),
            remedy="give how many",
        )


def check_share(value: float, what: str) -> None:
    """Refuse a share that is not from 0 to 1."""
    check_number(value, what)
    if not 0 <= value <= 1:
        raise DeclarationError(
            expected=f"{what} as a share from 0 to 1",
            found=str(value),
            remedy="write 0.1 for 10%",
        )


def check_columns(found: Iterable[str], valid: Iterable[str], what: str) -> None:
    """Refuse columns that are not there, and name what was probably meant."""
    known = list(valid)
    for column in found:
        if column not in known:
            raise DeclarationError(
                expected=f"{what} to use columns that exist",
                found=repr(column),
                remedy=nearest(column, known),
            )


def check_expression(expression: pl.Expr, valid: Iterable[str], what: str) -> None:
    """Refuse what is not a Polars expression over columns that exist, each named by itself.

    What a selector takes depends on the table that it meets: nobody could say what the column is
    made of, nor keep what is known only with the outcome out of it.
    """
    if not isinstance(expression, pl.Expr):
        raise DeclarationError(
            expected=f"{what} as a Polars expression",
            found=repr(expression),
            remedy="write it with pl.col(...)",
        )
    if expression.meta.has_multiple_outputs():
        raise DeclarationError(
            expected=f"{what} with each of its columns by its own name",
            found=str(expression),
            remedy="write pl.col('a'), pl.col('b') for pl.col('a', 'b') or a selector",
        )
    check_columns(expression.meta.root_names(), valid, what)
    if not _row_by_row(expression):
        raise DeclarationError(
            expected=f"{what} from the columns of its own row",
            found=str(expression),
            remedy="what looks at other rows, some of them later, is an Aggregation over a window; "
            "how many rows make an Outcome is its at_least",
        )


def _row_by_row(expression: pl.Expr) -> bool:
    """Say whether each value depends on its own row alone, for all that can be known of it."""
    try:
        alone = expression.meta.is_row_separable
    except pl.exceptions.ColumnNotFoundError:  # a Python function
        return True
    return alone() and all(_row_by_row(part) for part in expression.meta.pop())


def check_choice(value: str, valid: Sequence[str], what: str) -> None:
    """Refuse a choice that is not one of the listed."""
    if value not in valid:
        raise DeclarationError(expected=what, found=repr(value), remedy=nearest(value, valid))


def check_unique(names: Iterable[str], what: str) -> None:
    """Refuse a name used twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DeclarationError(
                expected=f"{what} with names of their own",
                found=f"{name!r} twice",
                remedy="rename one of them",
            )
        seen.add(name)
