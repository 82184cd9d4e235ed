"""What a team's files can hold that they should not: a clear error, or a rejected row."""

import csv
import gzip
import io
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel_assets.errors import SourceError
from flywheel_assets.flywheels.repurchase import order_line
from flywheel_assets.stages.collect import validate
from flywheel_assets.starting.validating import sample
from flywheel_assets.stores.raw import read_csv, read_delta, read_parquet
from flywheel_assets.stores.sources import read_source

DAY = date(2026, 1, 5)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
SOUND = "1,A,THING,2,2026-01-05 08:00:00,1.5,17850.0,France\n"


def reasons(folder: Path, content: str) -> list[str | None]:
    """Read one day's file as the bundled flywheel would, and say what is wrong with each record."""
    (folder / f"{DAY}.csv").write_text(content)
    raw = read_source(order_line, folder, DAY, DAY, start=DAY)
    assert raw is not None
    assert order_line.source is not None
    return validate(raw, order_line, order_line.source)["reason"].to_list()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (SOUND.replace(",2,", ",two,"), "quantity: expected Int64, found two"),
        (SOUND.replace(",2,", ",2.5,"), "quantity: expected Int64, found 2.5"),
        (SOUND.replace(",2,", f",{2**70},"), "quantity: expected Int64"),
        (SOUND.replace("1.5", "NaN"), "unit_price: expected Float64, found NaN"),
        (SOUND.replace("1.5", "-1"), "unit_price: expected at least 0, found -1"),
        (SOUND.replace("17850.0", ""), "customer_id: required, found nothing"),
        (SOUND.replace("2026-01-05 08", "soon"), "InvoiceDate: expected a time, found soon"),
        (SOUND.replace("2026-01-05", "2026-01-09"), "expected a time that has been"),
        (SOUND.replace(",France", ""), "expected 8 fields, found 7"),
        (SOUND.replace("France", "France,Paris"), "expected 8 fields, found 9"),
        (SOUND.removesuffix("ce\n"), "the file ends without a line end"),
    ],
)
def test_a_broken_record_is_rejected_with_its_reason(
    tmp_path: Path, record: str, reason: str
) -> None:
    """The record comes back with a reason that names the field; its neighbour is untouched."""
    found = reasons(tmp_path, HEADER + SOUND + record)
    assert found[0] is None
    assert len(found) == 2
    assert reason in str(found[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (HEADER.replace("Quantity", "Quantitty").encode(), "did you mean 'Quantitty'"),
        (HEADER.replace("Country", "Quantity").encode(), "twice"),
        ((HEADER + SOUND).encode() + b"2,A,CAF\xc9\n", "offset 140, line 3"),
        (gzip.compress((HEADER + SOUND).encode()), "found a gzip file; unpack it first: gunzip"),
        (b"PK\x03\x04\x14\x00", "a workbook; unpack it, or save its sheet as CSV"),
        ((HEADER + SOUND).encode("utf-16"), "declare encoding='utf-16'"),
        ((HEADER + SOUND).encode("utf-16-le"), "declare encoding='utf-16-le'"),
        ((HEADER + SOUND).encode("utf-16-be"), "declare encoding='utf-16-be'"),
    ],
    # What is packed holds the time of day, and each process must name a test alike.
    ids=["empty", "misspelt", "twice", "latin", "gzip", "workbook", "mark", "little", "big"],
)
def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """The error names the file, what was expected and what was found, and nothing is collected."""
    (tmp_path / f"{DAY}.csv").write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        read_source(order_line, tmp_path, DAY, DAY, start=DAY)
    assert f"{DAY}.csv" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_what_the_remedy_says_reads_it(tmp_path: Path, encoding: str) -> None:
    """Two bytes a character, with and without a mark, once that is declared."""
    path = tmp_path / "x.csv"
    path.write_bytes("name,b\nMüller,2\n".encode(encoding))
    with pytest.raises(SourceError, match=f"declare encoding='{encoding}'"):
        read_csv(path, ["name"], encoding="latin-1")
    assert read_csv(path, ["name"], encoding=encoding)["name"].to_list() == ["Müller"]


def test_an_open_quote_says_where_and_what_to_do(tmp_path: Path) -> None:
    """All that it took in is one record, which begins in the line that is named."""
    file = tmp_path / f"{DAY}.csv"
    file.write_text(HEADER + SOUND + SOUND.replace("THING", '"THING') + SOUND + SOUND)
    looked_at = sample(order_line, tmp_path)
    [misfit] = looked_at.misfits
    assert looked_at.n_records == 2
    assert "from line 3 on" in misfit.found
    assert misfit.expected == "a record that ends"
    assert misfit.remedy.startswith("close it there, or double it")


def test_other_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder that is not there, a Parquet file that is none, a table that is none."""
    with pytest.raises(SourceError, match="no folder"):
        read_source(order_line, tmp_path / "gone", DAY, DAY, start=DAY)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match="a Parquet file"):
        read_parquet(tmp_path / "a.parquet", ["a"])
    with pytest.raises(SourceError, match="no _delta_log"):
        read_delta(tmp_path, ["a"])


def test_a_day_without_orders(tmp_path: Path) -> None:
    """A header alone is a day without records; no file at all is none either."""
    assert reasons(tmp_path, HEADER) == []
    assert read_source(order_line, tmp_path, date(2026, 2, 1), date(2026, 2, 1), start=DAY) is None


def test_parquet_and_delta_come_back_with_their_place(tmp_path: Path) -> None:
    """Records of the other formats say where they stood too."""
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    frame.write_parquet(tmp_path / "one.parquet")
    frame.write_delta(str(tmp_path / "two"))
    one = read_parquet(tmp_path / "one.parquet", ["b", "a"])
    two = read_delta(tmp_path / "two", ["b", "a"]).collect()
    assert one.columns == two.columns
    assert one.select("a", "b").equals(frame)
    assert one["_line"].to_list() == [1, 2]


cell = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), min_size=1, max_size=8
)


@given(rows=st.lists(st.lists(cell, min_size=1, max_size=4), max_size=8))
def test_no_record_is_lost(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    """Whatever is written comes back: as it was when it has three fields, else as broken."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b", "c"], *rows])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.getvalue().encode())
    frame = read_csv(path, ["a", "b", "c"])
    assert frame["_line"].to_list() == list(range(1, len(rows) + 1))
    for row, found in zip(rows, frame.iter_rows(named=True), strict=True):
        if len(row) == 3:
            assert [found["a"], found["b"], found["c"]] == row
            assert found["_problem"] is None
        else:
            assert found["_problem"] == f"expected 3 fields, found {len(row)}"
