"""Raw records from a team's files, losing none silently: a broken record comes back as broken."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from flywheel_assets.declare.rules import FILE, LINE, PROBLEM, RAW
from flywheel_assets.errors import nearest
from flywheel_assets.stores.decoding import decoded, refuse

if TYPE_CHECKING:
    from pyarrow import Table
    from pyarrow.csv import InvalidRow

_CUT = (
    "the file ends without a line end: the last record may be cut off "
    "(declare final_newline=False if this source writes files so)"
)
_SMALLEST_PARQUET = 12
_SEPARATORS = ";\t|,"
_REMEDY = "for files from before the field was added or renamed declare its default or old_names"

Older: TypeAlias = Mapping[str, tuple[tuple[str, ...], bool]]
"""Column -> what older files may call it, and whether they may lack it."""
NO_OLDER: Older = MappingProxyType({})
_OPEN = (
    "a quote is opened and never closed: the rest of the file, from line {} on, is in this record"
)


def read_csv(  # noqa: PLR0913  how a file is written, and what of it is wanted
    path: Path,
    columns: Sequence[str],
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    final_newline: bool = True,
    null_values: Sequence[str] = (),
    older: Older = NO_OLDER,
) -> pl.DataFrame:
    """Read a CSV file's records as text.

    Parameters
    ----------
    columns : sequence of str
        The columns that must be there.
    final_newline : bool
        Whether a file that ends without a line end has been cut off.
    null_values : sequence of str
        What an unquoted field may say instead of nothing.
    older : Older
        How files of an older shape differ.

    Returns
    -------
    DataFrame
        ``columns`` as String (an empty field is null, an empty quoted one is not), and where each
        record stood. A record with too few or too many fields, one whose quote never closes and
        one that may be cut off have ``_problem`` and ``_raw`` instead of values. A blank line is a
        record only where the file has one column.

    Raises
    ------
    SourceError
        For an empty file, one that is not text in the encoding, a header that may be cut off, a
        column that is missing or there twice.
    """
    text = decoded(path, encoding).lstrip("\r\n")
    if not text.strip():
        refuse(path, "a header line", "an empty file", "have it delivered again")
    header, ends = _header(path, text, separator)
    shape = _shape(path, header, columns, older)
    cut = not text.endswith(("\n", "\r"))
    if cut and not final_newline:
        text, cut = text + "\n", False
    if cut and ends:
        refuse(
            path,
            "a header line that ends",
            "a file without a line end: it may be cut off",
            "have it delivered again, or declare final_newline=False",
        )
    table, broken = _parse(
        path, text, header, [*shape.values()], separator=separator, nulls=null_values, cut=cut
    )
    taken = pl.Series([number for number, _, _ in broken], dtype=pl.Int64)
    numbers = pl.int_range(1, table.num_rows + len(broken) + 1, eager=True)
    nothing = pl.lit(None, dtype=pl.String)
    frame = pl.DataFrame(pl.from_arrow(table)).select(
        column.cast(pl.String) for column in _select(shape, columns)
    )
    sound = frame.with_columns(
        numbers.filter(~numbers.is_in(taken.implode())).alias(LINE),
        pl.lit(path.name).alias(FILE),
        nothing.alias(PROBLEM),
        nothing.alias(RAW),
    )
    return pl.concat([sound, _broken(broken, columns, path)]).sort(LINE)


def _header(path: Path, text: str, separator: str) -> tuple[list[str], bool]:
    """Read the header, and say whether the file ends with it."""
    import csv

    lines = io.StringIO(text, newline="")
    try:
        # A quoted line break in a header is read whole by the standard library's reader.
        header = next(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        refuse(path, "a header line", str(error), "have it delivered again, or mend it")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        refuse(path, "each column once", f"{repeated} twice", "rename one in the file")
    return header, not lines.readline()


def _parse(  # noqa: PLR0913  one file, seven facts about it
    path: Path,
    text: str,
    header: Sequence[str],
    columns: Sequence[str],
    *,
    separator: str,
    nulls: Sequence[str],
    cut: bool,
) -> tuple["Table", list[tuple[int, str, str]]]:
    """Parse to the sound records, and the number, problem and text of each broken one.

    A probe of too many empty fields goes after the text. After a whole file it comes back as a
    broken record of its own, which shows that no quote is left open. After a cut file it makes the
    last record a broken one, so its text comes back whatever its number of fields.
    """
    probe = separator * len(header)
    reason = _CUT
    table, rows = _records(path, text + probe, header, columns, separator=separator, nulls=nulls)
    if not _last_is_broken(table, rows) or not (cut or rows[-1].text == probe):
        # A quote is open at the end and has taken the probe in: close it first.
        reason = _CUT if cut else _OPEN
        probe = f'"{probe}'
        table, rows = _records(
            path, text + probe, header, columns, separator=separator, nulls=nulls
        )
        if not _last_is_broken(table, rows):
            refuse(
                path, "quotes that close", "one that does not", "close it, or double it in a text"
            )
    broken = [
        (row.number - 1, f"expected {len(header)} fields, found {row.actual_columns}", row.text)
        for row in rows
    ]
    number, _, last = broken.pop()
    if last == probe and not cut:
        return table, broken
    last = last.removesuffix(probe)
    before = text[: len(text) - len(last)]
    line = max(before.count(end) for end in "\n\r") + 1
    return table, [*broken, (number, reason.format(line), last)]


def _last_is_broken(table: "Table", rows: Sequence["InvalidRow"]) -> bool:
    return bool(rows) and rows[-1].number - 1 == table.num_rows + len(rows)


def _records(  # noqa: PLR0913  as above
    path: Path,
    text: str,
    header: Sequence[str],
    columns: Sequence[str],
    *,
    separator: str,
    nulls: Sequence[str],
) -> tuple["Table", list["InvalidRow"]]:
    import pyarrow as pa
    from pyarrow import csv

    rows: list[InvalidRow] = []

    def keep(row: "InvalidRow") -> str:
        rows.append(row)
        return "skip"

    content = text.encode()
    try:
        table = csv.read_csv(
            pa.BufferReader(content),
            # One block, since a record may not straddle two.
            read_options=csv.ReadOptions(
                use_threads=False, block_size=min(len(content) + 1, 2**31 - 1)
            ),
            parse_options=csv.ParseOptions(
                delimiter=separator,
                newlines_in_values=True,
                invalid_row_handler=keep,
                ignore_empty_lines=len(header) > 1,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=["", *nulls],
                include_columns=list(dict.fromkeys(columns)),
            ),
        )
    except pa.ArrowException as error:
        refuse(path, "CSV", str(error), "have it delivered again, or mend it")
    return table, rows


def _broken(found: list[tuple[int, str, str]], columns: Sequence[str], path: Path) -> pl.DataFrame:
    frame = pl.DataFrame(
        found, schema={LINE: pl.Int64, PROBLEM: pl.String, RAW: pl.String}, orient="row"
    )
    nothing = pl.lit(None, dtype=pl.String)
    return frame.select(
        *(nothing.alias(c) for c in columns), LINE, pl.lit(path.name).alias(FILE), PROBLEM, RAW
    )


def read_parquet(path: Path, columns: Sequence[str], older: Older = NO_OLDER) -> pl.DataFrame:
    """Read a Parquet file's records.

    Raises
    ------
    SourceError
        For a file that is not Parquet, and for a column that is missing.
    """
    # Polars panics on some files that are no Parquet, an empty one among them.
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(max(0, size - 4))
        end = file.read(4)
    if magic != b"PAR1":
        found = f"one that begins {magic!r}" if size else "an empty file"
        refuse(path, "a Parquet file", found, "have it delivered again")
    if size < _SMALLEST_PARQUET or end != b"PAR1":
        refuse(path, "a whole Parquet file", f"one cut at {size} bytes", "have it delivered again")
    try:
        scan = pl.scan_parquet(path, glob=False)
        shape = _shape(path, scan.collect_schema().names(), columns, older)
        frame = scan.select(_select(shape, columns)).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        refuse(path, "a whole Parquet file", str(error), "have it delivered again")
    nothing = pl.lit(None, dtype=pl.String)
    return frame.with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE),
        pl.lit(path.name).alias(FILE),
        nothing.alias(PROBLEM),
        nothing.alias(RAW),
    )


def read_delta(path: Path, columns: Sequence[str], older: Older = NO_OLDER) -> pl.LazyFrame:
    """Scan a Delta table that something else writes.

    Raises
    ------
    SourceError
        Where there is no Delta table, and for a column that is missing.
    """
    from deltalake.exceptions import DeltaError

    if not (path / "_delta_log").is_dir():
        refuse(path, "a Delta table", "no _delta_log folder", "correct path= in the source")
    try:
        scan = pl.scan_delta(str(path))
        header = scan.collect_schema().names()
    except DeltaError as error:
        refuse(
            path,
            "a Delta table",
            str(error).partition("\n")[0],
            "mend the table, or correct path= in the source",
        )
    shape = _shape(path, header, columns, older)
    nothing = pl.lit(None, dtype=pl.String)
    return scan.select(_select(shape, columns)).with_columns(
        pl.lit(None, dtype=pl.Int64).alias(LINE),
        pl.lit(path.name).alias(FILE),
        nothing.alias(PROBLEM),
        nothing.alias(RAW),
    )


def _shape(
    path: Path, header: Sequence[str], columns: Sequence[str], older: Older
) -> dict[str, str]:
    """Say which column of a file holds each that is asked for; those that may lack are left out."""
    shape = {}
    for column in columns:
        names, may_lack = older.get(column, ((), False))
        found = next((name for name in (column, *names) if name in header), None)
        if found is not None:
            shape[column] = found
        elif not may_lack:
            other = next(
                (mark for mark in _SEPARATORS if len(header) == 1 and mark in header[0]), ""
            )
            remedy = f"{nearest(column, header)}; {_REMEDY}"
            if other:
                remedy = f"declare separator={other!r}"
            refuse(path, f"a column {column!r}", ", ".join(header), remedy)
    return shape


def _select(shape: Mapping[str, str], columns: Sequence[str]) -> list[pl.Expr]:
    nothing = pl.lit(None, dtype=pl.Null)
    return [(pl.col(shape[c]) if c in shape else nothing).alias(c) for c in columns]
