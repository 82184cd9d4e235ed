"""What the UI is given: every asset of every declared flywheel."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.compile import compile_flywheels
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.stages.checks import BLOCKING, WARNING
from flywheel_assets.stages.promises import PROMISES
from flywheel_assets.stores.home import Home, Settings


def definitions(root: Path, *, demo: bool = False) -> dg.Definitions:
    """Compile the bundled flywheels for an empty home."""
    settings = Settings(start=date(2026, 1, 5), demo=demo)
    return compile_flywheels(Build(home=Home(root), settings=settings), FLYWHEELS)


def test_every_asset_says_what_it_is(tmp_path: Path) -> None:
    """Owners, a description in a sentence, a group; and for tables columns, place, version."""
    for spec in definitions(tmp_path).resolve_all_asset_specs():
        assert spec.owners, spec.key
        assert spec.description, spec.key
        assert spec.description.endswith((".", "?")), spec.key
        if spec.group_name in {"product", "product_reports"} or spec.kinds == {"html"}:
            continue
        assert {"deltalake", "polars"} <= spec.kinds
        assert spec.code_version
        assert spec.freshness_policy is not None
        assert spec.metadata["dagster/uri"].startswith("file://")
        columns = spec.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns), spec.key


def test_checks_that_protect_what_is_downstream_block(tmp_path: Path) -> None:
    """Contract, ids, accounting and propensities block; a label rate only warns."""
    defs = definitions(tmp_path)
    checks = {
        (spec.asset_key.to_user_string(), spec.name): spec.blocking
        for asset in defs.assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.check_specs
    }
    assert checks["collect/order_line", "accounted_for"]
    assert checks["collect/order_line", "known_on_its_day"]
    assert checks["repurchase/decisions", "propensities"]
    assert not checks["repurchase/training_set", "label_rate"]
    assert not checks["collect/order_line", "comes_in"]


def test_every_check_says_what_it_promises(tmp_path: Path) -> None:
    """Each check of a stage has words of its own; what a declaration adds has those of its kind."""
    names = {
        spec.name
        for asset in definitions(tmp_path).assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.check_specs
    }
    staged = {name for stage in (*BLOCKING.values(), *WARNING.values()) for name in stage}
    assert staged <= PROMISES.keys()
    assert all(name.startswith("in_") for name in names - PROMISES.keys())


@pytest.mark.parametrize(
    ("schedule", "tick", "runs"),
    [
        ("repurchase_daily", datetime(2026, 1, 14, 0, 10, tzinfo=UTC), True),
        ("repurchase_daily", datetime(2026, 1, 13, 0, 10, tzinfo=UTC), False),
        ("repurchase_retraining", datetime(2026, 1, 13, 0, 10, tzinfo=UTC), True),
        ("repurchase_retraining", datetime(2026, 1, 14, 0, 10, tzinfo=UTC), False),
        ("repurchase_daily", datetime(2026, 1, 3, 0, 10, tzinfo=UTC), False),
    ],
)
def test_each_day_belongs_to_one_schedule(
    tmp_path: Path, schedule: str, tick: datetime, *, runs: bool
) -> None:
    """A Monday that closed belongs to the retraining, other days to the daily turn."""
    defs = definitions(tmp_path)
    context = dg.build_schedule_context(
        scheduled_execution_time=tick, repository_def=defs.get_repository_def()
    )
    result = defs.get_repository_def().get_schedule_def(schedule).evaluate_tick(context)
    assert bool(result.run_requests) is runs


def test_schedules_wait_in_the_demo_home_only(tmp_path: Path) -> None:
    """They are on by default, but where a simulated shop would have to write the orders."""
    on, off = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED
    for demo, status in ((False, on), (True, off)):
        for name in ("repurchase_daily", "repurchase_retraining"):
            schedule = definitions(tmp_path, demo=demo).get_repository_def().get_schedule_def(name)
            assert schedule.default_status == status


def test_the_code_location_loads_neither_mlflow_nor_scikit_learn(tmp_path: Path) -> None:
    """Loading definitions imports no library that a run alone needs."""
    code = (
        "import sys, flywheel_assets.definitions;"
        "print([m for m in ('mlflow', 'sklearn', 'skops', 'skrub', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"FLYWHEEL_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
    assert found.stdout.strip() == "[]"


def test_the_ui_knows_what_columns_are_made_of(tmp_path: Path) -> None:
    """Each table's page lists its columns with those of other tables that they are made of."""
    spec = (
        definitions(tmp_path)
        .resolve_asset_graph()
        .get(dg.AssetKey(["features", "customer_orders"]))
    )
    told = spec.metadata["column_lineage"]
    assert isinstance(told, dg.MarkdownMetadataValue)
    row = next(line for line in (told.md_str or "").splitlines() if "| log_revenue_30d |" in line)
    assert "`organize/fct_order_line.revenue`" in row
    assert "unit_price" not in row
