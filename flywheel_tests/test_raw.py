"""Raw records come back whole: sound ones as they are, broken ones as broken, none dropped."""

import csv
import io
import tarfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flywheel_assets.declare.rules import FILE, LINE, PROBLEM, RAW
from flywheel_assets.errors import SourceError
from flywheel_assets.stores.raw import read_csv, read_delta, read_parquet
from flywheel_tests.conftest import shared_data
from flywheel_tests.unpacking import SAFELY

ABC = ["a", "b", "c"]
CUT = (
    "the file ends without a line end: the last record may be cut off "
    "(declare final_newline=False if this source writes files so)"
)
OPEN = "a quote is opened and never closed: the rest of the file, from line 3 on, is in this record"


def written(folder: Path, content: str | bytes, name: str = "orders.csv") -> Path:
    """Write a file as it is, line ends too."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sound(frame: pl.DataFrame, columns: Sequence[str] = ABC) -> list[tuple[object, ...]]:
    """Give the sound records: number and cells."""
    return frame.filter(pl.col(PROBLEM).is_null()).select(LINE, *columns).rows()


def broken(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    """Give the broken records: number, problem and text."""
    return frame.filter(pl.col(PROBLEM).is_not_null()).select(LINE, PROBLEM, RAW).rows()


# ---------------------------------------------------------------- CSV: records


def test_sound_records_come_back_as_text(tmp_path: Path) -> None:
    """Only the asked columns, in the asked order, as text that nothing was stripped from."""
    frame = read_csv(written(tmp_path, "a,b,c\n 007 ,1.0,x\n2011-01-01,, NA \n"), ["c", "a"])
    assert frame.schema == pl.Schema(
        {
            "c": pl.String,
            "a": pl.String,
            LINE: pl.Int64,
            FILE: pl.String,
            PROBLEM: pl.String,
            RAW: pl.String,
        }
    )
    assert frame.rows() == [
        ("x", " 007 ", 1, "orders.csv", None, None),
        (" NA ", "2011-01-01", 2, "orders.csv", None, None),
    ]


def test_an_empty_field_is_null_and_an_empty_quoted_one_is_not(tmp_path: Path) -> None:
    """Null and the empty text stay apart."""
    frame = read_csv(written(tmp_path, 'a,b,c\n,"",x\n,,\n'), ABC)
    assert sound(frame) == [(1, None, "", "x"), (2, None, None, None)]


def test_broken_records_come_back_in_their_place(tmp_path: Path) -> None:
    """Too few and too many fields are told apart, and later records keep their numbers."""
    path = written(tmp_path, 'a,b,c\n1,2,3\n4,5\n6,"x\ny",8\n9,9,9,9\n10,11,12\n')
    frame = read_csv(path, ABC)
    assert frame[LINE].to_list() == [1, 2, 3, 4, 5]
    assert sound(frame) == [(1, "1", "2", "3"), (3, "6", "x\ny", "8"), (5, "10", "11", "12")]
    assert broken(frame) == [
        (2, "expected 3 fields, found 2", "4,5"),
        (4, "expected 3 fields, found 4", "9,9,9,9"),
    ]
    assert frame.filter(pl.col(PROBLEM).is_not_null()).select(ABC).null_count().row(0) == (2, 2, 2)


def test_a_file_of_broken_records_only(tmp_path: Path) -> None:
    """Nothing sound is no reason to lose the rest."""
    frame = read_csv(written(tmp_path, "a,b,c\n1\n,,,\n"), ABC)
    assert broken(frame) == [
        (1, "expected 3 fields, found 1", "1"),
        (2, "expected 3 fields, found 4", ",,,"),
    ]


def test_a_header_only_file_has_no_records(tmp_path: Path) -> None:
    """A day on which nothing happened is a fine day."""
    frame = read_csv(written(tmp_path, "a,b,c\n"), ABC)
    assert frame.height == 0
    assert frame.columns == [*ABC, LINE, FILE, PROBLEM, RAW]
    assert read_csv(written(tmp_path, "a,b,c"), ABC, final_newline=False).equals(frame)


@pytest.mark.parametrize(
    ("end", "problem", "raw"),
    [
        pytest.param("4,5,6", CUT, "4,5,6", id="the right number of fields"),
        pytest.param("4,5", CUT, "4,5", id="too few fields"),
        pytest.param('4,"5\nx', CUT, '4,"5\nx', id="inside a quote, too few fields"),
        pytest.param('4,5,"6\nx', CUT, '4,5,"6\nx', id="inside a quote, all fields"),
        pytest.param('4,5,"6""', CUT, '4,5,"6""', id="after an escaped quote"),
        pytest.param('4,5,"6\nx\n', OPEN, '4,5,"6\nx\n', id="a whole file, an open quote"),
        pytest.param('4,"5\nx,6\n', OPEN, '4,"5\nx,6\n', id="the same, too few fields"),
    ],
)
def test_a_last_record_that_does_not_end(tmp_path: Path, end: str, problem: str, raw: str) -> None:
    """A record that may be cut off is never taken for sound; those before it are."""
    frame = read_csv(written(tmp_path, f'a,b,c\n1,5" pipe,3\n{end}'), ABC)
    assert sound(frame) == [(1, "1", '5" pipe', "3")]
    assert broken(frame) == [(2, problem, raw)]


def test_a_source_that_writes_no_last_line_end(tmp_path: Path) -> None:
    """Declared so, the last record is as sound as any."""
    frame = read_csv(written(tmp_path, "a,b,c\n1,2,3\n4,5,6"), ABC, final_newline=False)
    assert sound(frame) == [(1, "1", "2", "3"), (2, "4", "5", "6")]


def test_blank_lines(tmp_path: Path) -> None:
    """A blank line is no record among several columns, and a null in a file of one column."""
    several = read_csv(written(tmp_path, "\n\na,b,c\n1,2,3\n\n4,5\n\n6,7,8\n\n"), ABC)
    assert several[LINE].to_list() == [1, 2, 3]
    assert broken(several) == [(2, "expected 3 fields, found 2", "4,5")]
    single = read_csv(written(tmp_path, 'a\n1\n\n""\n2\n'), ["a"])
    assert sound(single, ["a"]) == [(1, "1"), (2, None), (3, ""), (4, "2")]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        pytest.param(b"\xef\xbb\xbfa,b,c\n1,\xc3\xa9,3\n4,5\n", "utf-8", id="byte order mark"),
        pytest.param(b"a,b,c\r\n1,\xc3\xa9,3\r\n4,5\r\n", "utf-8", id="CRLF"),
        pytest.param(b"a,b,c\r1,\xc3\xa9,3\r4,5\r", "utf-8", id="CR"),
        pytest.param(b"a,b,c\n1,\xe9,3\n4,5\n", "latin-1", id="latin-1"),
        pytest.param("a,b,c\r\n1,é,3\r\n4,5\r\n".encode("utf-16"), "utf-16", id="utf-16"),
    ],
)
def test_ways_to_write_the_same_file(tmp_path: Path, content: bytes, encoding: str) -> None:
    """Byte order marks, line ends and encodings make no difference."""
    frame = read_csv(written(tmp_path, content), ABC, encoding=encoding)
    assert sound(frame) == [(1, "1", "é", "3")]
    assert broken(frame) == [(2, "expected 3 fields, found 2", "4,5")]


def test_a_separator(tmp_path: Path) -> None:
    """A comma is text where the separator is another."""
    frame = read_csv(written(tmp_path, "a;b;c\n1;2,5;3\n4\n"), ABC, separator=";")
    assert sound(frame) == [(1, "1", "2,5", "3")]
    assert broken(frame) == [(2, "expected 3 fields, found 1", "4")]


def test_embedded_nul_bytes(tmp_path: Path) -> None:
    """A NUL is text like any other."""
    frame = read_csv(written(tmp_path, b"a,b,c\n1,x\x00y,3\n\x00\n4,5,6\n"), ABC)
    assert sound(frame) == [(1, "1", "x\x00y", "3"), (3, "4", "5", "6")]
    assert broken(frame) == [(2, "expected 3 fields, found 1", "\x00")]


def test_a_record_larger_than_a_block(tmp_path: Path) -> None:
    """A long text with line breaks is read whole, and numbers hold in a file of many blocks."""
    long = "line\n" * 500_000
    frame = read_csv(written(tmp_path, f'a,b,c\n1,"{long}",3\n4,5\n6,7,8\n'), ABC)
    assert sound(frame) == [(1, "1", long, "3"), (3, "6", "7", "8")]
    many = read_csv(written(tmp_path, "a,b,c\n" + "1,2,3\n" * 500_000 + "4\n5,6,7\n"), ABC)
    assert many[LINE].to_list() == list(range(1, 500_003))
    assert broken(many) == [(500_001, "expected 3 fields, found 1", "4")]


# ---------------------------------------------------------------- CSV: any table

CELL = st.one_of(
    st.text(st.sampled_from('a é,;"\n\r\t\u2028\x0b\U0001f600'), min_size=1, max_size=6),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=9
    ),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], int]:
    """Draw records of any length from none, and the number of columns of their header."""
    width = draw(st.integers(1, 4))
    length = st.one_of(st.just(width), st.integers(1, 6))
    record = length.flatmap(lambda n: st.lists(CELL, min_size=n, max_size=n))
    return draw(st.lists(record, max_size=12)), width


def by_python(records: list[list[str]], end: str) -> str:
    """Write records by Python's csv module, which only quotes a CR where its line ends hold one."""
    text = io.StringIO(newline="")
    if "\r" in end:
        csv.writer(text, lineterminator=end).writerows(records)
    else:
        csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(records)
    return text.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(table=([["1", "2"], ["\ufeff", '"'], [",", "x", "y"]], 2), end="\r\n")
@given(table=tables(), end=st.sampled_from(["\n", "\r\n"]))
def test_any_table_comes_back(tmp_path: Path, table: tuple[list[list[str]], int], end: str) -> None:
    """What Python's csv module writes comes back: the same cells, and every record counted."""
    records, width = table
    columns = [f"column {i}" for i in range(width)]
    frame = read_csv(written(tmp_path, by_python([columns, *records], end)), columns)
    right = [(i, *r) for i, r in enumerate(records, start=1) if len(r) == width]
    wrong = [
        (i, f"expected {width} fields, found {len(r)}")
        for i, r in enumerate(records, start=1)
        if len(r) != width
    ]
    assert sound(frame, columns) == right
    assert [row[:2] for row in broken(frame)] == wrong
    assert frame.height == len(records)
    # The raw text of a broken record says all that the record said.
    raws = [next(csv.reader(io.StringIO(str(r[2]), newline=""))) for r in broken(frame)]
    assert raws == [r for r in records if len(r) != width]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(table=tables(), data=st.data())
def test_a_file_cut_anywhere_shows_it(
    tmp_path: Path, table: tuple[list[list[str]], int], data: st.DataObject
) -> None:
    """Wherever a delivery stops, what is called sound is what the whole file said."""
    records, width = table
    columns = [f"column {i}" for i in range(width)]
    whole = by_python([columns, *records], "\r\n")
    head = len(by_python([columns], "\r\n"))
    part = whole[: data.draw(st.integers(head, len(whole)))]
    found = sound(read_csv(written(tmp_path, part), columns), columns)
    right = [(i, *r) for i, r in enumerate(records, start=1) if len(r) == width]
    # A quoted cell cut after a line end of its own leaves a quote open, so it is broken too.
    assert found == right[: len(found)]
    assert len(found) == len(right) or part != whole


# ---------------------------------------------------------------- CSV: files that are refused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", ["a header line", "an empty file"], id="no bytes"),
        pytest.param(b"\xef\xbb\xbf\n\n", ["a header line", "an empty file"], id="no text"),
        pytest.param(b"a,b\n1,2\n", ["a column 'c'", "found a, b"], id="missing column"),
        pytest.param(b"a,b,C1\n", ["a column 'c'", "a, b, C1"], id="missing, header only"),
        pytest.param(b"a,b,c,b\n1,2,3,4\n", ["each column once", "['b'] twice"], id="duplicate"),
        pytest.param(b"a,b,c", ["a header line that ends", "final_newline"], id="a cut header"),
        pytest.param(
            b"\xef\xbb\xbfa,b,c\n1,2,3\n4,\xe9,6\n",
            ["text in utf-8", "byte 0xe9 at offset 17, line 3", "encoding='latin-1'"],
            id="not utf-8",
        ),
    ],
)
def test_a_csv_file_that_is_refused(tmp_path: Path, content: bytes, words: list[str]) -> None:
    """The message says what was expected, what was found, what to do, and where."""
    path = written(tmp_path, content)
    with pytest.raises(SourceError) as error:
        read_csv(path, ABC)
    for word in [*words, str(path)]:
        assert word in str(error.value)


def test_a_missing_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    """A renamed column is found at a glance."""
    path = written(tmp_path, "order_id,quantitty\n1,2\n")
    with pytest.raises(SourceError, match="did you mean 'quantitty'"):
        read_csv(path, ["order_id", "quantity"])


def test_an_encoding_that_is_declared_wrong(tmp_path: Path) -> None:
    """UTF-8 is suggested before latin-1, which takes anything; an unknown name is refused."""
    path = written(tmp_path, "a,b,c\n1,é,3\n")
    with pytest.raises(SourceError, match="encoding='utf-8'"):
        read_csv(path, ABC, encoding="ascii")
    with pytest.raises(SourceError, match="an encoding that Python knows"):
        read_csv(path, ABC, encoding="utf-ate")


def test_utf_8_is_not_read_as_another_encoding(tmp_path: Path) -> None:
    """Its mark gives it away; what has no mark, or is declared as it is, is read."""
    path = written(tmp_path, b"\xef\xbb\xbfa,b,c\n1,\xc3\xa9,3\n")
    for other in ("latin-1", "cp1252"):
        with pytest.raises(SourceError, match="declare encoding='utf-8'"):
            read_csv(path, ABC, encoding=other)
    for same in ("utf-8", "UTF8", "utf-8-sig"):
        assert read_csv(path, ABC, encoding=same)["b"].to_list() == ["é"]
    path = written(tmp_path, b"a,b,c\n1,\xe9,3\n")
    assert read_csv(path, ABC, encoding="latin-1")["b"].to_list() == ["é"]


# ---------------------------------------------------------------- Parquet and Delta


def test_parquet_records_keep_their_types(tmp_path: Path) -> None:
    """Values stay as they are, numbered; brackets in a file's name are no pattern."""
    path = tmp_path / "day[1].parquet"
    pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [0.5, 1.5]}).write_parquet(path)
    assert read_parquet(path, ["c", "a"]).rows(named=True) == [
        {"c": 0.5, "a": 1, LINE: 1, FILE: path.name, PROBLEM: None, RAW: None},
        {"c": 1.5, "a": None, LINE: 2, FILE: path.name, PROBLEM: None, RAW: None},
    ]
    with pytest.raises(SourceError, match="a column 'd'"):
        read_parquet(path, ["d"])


def test_a_parquet_file_that_is_refused(tmp_path: Path) -> None:
    """No bytes, other bytes, and a file cut anywhere are a SourceError, never a panic."""
    path = tmp_path / "day.parquet"
    pl.DataFrame({"a": [1, 2]}).write_parquet(path)
    whole = path.read_bytes()
    damaged = [b"", b"a,b\n1,2\n", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\xff" * 40 + b"PAR1"]
    for content in [*damaged, *(whole[:n] for n in range(0, len(whole), 7))]:
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"day\.parquet"):
            read_parquet(path, ["a"])


def test_delta_records_are_lazy(tmp_path: Path) -> None:
    """A Delta table is scanned; its records have no line, and its folder is their file."""
    path = tmp_path / "orders"
    pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}).write_delta(str(path))
    scan = read_delta(path, ["b"])
    assert isinstance(scan, pl.LazyFrame)
    frame = scan.collect()
    assert frame.schema[LINE] == pl.Int64
    assert {frame.schema[c] for c in (FILE, PROBLEM, RAW)} == {pl.String}
    assert sorted(frame.rows()) == [
        ("x", None, "orders", None, None),
        ("y", None, "orders", None, None),
    ]
    with pytest.raises(SourceError, match="a column 'd'"):
        read_delta(path, ["d"])


@pytest.mark.parametrize("log", [None, "", "garbage\n"], ids=["none", "empty", "damaged"])
def test_a_folder_that_is_no_delta_table(tmp_path: Path, log: str | None) -> None:
    """No log, an empty one and a damaged one are a SourceError."""
    if log is not None:
        (tmp_path / "_delta_log").mkdir()
    if log:
        written(tmp_path / "_delta_log", log, "00000000000000000000.json")
    with pytest.raises(SourceError, match="a Delta table"):
        read_delta(tmp_path, ["a"])


# ---------------------------------------------------------------- real files


def test_online_retail_days_are_read_whole(tmp_path: Path) -> None:
    """Real daily files: as many records as lines, all sound, and the same that Python reads."""
    archive = shared_data() / "online_retail" / "by-day.tar.gz"
    if not archive.exists():
        pytest.skip(f"no real data at {archive}: set FLYWHEEL_SHARED_DATA")
    with tarfile.open(archive) as tar:
        days = sorted((m for m in tar if m.name.endswith(".csv")), key=lambda m: m.name)[::60]
        tar.extractall(tmp_path, days, **SAFELY)  # noqa: S202  filtered where it can be
    assert len(days) > 3
    assert all(a.name < b.name for a, b in pairwise(days))
    for day in days:
        path = tmp_path / day.name
        with path.open(newline="", encoding="utf-8") as file:
            header, *records = csv.reader(file)
        frame = read_csv(path, header)
        assert frame.height == path.read_bytes().count(b"\n") - 1
        assert frame[PROBLEM].null_count() == frame.height
        cells = frame.select(pl.col(header).fill_null("")).rows()
        assert cells == [tuple(r) for r in records]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_separator_is_guessed(tmp_path: Path, mark: str) -> None:
    """One column with separators in its name: that is what the file lacks, not a column."""
    with pytest.raises(SourceError) as refused:
        read_csv(written(tmp_path, mark.join("abc") + "\n1\n"), ABC)
    assert f"declare separator={mark!r}" in str(refused.value)
    assert "old_names" not in str(refused.value)
