"""One handle on a home: tables, features, models, decisions; and the notebook that shows them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flywheel_assets import Aggregation
from flywheel_assets.changes.meaning import Meaning
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.errors import (
    ColumnsError,
    FlywheelError,
    HomeError,
    MissingPartitionError,
)
from flywheel_assets.flywheels.repurchase import customer_orders, repurchase
from flywheel_assets.notebook import OpenHome, open_home
from flywheel_assets.stages.candidates import candidates
from flywheel_assets.stages.clock import closes
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stages.features import feature_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.policy import decide
from flywheel_assets.stores.declared import Declared
from flywheel_tests import running_notebooks
from flywheel_tests.conftest import FIRST, LAST
from flywheel_tests.shelf import START, bought, purchases, shelf, stored
from flywheel_tests.staged import organized, snapshots

DAY = timedelta(days=1)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def home(spun: Turner) -> OpenHome:
    """Open the home in which the bundled flywheel has turned."""
    return open_home(spun.home.root)


@pytest.fixture(scope="module")
def rows(home: OpenHome) -> pl.DataFrame:
    """Read the training set."""
    return home.table("repurchase/training_set").collect()


@pytest.mark.parametrize("of", ["repurchase", "customer_orders"])
def test_features_are_the_training_sets_columns(
    home: OpenHome, rows: pl.DataFrame, of: str
) -> None:
    """For the training spine, in another order and some of it twice, every column is equal."""
    names = list(repurchase.descriptions)
    asked = rows.sample(fraction=1.0, shuffle=True, seed=1)
    asked = pl.concat([asked, asked.head(50)])
    spine = asked.select("customer_id", "decision_id", as_of="decided_at")
    found = home.features(spine, of)
    assert_frame_equal(found.select(names), asked.select(names), check_exact=True)
    assert found["decision_id"].equals(asked["decision_id"])


@pytest.mark.parametrize("day", [date(2026, 2, 3), FIRST - 10 * DAY], ids=["between", "before"])
def test_features_between_two_closes_are_those_of_the_moment(home: OpenHome, day: date) -> None:
    """Brute force over what was visible then gives the same sum, also before the first day."""
    facts = home.table("organize/fct_order_line").collect()
    moment = datetime(day.year, day.month, day.day, 14, 15, tzinfo=UTC)
    customers = facts["customer_id"].unique().sort()
    spine = pl.DataFrame({"customer_id": customers}).with_columns(as_of=pl.lit(moment))
    ten = Aggregation(name="spent", function="sum", column="revenue", window=10 * DAY)
    found = home.features(spine, ten, fact="order_line")
    inside = facts.filter(
        pl.col("event_time") >= moment - 10 * DAY,
        pl.col("event_time") < moment,
        pl.col("known_at") < moment,
    )
    assert inside.height
    expected = spine.join(
        inside.group_by("customer_id").agg(pl.col("revenue").sum().alias("spent")),
        on="customer_id",
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("spent").fill_null(0.0))
    assert_frame_equal(found, expected, abs_tol=1e-9)


@pytest.mark.parametrize("of", ["repurchase", "customer_orders", "spent"])
def test_moments_that_the_home_does_not_cover_are_refused(home: OpenHome, of: str) -> None:
    """After the newest close too little would be counted: it is named, and what makes more."""
    asked, fact = (spent("revenue"), "order_line") if of == "spent" else (of, None)
    newest = closes(LAST)
    at_close = SPINE.with_columns(as_of=pl.lit(newest))
    assert home.features(at_close, asked, fact=fact).height == 1
    later = pl.concat([at_close, at_close.with_columns(pl.col("as_of") + timedelta(hours=1))])
    with pytest.raises(MissingPartitionError, match=re.escape(f"up to {newest}")) as said:
        home.features(later, asked, fact=fact)
    assert f"flywheel run NAME --from {LAST + DAY} --to {LAST + DAY}" in str(said.value)


def test_a_day_on_which_nothing_came_is_covered(tmp_path: Path) -> None:
    """It has no partition, and was made all the same."""
    fact, last = purchases(stored(tmp_path, bought(12))), START + 11 * DAY
    wheel = shelf(fact)
    rows = organized(wheel, {"purchase": tmp_path / "purchases.parquet"}, START, last)[fact]
    home = OpenHome(open_home_of(tmp_path / "home").home, (wheel,))
    home._tables.replace("organize/fct_purchase", rows, fact_schema(fact), START, last)
    moment = pl.lit(closes(last + DAY)).alias("as_of")
    spine = rows.select(*fact.observation.entity.keys, moment).unique()
    with pytest.raises(MissingPartitionError, match=str(last + DAY)):
        home.features(spine, Aggregation(name="n", function="count"))
    made = Declared(home.home.declared)
    made.record("organize/fct_purchase", START, last + DAY, Meaning(columns={}))
    found = home.features(spine, Aggregation(name="n", function="count"))
    assert found["n"].sum() == rows.height


def test_pairs_see_what_their_decisions_saw(tmp_path: Path) -> None:
    """Two views joined by parts of a key, generators' columns and an expression across views."""
    fact = purchases(stored(tmp_path, bought(12)))
    wheel, last = shelf(fact), START + 11 * DAY
    facts = organized(wheel, {"purchase": tmp_path / "purchases.parquet"}, START, last)
    views = snapshots(wheel, facts, [last])
    considered = candidates(views, wheel, facts)
    home = OpenHome(open_home_of(tmp_path / "home").home, (wheel,))
    home._tables.replace("organize/fct_purchase", facts[fact], fact_schema(fact), START, last)
    suggested = [g.name for g in wheel.policy.generators]
    spine = considered.select(*wheel.entity.keys, "as_of", *suggested)
    assert spine.height
    found = home.features(spine, "shelf")
    assert_frame_equal(found.select(considered.columns), considered, check_exact=True)
    tables, decided = home._tables, decide(considered, None, wheel, last, None)
    tables.replace("shelf/decisions", decided, decision_schema(wheel), last, last)
    for view, snapshot in views.items():
        key = f"features/{view.name}"
        tables.replace(key, snapshot, feature_schema(view), last, last)
    row = decided.row(0, named=True)
    told = home.explain(row["decision_id"])
    assert told.candidates["customer_id"].unique().to_list() == [row["customer_id"]]
    assert told.candidates["rank"].to_list() == list(range(1, told.candidates.height + 1))
    mine = considered.filter(customer_id=row["customer_id"], item_id=row["item_id"])
    assert_frame_equal(told.seen, mine.select(told.seen.columns))
    with pytest.raises(ColumnsError, match="popular"):
        home.features(spine.drop("popular"), "shelf")
    assert home.features(spine.clear(), "shelf").is_empty()


def open_home_of(root: Path) -> OpenHome:
    """Open an empty home."""
    (root / "lakehouse").mkdir(parents=True)
    return open_home(root)


def test_a_table_now_at_a_version_and_as_of_a_time(home: OpenHome) -> None:
    """What a closed day held then, it holds now: as of a close only whole partitions are there."""
    name, day = "organize/fct_order_line", FIRST + 20 * DAY
    whole = home.table(name).collect()
    known = home.table(name, as_of=day).collect()
    assert_frame_equal(
        known.sort(known.columns),
        whole.filter(pl.col("known_at") < closes(day)).sort(known.columns),
    )
    noon = closes(day) + timedelta(hours=12)
    later = home.table(name, as_of=noon).collect()
    assert known.height < later.height < whole.height
    assert later["known_at"].max() < noon  # type: ignore[operator]  # a time
    decided = home.table("repurchase/decisions", as_of=noon)
    assert decided.select(pl.col("partition_date").max()).collect().item() == day
    first = home.table("repurchase/decisions", version=1)
    assert first.select(pl.col("partition_date").unique()).collect().height == 1
    with pytest.raises(ColumnsError, match="time zone"):
        home.table(name, as_of=datetime(2026, 1, 5))  # noqa: DTZ001  what is refused


def test_it_lists_what_is_there(home: OpenHome) -> None:
    """In the order of the loop, with rows, newest partition, owners and descriptions."""
    found = {table.name: table for table in home.tables()}
    names = list(found)
    assert names.index("collect/order_line") < names.index("features/customer_orders")
    features = found["features/customer_orders"]
    assert features.owners == ("team:growth",)
    assert features.newest == LAST
    assert all(table.description and table.owners for table in home.tables())
    for name in ("collect/order_line", "repurchase/decisions"):
        assert found[name].n_rows == home.table(name).select(pl.len()).collect().item()
    assert "features/customer_orders" in repr(home)
    assert "<td>team:growth</td>" in home._repr_html_()
    for name in names:
        described = home.columns(name)
        if name.split("/")[1] not in {"alternatives", "profile", "order_line_accounts"}:
            assert not described.filter(description="").height, name


def test_the_champion_scores_as_it_decided(home: OpenHome) -> None:
    """What it scores, of what decisions saw, is what was published."""
    model = home.model("repurchase")
    decided = home.table("repurchase/decisions").filter(pl.col("model_version") == model.version)
    published = decided.collect()
    assert published.height
    seen = home.features(published.select("customer_id", as_of="decided_at"), "repurchase")
    assert_frame_equal(model.score(seen).select("score"), published.select("score"))
    assert home.model(version=model.version).features == model.features
    assert home.model(as_of=LAST).version == model.version


def test_a_decision_explained(home: OpenHome, rows: pl.DataFrame) -> None:
    """What it saw, its place, who decided, what came of it: matured, and not known yet."""
    row = rows.sort("decision_id").row(0, named=True)
    told = home.explain(row["decision_id"])
    assert told.seen.select(*repurchase.descriptions).row(0, named=True) == {
        name: row[name] for name in repurchase.descriptions
    }
    assert told.decided_by == "the bootstrap rule"
    assert told.outcome.startswith(f"{row['outcome']}: ")
    assert told.candidates["rank"].to_list() == list(range(1, told.candidates.height + 1))
    assert {step.table for step in told.since} >= {"repurchase/training_set"}
    newest = home.table("repurchase/decisions").sort("partition_date", "rank").last().collect()
    late = home.explain(newest["decision_id"][0])
    assert "since" in late.decided_by
    assert "not known yet" in late.outcome
    model = home.model(version=late.decision["model_version"])
    assert model.score(late.seen)["score"][0] == pytest.approx(late.decision["score"])
    assert late.decision["decision_id"] in repr(late)
    assert "What it saw" in late._repr_html_()


TEXT = "pl.col('as_of').str.to_datetime(time_unit='us', time_zone='UTC')"
SPINE = pl.DataFrame({"customer_id": [1], "as_of": [datetime(2026, 2, 1, tzinfo=UTC)]})


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda h: h.table("organize/fct_order_lime"), "'organize/fct_order_line'"),
        (lambda h: h.table("repurchase/decisions", version=9999), "from 0 to"),
        (lambda h: h.columns("repurchase/decision"), "'repurchase/decisions'"),
        (lambda h: h.features(SPINE, "customer_order"), "'customer_orders'"),
        (lambda h: h.features(SPINE.rename({"as_of": "at"}), "repurchase"), "no as_of"),
        (lambda h: h.features(SPINE.drop("customer_id"), "repurchase"), "no customer_id"),
        (lambda h: h.features(SPINE.with_columns(orders_7d=1), "repurchase"), "drop or rename"),
        (lambda h: h.features(SPINE.with_columns(customer_id=pl.lit("x")), "repurchase"), "Int64"),
        (lambda h: h.features(SPINE.with_columns(pl.col("as_of").dt.date()), "repurchase"), "zone"),
        (lambda h: h.features(SPINE.with_columns(as_of=pl.lit("2026-02-01")), "repurchase"), TEXT),
        (lambda h: h.features(SPINE.to_pandas(), "repurchase"), "write pl.from_pandas(spine)"),
        (lambda h: h.features(SPINE.lazy(), "repurchase"), "write spine.collect()"),
        (lambda h: h.table("repurchase/decisions", as_of="last week"), "found 'last week'"),
        (lambda h: h.table("repurchase/decisions", as_of="2026-02-01T10:00"), "without one"),
        (lambda h: h.table("repurchase/decisions", as_of=20260201), "found 20260201"),
        (lambda h: h.model().score(SPINE), "home.features(spine, 'repurchase') first"),
        (lambda h: h.features(SPINE, spent("revenu"), fact="order_line"), "'revenue'"),
        (lambda h: h.features(SPINE, spent("revenue"), fact="order_lin"), "'order_line'"),
        (lambda h: h.features(SPINE.with_columns(customer_id=7.5), "repurchase"), "Float64"),
        (lambda h: h.features(SPINE, [], fact="order_line"), "an aggregation"),
        (lambda h: h.model("repurchases"), "'repurchase'"),
        (lambda h: h.model(version=77), "valid: 1, 2"),
        (lambda h: h.model(as_of=FIRST), "the bootstrap rule"),
        (lambda h: h.model(version=1, as_of=FIRST), "both"),
        (lambda h: h.explain("repurchas:2026-01-30:1"), "'repurchase'"),
        (lambda h: h.explain("repurchase:2031-01-30:1"), f"from {FIRST} to {LAST}"),
        (lambda h: h.explain("repurchase:2026-01-30:1x"), "did you mean 'repurchase:2026-01-30:1"),
    ],
)
def test_errors_name_what_is_valid(
    home: OpenHome, ask: Callable[[OpenHome], object], message: str
) -> None:
    """Each says what was expected, and the nearest that there is."""
    with pytest.raises(FlywheelError, match=re.escape(message)):
        ask(home)


def test_a_day_may_be_text_and_so_may_moments_once_read(home: OpenHome) -> None:
    """As ISO 8601; what the message says to write of texts in a spine is what works."""
    name = "repurchase/decisions"
    assert_frame_equal(
        home.table(name, as_of=str(FIRST)).collect(), home.table(name, as_of=FIRST).collect()
    )
    told = SPINE.with_columns(as_of=pl.lit("2026-02-01")).with_columns(eval(TEXT))  # noqa: S307
    assert_frame_equal(told, SPINE)


def test_who_has_no_features_is_named(home: OpenHome) -> None:
    """An entity that nobody has seen has nulls, which this model does not score: which row."""
    known = home.table("features/customer_orders").last().collect()["customer_id"][0]
    spine = pl.DataFrame(
        {
            "customer_id": [known, -1],
            "as_of": [datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC)] * 2,
        }
    )
    seen = home.features(spine, "repurchase")
    model = home.model()
    with pytest.raises(ColumnsError, match=r"null features in row 1: .*leave these rows out"):
        model.score(seen)
    assert model.score(seen.head(1)).height == 1


def spent(column: str) -> Aggregation:
    """Sum a column."""
    return Aggregation(name="spent", function="sum", column=column)


def test_what_is_no_home_and_what_was_freed(home: OpenHome, tmp_path: Path) -> None:
    """A folder without tables, and a version whose files a vacuum took."""
    with pytest.raises(HomeError, match="flywheel run"):
        open_home(tmp_path)
    root = tmp_path / "copy"
    shutil.copytree(home.home.lakehouse / "features", root / "lakehouse" / "features")
    copied = open_home(root)
    newest = copied.tables()[0].version
    copied.table("features/customer_orders", version=newest).collect()
    for file in (root / "lakehouse").rglob("*.parquet"):
        if "_delta_log" not in file.parts:
            file.unlink()
    with pytest.raises(HomeError, match="freed by"):
        copied.table("features/customer_orders", version=newest)


def test_the_notebook_of_the_docs_runs(home: OpenHome) -> None:
    """Every cell, in a process of its own that finds the home by itself; it keeps no outputs."""
    notebook = ROOT / "docs" / "notebook.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    done = subprocess.run(
        [sys.executable, running_notebooks.__file__, str(notebook)],
        env=os.environ | {"FLYWHEEL_HOME": str(home.home.root), "PYTHONPATH": str(ROOT)},
        cwd=notebook.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "collect/order_line" in done.stdout
    assert "What it saw" in done.stdout


def test_the_handle_loads_nothing_that_it_does_not_need(home: OpenHome) -> None:
    """Opening a home and listing it imports neither Dagster nor MLflow nor scikit-learn."""
    code = (
        "import sys; from flywheel_assets.notebook import open_home; open_home().tables();"
        "print([m for m in ('dagster', 'mlflow', 'sklearn', 'numba') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"FLYWHEEL_HOME": str(home.home.root), "PYTHONPATH": str(ROOT)},
    )
    assert found.stdout.strip() == "[]"


def test_every_view_column_means_the_same_to_all(home: OpenHome) -> None:
    """The words of a feature are those of its declaration."""
    told = dict(home.columns("features/customer_orders").select("column", "description").rows())
    assert {n: told[n] for n in customer_orders.descriptions} == customer_orders.descriptions
    assert date.fromisoformat(str(home.tables()[0].newest)) == LAST
