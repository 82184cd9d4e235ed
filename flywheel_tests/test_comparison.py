"""The projects that the documentation compares: counted, changed as it says, and run."""

import ast
import importlib
import importlib.util
import io
import shutil
import sys
import tokenize
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flywheel_assets import Flywheel
from flywheel_assets.testing import Rows
from flywheel_tests.pages import ROOT
from flywheel_tests.patching import patched

PROJECTS = ROOT / "docs" / "comparison"
NAMES = ("flywheel", "feast", "dagster")
CHANGES = ("new_feature", "new_field")
DAYS = ("2026-01-05", "2026-01-06")


def lines_of_code(path: Path) -> int:
    """Count the lines that are neither blank nor words for people."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return sum(bool(line.strip()) for line in text.splitlines())
    said: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            said |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skip | {tokenize.ENDMARKER}:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - said)


def files(project: str) -> list[Path]:
    """Give a project's files."""
    folder = PROJECTS / project
    return [path for path in sorted(folder.rglob("*")) if path.suffix in {".py", ".yaml"}]


def touched(project: str, change: str) -> tuple[int, int]:
    """Count the files that a change edits, and the lines that it adds or edits."""
    diff = (PROJECTS / f"{project}_{change}.diff").read_text(encoding="utf-8")
    lines = diff.splitlines()
    return sum(line.startswith("+++ ") for line in lines), len(
        [line for line in lines if line.startswith("+") and not line.startswith("+++ ")]
    )


def row(said: str, counts: list[tuple[int, int]]) -> str:
    """Write a row of the table as the page has it."""
    cells = (
        f"{n_files} file{'s' * (n_files > 1)}, {n_lines} line{'s' * (n_lines > 1)}"
        for n_files, n_lines in counts
    )
    return f"| {said} | {' | '.join(cells)} |"


def test_the_page_counts_right() -> None:
    """Files and lines in the table are those of the projects and of the changes."""
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    sizes = [(len(files(p)), sum(map(lines_of_code, files(p)))) for p in NAMES]
    assert row("the whole project", sizes) in page, row("the whole project", sizes)
    for change, said in zip(
        CHANGES, ("a feature over existing data", "a feature of a new logged field"), strict=True
    ):
        expected = row(said, [touched(project, change) for project in NAMES])
        assert expected in page, expected


def test_a_line_of_code_is_not_a_word(tmp_path: Path) -> None:
    """Blank lines, comments and docstrings are not counted, parts of a statement are."""
    path = tmp_path / "some.py"
    path.write_text('"""Said.\n\nMore.\n"""\n\n# said\nx = [\n    1,  # said\n    """2\n3""",\n]\n')
    assert lines_of_code(path) == 5


@pytest.mark.parametrize("project", NAMES)
def test_the_changes_apply(project: str, tmp_path: Path) -> None:
    """Both changes, one after the other, leave files that Python reads."""
    changed = patch(project, tmp_path)
    for path in changed.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")


def patch(project: str, folder: Path) -> Path:
    """Copy a project and make both changes to it."""
    copy = folder / project
    shutil.copytree(PROJECTS / project, copy)
    for change in CHANGES:
        patched(copy, (PROJECTS / f"{project}_{change}.diff").read_text(encoding="utf-8"))
    return copy


def declaration(folder: Path) -> Flywheel:
    """Load the declaration, with both changes."""
    file = patch("flywheel", folder) / "shop.py"
    spec = importlib.util.spec_from_file_location("declared_shop", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.repurchase
    assert isinstance(made, Flywheel)
    return made


def records(file: Path) -> list[dict[str, Any]]:
    """Read a file as records of the declaration."""
    names = {
        "InvoiceNo": "invoice",
        "StockCode": "stock_code",
        "Description": "description",
        "Quantity": "quantity",
        "UnitPrice": "unit_price",
        "CustomerID": "customer_id",
        "Country": "country",
        "InvoiceDate": "event_time",
    }
    lines = pl.read_csv(file).rename(names)
    return lines.with_columns(pl.col("customer_id").cast(pl.Int64)).to_dicts()


def test_by_hand_and_declared_come_to_the_same(
    orders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project by hand turns two days, of which the second has the new field."""
    project = patch("dagster", tmp_path)
    landing = tmp_path / "data" / "landing" / "orders"
    landing.mkdir(parents=True)
    for day in DAYS:
        lines = pl.read_csv(orders / f"{day}.csv", infer_schema=False)
        if day == DAYS[1]:
            lines = lines.with_columns(stars=pl.lit("4"))
        lines.write_csv(landing / f"{day}.csv")
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SHOP_START", DAYS[0])
    turn_by_hand(project, tmp_path)
    told = [record for day in DAYS for record in records(landing / f"{day}.csv")]
    loop = Rows(declaration(tmp_path), {"order_line": told}, may_reject=True)
    for day in DAYS:
        moment = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
        # Who only cancelled has a row in a view, and none by hand.
        ours = loop.features(at=moment).filter(pl.col("orders_90d") > 0).sort("customer_id")
        theirs = pl.read_parquet(tmp_path / f"data/customer_orders/{day}.parquet")
        assert {"orders_14d", "stars_90d"} < {*theirs.columns}
        assert theirs["stars_90d"].drop_nulls().is_empty() is (day == DAYS[0])
        assert_frame_equal(ours.select(theirs.columns), theirs, check_dtypes=False)


def turn_by_hand(project: Path, instance_folder: Path) -> None:
    """Run the Dagster project's job for each day."""
    sys.path.insert(0, str(project))
    try:
        job = importlib.import_module("shop.definitions").defs.resolve_job_def("turn")
        with dg.DagsterInstance.local_temp(str(instance_folder)) as instance:
            for day in DAYS:
                assert job.execute_in_process(partition_key=day, instance=instance).success
    finally:
        sys.path.remove(str(project))
        for name in [n for n in sys.modules if n.partition(".")[0] == "shop"]:
            del sys.modules[name]
