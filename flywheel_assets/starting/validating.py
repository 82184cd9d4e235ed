"""``flywheel validate``: what can be known of a declaration before anything is materialized."""

import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from flywheel_assets.changes.meaning import meanings
from flywheel_assets.changes.stages import lineage
from flywheel_assets.declare.collect import DailyFiles, Observation
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import FILE, FILE_DAY, LINE
from flywheel_assets.errors import DeclarationError, FlywheelError
from flywheel_assets.stages.collect import validate
from flywheel_assets.starting.expressions import require_expressions
from flywheel_assets.stores.sources import listed_files, needed, read_source
from flywheel_assets.testing import Rows

SAMPLED_FILES = 3
_GROUPED = re.compile(
    r"[+-]?\d{1,3}(?P<mark>[,. '\u00a0\u202f])\d{3}((?P=mark)\d{3})*(?P<decimals>([.,]\d*)?)"
)
"""A number with something between its thousands."""
_BLANKS = "take the blanks before or after the value out in the source: they are part of it"


@dataclass(frozen=True)
class Misfit:
    """What of a source does not fit the contract, for one reason.

    Parameters
    ----------
    expected, found, remedy : str
        As of an error.
    n_records : int
    place : str
        Where the first of them stands.
    """

    expected: str
    found: str
    remedy: str
    n_records: int
    place: str


@dataclass(frozen=True)
class Sample:
    """What a look at a source came to.

    Parameters
    ----------
    n_records : int
        How many were read: of daily files those of the newest few days, else all.
    misfits : tuple of Misfit
        By reason, the most frequent first.
    n_read, n_files : int
        Of daily files: how many of them were read, the newest, and how many there are.
    """

    observation: str
    path: Path
    n_records: int
    misfits: tuple[Misfit, ...]
    n_read: int = 0
    n_files: int = 0


def check(flywheel: Flywheel) -> None:
    """Let every stage of a flywheel work on no rows at all, and its estimator be built.

    Raises
    ------
    DeclarationError
        For what fails then, naming it.
    """
    require_expressions(flywheel)
    what = f"flywheel {flywheel.name!r}"
    empty = Rows(flywheel, {})
    day = date(2026, 1, 5)
    for part, tried in (
        (
            "columns that are made of one another",
            lambda: (meanings([flywheel]), lineage([flywheel])),
        ),
        ("features and a policy that can be computed", lambda: empty.decisions(day)),
        ("an outcome that can be computed", lambda: empty.labels(day)),
        ("an estimator that can be built", lambda: _built(flywheel)),
    ):
        try:
            tried()
        except FlywheelError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}{_place(error)}"
            raise DeclarationError(
                expected=f"{what} with {part}",
                found=why,
                remedy="correct the function there, or install what it imports",
            ) from error


def sample(observation: Observation, path: Path) -> Sample:
    """Read what a source has, and say what of it the contract would reject.

    Parameters
    ----------
    path : Path
        Where the source is.

    Raises
    ------
    SourceError
        For a source that cannot be read as declared.
    """
    source = observation.source
    if source is None:
        return Sample(observation.name, path, 0, ())
    days = [day for day, _ in listed_files(source, path)] if isinstance(source, DailyFiles) else []
    newest = days[-SAMPLED_FILES:]
    first, last = (newest[0], newest[-1]) if newest else (date.min, date.max)
    raw = read_source(observation, path, first, last, start=date.min)
    if raw is not None and days:
        # The file before is read, too, for what of it became known a day later.
        raw = raw.filter(pl.col(FILE_DAY) >= first)
    if raw is None or raw.is_empty():
        return Sample(observation.name, path, 0, ())
    again = _headers(raw, needed(observation, source))
    checked = validate(raw, observation, source).join(again, on=again.columns, how="anti")
    misfits = (*_repeated(again), *_misfits(checked))
    return Sample(observation.name, path, raw.height, misfits, len(newest), len(days))


def _headers(raw: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Find where the header stands once more among the records."""
    there = [c for c in columns if c in raw.columns and raw[c].dtype == pl.String]
    named = pl.all_horizontal(pl.lit(bool(there)), *(pl.col(c) == c for c in there))
    return raw.filter(named).select(pl.col(FILE).alias("file"), pl.col(LINE).alias("line"))


def _repeated(again: pl.DataFrame) -> Iterator[Misfit]:
    if again.height:
        file, line = again.row(0)
        yield Misfit(
            expected="a record",
            found="the header once more",
            remedy="nothing has to be done: it is kept apart",
            n_records=again.height,
            place=f"{Path(file).name}, record {line}",
        )


def _misfits(checked: pl.DataFrame) -> Iterator[Misfit]:
    broken = checked.filter(pl.col("reason").is_not_null())
    kind = pl.col("reason").str.split("; ").list.first().str.split(", found").list.first()
    grouped = (
        broken.with_columns(kind.alias("kind"))
        .group_by("kind", maintain_order=True)
        .agg(pl.len().alias("n"), pl.col("reason", "file", "line").first())
        .sort("n", descending=True, maintain_order=True)
    )
    for row in grouped.iter_rows(named=True):
        found = row["reason"].split("; ")[0].removeprefix(row["kind"]).removeprefix(", found ")
        whole = row["kind"].startswith(("the file ends", "a quote"))
        yield Misfit(
            expected="a record that ends" if whole else row["kind"].replace("expected ", "", 1),
            found=found or row["kind"],
            remedy=_BLANKS if _has_blanks(found) else _remedy(row["kind"], found),
            n_records=row["n"],
            place=f"{Path(row['file']).name}, record {row['line']}",
        )


def _has_blanks(found: str) -> bool:
    """Say whether a text begins or ends with blanks, which nobody sees."""
    text = found.removeprefix("'").removesuffix("'")
    return text != found and text != text.strip()


def _remedy(kind: str, found: str) -> str:
    for words, remedy in (
        ("the file ends", "have it delivered again, or declare the source's final_newline=False"),
        ("a quote is opened", 'close it there, or double it ("") where it is part of a text'),
        ("required", "correct the source, or declare the field nullable=True"),
        ("at least", "correct the source, or lower the field's minimum"),
        ("at most", "correct the source, or raise the field's maximum"),
        ("one of", "correct the source, or add the value to the field's allowed"),
        ("a time", "declare the source's time_format and time_zone as it writes times"),
        ("fields", "quote what holds a separator, or declare the source's separator"),
    ):
        if words in kind:
            return remedy
    written = _GROUPED.fullmatch(found.strip())
    if written:
        comma = ", decimal=','" if "," in written["decimals"] or written["mark"] == "." else ""
        return f"declare the source's thousands={written['mark']!r}{comma}, if that is meant"
    return (
        "declare the field as the source has it; say in the source's null_values what stands for "
        "no value, in decimal and thousands how it writes numbers"
    )


def _place(error: Exception) -> str:
    """Say in which line outside of this package and of what is installed an error arose."""
    ours = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((ours, "<")) and "site-packages" not in frame.filename:
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""


def _built(flywheel: Flywheel) -> None:
    from flywheel_assets.stages.estimators import learner

    learner(flywheel, framed=False, seed=0, weighted=False)
