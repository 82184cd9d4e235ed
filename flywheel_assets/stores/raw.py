"""Raw records from a team's files, losing none silently: a broken record comes back as broken."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import polars as pl

from flywheel_assets.declare.rules import FILE, LINE, PROBLEM, RAW
from flywheel_assets.errors import SourceError, nearest

if TYPE_CHECKING:
    from pyarrow.csv import InvalidRow

_BOM = b"\xef\xbb\xbf"
_CUT = (
    "the file ends without a line end: the last record may be cut off "
    "(declare final_newline=False if this source writes files so)"
)


def read_csv(
    path: Path,
    columns: Sequence[str],
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    final_newline: bool = True,
) -> pl.DataFrame:
    """Read a CSV file's records as text.

    Parameters
    ----------
    columns : sequence of str
        The columns that must be there.
    final_newline : bool
        Whether a file that ends without a line end has been cut off.

    Returns
    -------
    DataFrame
        ``columns`` as String (an empty field is null), and where each record stood. A record with
        too few or too many fields has ``_problem`` and ``_raw`` instead of values.

    Raises
    ------
    SourceError
        For an empty file, one that is not text in the encoding, a column that is missing or there
        twice, quotes that do not close.
    """
    content = path.read_bytes().removeprefix(_BOM)
    if not content.strip():
        _refuse(path, "a header line", "an empty file", "have it delivered again")
    _check_text(path, content, encoding)
    tail = b""
    if final_newline and not content.endswith((b"\n", b"\r")):
        content, tail = _cut(content)
    return _parse(path, content, columns, separator, encoding, tail)


def _cut(content: bytes) -> tuple[bytes, bytes]:
    """Take a last line without a line end off; a quoted line break before it makes it longer."""
    start = max(content.rfind(b"\n"), content.rfind(b"\r")) + 1
    while start and content[:start].count(b'"') % 2:
        start = max(content.rfind(b"\n", 0, start - 1), content.rfind(b"\r", 0, start - 1)) + 1
    return content[:start], content[start:]


def _check_text(path: Path, content: bytes, encoding: str) -> None:
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        _refuse(
            path,
            f"text in {encoding}",
            f"byte {content[error.start]:#04x} at offset {error.start}, line {line}",
            "declare the encoding that the file is in, perhaps encoding='latin-1'",
        )


def _parse(  # noqa: PLR0913  one file, six facts about it
    path: Path,
    content: bytes,
    columns: Sequence[str],
    separator: str,
    encoding: str,
    tail: bytes,
) -> pl.DataFrame:
    import pyarrow as pa
    from pyarrow import csv

    broken: list[tuple[int, str, str]] = []

    def keep(row: "InvalidRow") -> str:
        reason = f"expected {row.expected_columns} fields, found {row.actual_columns}"
        broken.append((row.number - 1, reason, row.text))
        return "skip"

    header = _header(path, content or tail, separator, encoding)
    _check_header(path, header, columns)
    if not content:
        return _broken([], columns, path)
    try:
        table = csv.read_csv(
            pa.BufferReader(content),
            read_options=csv.ReadOptions(use_threads=False, encoding=encoding),
            parse_options=csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                include_columns=list(columns),
            ),
        )
    except pa.ArrowInvalid as error:
        _refuse(path, "CSV", str(error), "have it delivered again, or mend it")
    if tail:
        number = table.num_rows + len(broken) + 1
        broken.append((number, _CUT, tail.decode(encoding)))
    frame = pl.DataFrame(pl.from_arrow(table)).select(pl.col(c).cast(pl.String) for c in columns)
    taken = pl.Series([number for number, _, _ in broken], dtype=pl.Int64)
    numbers = pl.int_range(1, frame.height + len(broken) + 1, eager=True)
    sound = numbers.filter(~numbers.is_in(taken.implode()))
    text = pl.lit(None, dtype=pl.String)
    good = frame.with_columns(
        sound.cast(pl.Int64).alias(LINE),
        pl.lit(path.name).alias(FILE),
        text.alias(PROBLEM),
        text.alias(RAW),
    )
    return pl.concat([good, _broken(broken, columns, path)]).sort(LINE)


def _header(path: Path, content: bytes, separator: str, encoding: str) -> list[str]:
    import csv

    # A quoted line break in a header is read whole by the standard library's reader.
    lines = content[:65_536].decode(encoding, errors="ignore").splitlines(keepends=True)
    header = next(csv.reader(lines, delimiter=separator), [])
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        _refuse(path, "each column once", f"{repeated} twice", "rename one in the file")
    return header


def _broken(
    found: list[tuple[int, str, str]], columns: Sequence[str], path: Path
) -> pl.DataFrame:
    frame = pl.DataFrame(
        found, schema={LINE: pl.Int64, PROBLEM: pl.String, RAW: pl.String}, orient="row"
    )
    nothing = pl.lit(None, dtype=pl.String)
    return frame.select(
        *(nothing.alias(c) for c in columns), LINE, pl.lit(path.name).alias(FILE), PROBLEM, RAW
    )


def read_parquet(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Read a Parquet file's records.

    Raises
    ------
    SourceError
        For a file that is not Parquet, and for a column that is missing.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"PAR1":
        _refuse(path, "a Parquet file", f"one that begins {magic!r}", "have it delivered again")
    try:
        _check_header(path, list(pl.read_parquet_schema(path)), columns)
        frame = pl.read_parquet(path, columns=list(columns))
    except pl.exceptions.PolarsError as error:
        _refuse(path, "a whole Parquet file", str(error), "have it delivered again")
    nothing = pl.lit(None, dtype=pl.String)
    return frame.select(columns).with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(LINE),
        pl.lit(path.name).alias(FILE),
        nothing.alias(PROBLEM),
        nothing.alias(RAW),
    )


def read_delta(path: Path, columns: Sequence[str]) -> pl.LazyFrame:
    """Scan a Delta table that something else writes.

    Raises
    ------
    SourceError
        Where there is no Delta table, and for a column that is missing.
    """
    if not (path / "_delta_log").is_dir():
        _refuse(path, "a Delta table", "no _delta_log folder", "correct path= in the source")
    scan = pl.scan_delta(str(path))
    _check_header(path, scan.collect_schema().names(), columns)
    nothing = pl.lit(None, dtype=pl.String)
    return scan.select(columns).with_columns(
        pl.lit(None, dtype=pl.Int64).alias(LINE),
        pl.lit(path.name).alias(FILE),
        nothing.alias(PROBLEM),
        nothing.alias(RAW),
    )


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    for column in columns:
        if column not in header:
            _refuse(path, f"a column {column!r}", ", ".join(header), nearest(column, header))


def _refuse(path: Path, expected: str, found: str, remedy: str) -> NoReturn:
    raise SourceError(expected=f"{expected} in {path}", found=found, remedy=remedy)
