"""The projects that the documentation compares: counted, changed as it says, and run."""

import ast
import io
import re
import shutil
import sys
import tokenize
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from flywheel_tests.pages import ROOT, patched

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


def test_the_declaration_has_what_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file declares both features, and one of them is of the new field."""
    monkeypatch.syspath_prepend(str(patch("flywheel", tmp_path)))
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    import shop  # type: ignore[import-not-found]

    monkeypatch.delitem(sys.modules, "shop")
    assert {"orders_14d", "stars_90d"} <= shop.repurchase.descriptions.keys()
    assert shop.order_line.schema["stars"] == pl.Int64


def test_the_project_by_hand_runs(
    orders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns two days, of which the second has the new field."""
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
    monkeypatch.syspath_prepend(str(project))
    from shop.definitions import defs

    try:
        job = defs.resolve_job_def("turn")
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            for day in DAYS:
                assert job.execute_in_process(partition_key=day, instance=instance).success
    finally:
        for name in [n for n in sys.modules if re.match(r"shop(\.|$)", n)]:
            del sys.modules[name]
    made = {day: pl.read_parquet(tmp_path / f"data/customer_orders/{day}.parquet") for day in DAYS}
    assert made[DAYS[0]]["stars_90d"].null_count() == made[DAYS[0]].height > 0
    assert made[DAYS[1]]["stars_90d"].max() == 4
    assert (made[DAYS[1]]["orders_14d"] >= made[DAYS[1]]["orders_7d"]).all()
