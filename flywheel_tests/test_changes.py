"""What a change of a declaration touches: edits of the bundled file, graded."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from flywheel_assets import Flywheel
from flywheel_assets.changes.graph import Column
from flywheel_assets.changes.meaning import Meaning, meanings
from flywheel_assets.changes.names import originally
from flywheel_assets.changes.plan import Change, Grade, plan
from flywheel_assets.changes.stages import lineage
from flywheel_assets.errors import ColumnsError
from flywheel_assets.flywheels.repurchase import repurchase

BUNDLED = "flywheel_assets.flywheels.repurchase"
TEXT = Path(str(import_module(BUNDLED).__file__)).read_text(encoding="utf-8")


def declared(text: str) -> Flywheel:
    """Declare what a file says."""
    module = ModuleType("edited")
    exec(compile(text, "edited.py", "exec"), module.__dict__)  # noqa: S102  our own file, edited
    found: Any = module.__dict__["repurchase"]
    assert isinstance(found, Flywheel)
    return found


def changes(text: str) -> dict[str, Change]:
    """Plan an edited file against the bundled one, by table."""
    edited, was = declared(text), declared(TEXT)
    found = plan(meanings([was]), meanings([edited]))
    return {change.table: change for change in found}


def swap(first: str, second: str) -> str:
    """Exchange two pieces of the file."""
    assert TEXT.count(first) == 1, first
    assert TEXT.count(second) == 1, second
    return TEXT.replace(first, "\0").replace(second, first).replace("\0", second)


def edit(old: str, new: str) -> str:
    """Replace a piece of the file."""
    assert old in TEXT, old
    return TEXT.replace(old, new)


def renamed(old: str, new: str) -> str:
    """Rename a Python variable."""
    found, n = re.subn(rf"\b{old}\b(?!\")", new, TEXT)
    assert n > 1
    return found


PRESERVING = {
    "nothing": TEXT,
    "a variable renamed: the fact": renamed("order_lines", "lines_of_orders"),
    "a variable renamed: the view": renamed("customer_orders", "view_of_orders"),
    "a variable renamed: the policy": renamed("contact_policy", "who_to_contact"),
    "a helper renamed": renamed("revenue\\(", "money(").replace("def money(", "def money("),
    "a constant written out": edit("DAY = timedelta(days=1)", "DAY = timedelta(hours=24)"),
    "features reordered": swap("        orders(7),\n", "        revenue(30),\n"),
    "features of the model reordered": edit(
        'tuple(n for n in customer_orders.descriptions if n.startswith("log_"))',
        'tuple(sorted(n for n in customer_orders.descriptions if n.startswith("log_")))',
    ),
    "fields reordered": swap(
        'Field(name="invoice", dtype=pl.String, description="Invoice number.")',
        'Field(name="customer_id", dtype=pl.Int64, description="Who ordered.")',
    ),
    "a comment": edit("# features ---", "# what we look at\n# features ---"),
    "blank lines": TEXT.replace("\n\n\n", "\n\n\n\n"),
    "joined lines": TEXT.replace('        Field(name="country"', '\n        Field(name="country"'),
    "quotes": edit(
        'pl.lit("x")' if 'pl.lit("x")' in TEXT else '"negative_fact"', "'negative_fact'"
    ),
    "a description": edit(
        "Units ordered" if "Units ordered" in TEXT else "Product number.", "SKU."
    ),
    "the estimator's docstring": edit(
        "Build a logistic regression on splines of the logarithms.", "Build it."
    ),
    "a number written otherwise": edit("minimum=0.55", "minimum=5.5e-1"),
    "a default spelt out": edit(
        'name="quantity", dtype=pl.Int64,', 'name="quantity", dtype=pl.Int64, nullable=False,'
    ),
    "keyword order": edit(
        'horizon=30 * DAY,\n    owners=["team:growth"],',
        'owners=["team:growth"],\n    horizon=30 * DAY,',
    ),
    "a derived column moved": swap(
        '"revenue": pl.col("quantity") * pl.col("unit_price"),\n',
        '"order_date": pl.col("event_time").dt.date(),\n',
    ),
    "days as a sum": edit("training_window=90 * DAY", "training_window=60 * DAY + 30 * DAY"),
    "an import moved": TEXT.replace("import polars as pl\n", "", 1).replace(
        "from typing import Any\n", "from typing import Any\n\nimport polars as pl\n"
    ),
    "a list for a tuple": edit('owners=["team:checkout"]', 'owners=("team:checkout",)'),
}


@pytest.mark.parametrize("name", PRESERVING)
def test_what_means_the_same_changes_nothing(name: str) -> None:
    """No table is made again for names, order, formatting or words."""
    found = changes(PRESERVING[name])
    assert all(c.grade is Grade.DESCRIPTION for c in found.values()), found
    worded = name == "a description"
    assert bool(found) == worded
    assert {t: m.digest for t, m in meanings([declared(PRESERVING[name])]).items()} == {
        t: m.digest for t, m in meanings([repurchase]).items()
    }


FACT, VIEW = "organize/fct_order_line", "features/customer_orders"
DECIDED = {"repurchase/decisions"}
MODELLED = {"repurchase/model", "repurchase/promotions"} | DECIDED
WATCHED = {"repurchase/performance", "repurchase/drift"}
LEARNT = {"repurchase/training_set"} | MODELLED | WATCHED
CHANNEL = 'Field(name="channel", dtype=pl.String, nullable=True, description="How.")'
CHANGING: dict[str, tuple[str, Grade, str, set[str]]] = {
    # what is edited: the text, the grade of the table edited, that table, all tables named
    "a feature more": (
        edit("        orders(7),\n", "        orders(7),\n        orders(14),\n"),
        Grade.ADDITIVE,
        "features/customer_orders",
        {"features/customer_orders", "repurchase/training_set"},
    ),
    "a nullable field more": (
        edit("    fields=(\n", f"    fields=(\n        {CHANNEL},\n"),
        Grade.ADDITIVE,
        "collect/order_line",
        {"collect/order_line", "organize/fct_order_line"},
    ),
    "a derived column more": (
        edit("    derive={\n", '    derive={\n        "cents": pl.col("unit_price") * 100,\n'),
        Grade.ADDITIVE,
        "organize/fct_order_line",
        {"organize/fct_order_line"},
    ),
    "another window": (
        edit(
            "        orders(7),\n        orders(30)", "        orders(8),\n        orders(30)"
        ).replace('"orders_7d"', '"orders_8d"'),
        Grade.BREAKING,
        "features/customer_orders",
        {VIEW} | LEARNT,
    ),
    "what revenue is": (
        edit('pl.col("quantity") * pl.col("unit_price")', 'pl.col("quantity") * 2.0'),
        Grade.RECOMPUTE,
        "organize/fct_order_line",
        {FACT, VIEW} | LEARNT,
    ),
    "what an order is": (
        edit('ordered = ~pl.col("is_cancellation")', 'ordered = pl.col("quantity") > 0'),
        Grade.RECOMPUTE,
        "features/customer_orders",
        {VIEW} | LEARNT,
    ),
    "what a cancellation is": (
        edit('pl.col("invoice").str.starts_with("C")', 'pl.col("quantity") < 0'),
        Grade.RECOMPUTE,
        "organize/fct_order_line",
        {FACT, VIEW} | LEARNT,
    ),
    "an expression": (
        edit('pl.col("tenure_days") + 30', 'pl.col("tenure_days") + 60'),
        Grade.RECOMPUTE,
        "features/customer_orders",
        {VIEW} | LEARNT,
    ),
    "the horizon": (
        edit("horizon=30 * DAY", "horizon=14 * DAY"),
        Grade.RECOMPUTE,
        "repurchase/training_set",
        LEARNT,
    ),
    "how many rows are an outcome": (
        edit("horizon=30 * DAY,", "horizon=30 * DAY, at_least=2,"),
        Grade.RECOMPUTE,
        "repurchase/training_set",
        LEARNT,
    ),
    "the estimator": (
        edit("C=0.1", "C=0.2"),
        Grade.RECOMPUTE,
        "repurchase/model",
        MODELLED,
    ),
    "the estimator's knots": (
        edit("n_knots=5", "n_knots=6"),
        Grade.RECOMPUTE,
        "repurchase/model",
        MODELLED,
    ),
    "the training window": (
        edit("training_window=90 * DAY", "training_window=91 * DAY"),
        Grade.RECOMPUTE,
        "repurchase/model",
        MODELLED,
    ),
    "the cadence": (
        edit('retrain="monday"', 'retrain="daily"'),
        Grade.RECOMPUTE,
        "repurchase/model",
        MODELLED,
    ),
    "the gate": (
        edit("minimum=0.55", "minimum=0.6"),
        Grade.RECOMPUTE,
        "repurchase/model",
        MODELLED,
    ),
    "the capacity": (
        edit("capacity=200", "capacity=150"),
        Grade.RECOMPUTE,
        "repurchase/decisions",
        MODELLED | {"repurchase/performance"},  # its gate reports what the policy would earn
    ),
    "the exploration": (
        edit("share=0.1", "share=0.2"),
        Grade.RECOMPUTE,
        "repurchase/decisions",
        MODELLED | {"repurchase/performance"},  # its gate reports what the policy would earn
    ),
    "the candidates": (
        edit('pl.col("orders_180d") > 0', 'pl.col("orders_90d") > 0'),
        Grade.RECOMPUTE,
        "repurchase/decisions",
        DECIDED,
    ),
    "the bootstrap rule": (
        edit('bootstrap=-pl.col("recency_days")', 'bootstrap=pl.col("orders_90d")'),
        Grade.RECOMPUTE,
        "repurchase/decisions",
        MODELLED | {"repurchase/performance"},  # its gate reports what the policy would earn
    ),
    "a wider contract": (
        edit("dtype=pl.Float64, minimum=0,", "dtype=pl.Float64, minimum=-1,"),
        Grade.RECOMPUTE,
        "collect/order_line",
        {"collect/order_line", FACT, VIEW} | LEARNT,
    ),
    "another type": (
        edit('name="quantity", dtype=pl.Int64', 'name="quantity", dtype=pl.Float64'),
        Grade.BREAKING,
        "collect/order_line",
        {"collect/order_line", FACT, VIEW} | LEARNT,
    ),
    "a time zone": (
        edit('time_zone="Europe/London"', 'time_zone="UTC"'),
        Grade.RECOMPUTE,
        "collect/order_line",
        {"collect/order_line", FACT, VIEW, "organize/dim_customer"} | LEARNT,
    ),
    "a baseline more": (
        edit("    baselines={", '    baselines={"random": pl.lit(0.0), '),
        Grade.ADDITIVE,
        "repurchase/performance",
        {"repurchase/performance"},
    ),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_means_something_else_is_graded(name: str) -> None:
    """The table that was edited has its grade, and exactly what it touches is named."""
    text, grade, table, tables = CHANGING[name]
    found = changes(text)
    assert {t for t, c in found.items() if c.grade is not Grade.DESCRIPTION} == tables
    assert found[table].grade is grade


def test_a_meaning_can_be_kept() -> None:
    """What was written down and read again means the same."""
    for meaning in meanings([repurchase]).values():
        assert Meaning(**json.loads(json.dumps(asdict(meaning)))) == meaning


def test_a_column_nobody_has_is_named() -> None:
    """A slip of the pen is met with what was probably meant."""
    graph = lineage([repurchase])
    assert graph.find("collect/order_line.quantity") == [Column("collect/order_line", "quantity")]
    with pytest.raises(ColumnsError, match=r"did you mean 'collect/order_line\.quantity'"):
        graph.find("collect/order_line.quantitty")
    with pytest.raises(ColumnsError, match=r"and \d{3} more$") as error:
        graph.find("collect/order_line.quantitty")
    assert error.value.remedy.count(",") < 10


NAMED: dict[str, Callable[[str], pl.Expr]] = {
    "an infinity": lambda name: pl.col(name) < float("inf"),
    "a window": lambda name: pl.col("x").sum().over(name).sort_by(name),
    "a text that is the name": lambda name: pl.when(pl.col(name) > 1).then(pl.lit("net")),
    "a list": lambda name: pl.col(name).is_in(["net", "b"]),
    "a decimal": lambda name: pl.col(name) > pl.lit(Decimal("1.50")),
    "a moment": lambda name: pl.col(name) > datetime(2026, 1, 1, tzinfo=UTC),
    "a large number": lambda name: pl.col(name) < 2**62,
}


@pytest.mark.parametrize("expression", NAMED.values(), ids=NAMED)
def test_an_expression_means_what_it_meant(expression: Callable[[str], pl.Expr]) -> None:
    """In the first name of a column, to the last bit, by which tables tell what made them."""
    renamed = originally(expression("net"), {"net": "amount"})
    assert renamed.meta.serialize() == expression("amount").meta.serialize()
