"""Runs that were recorded over connections kept open are Dagster's own, for whoever reads them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from flywheel_assets.dagster_assets.event_log import KeptOpen, recorder
from flywheel_assets.stores.home import Home, Settings
from flywheel_tests.conftest import FIRST

N_RUNS, N_STEPS = 3, 20


@dg.op
def counted(context: dg.OpExecutionContext) -> None:
    """Tell of an asset, over and over."""
    for step in range(N_STEPS):
        context.log_event(dg.AssetMaterialization("counted", partition=str(step)))


@dg.job
def counting() -> None:
    """Run it alone."""
    counted()


DAYS = dg.DailyPartitionsDefinition(FIRST.isoformat())
CHECKS = ("one", "two")


@dg.multi_asset(
    specs=[dg.AssetSpec("checked", partitions_def=DAYS)],
    check_specs=[dg.AssetCheckSpec(name, asset="checked") for name in CHECKS],
)
def checked() -> Iterator[dg.MaterializeResult[Any]]:
    """Make it, and check it twice."""
    results = [dg.AssetCheckResult(passed=True, check_name=name) for name in CHECKS]
    yield dg.MaterializeResult(check_results=results)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Open an empty home, and let Dagster know it."""
    made = Home(tmp_path)
    made.save(Settings(start=FIRST))
    monkeypatch.setenv("DAGSTER_HOME", str(made.dagster))
    return made


def test_dagster_reads_at_once_what_was_recorded(home: Home) -> None:
    """Each run whole, while its files are open; of those before it no journal is left."""
    kept = recorder(home)
    assert isinstance(kept.event_log_storage, KeptOpen)
    with dg.DagsterInstance.get() as own:
        assert type(own.event_log_storage) is SqliteEventLogStorage
        for _ in range(N_RUNS):
            one = counting.execute_in_process(instance=kept).run_id
            told = own.all_logs(one, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
            assert len(told) == N_STEPS
            found = own.get_run_by_id(one)
            assert found is not None
            assert found.is_success
        materialized = own.get_materialized_partitions(dg.AssetKey("counted"))
        assert materialized == {str(step) for step in range(N_STEPS)}
    journals = list((home.dagster / "history" / "runs").glob("*.db-wal"))
    assert len(journals) <= 2, "the index, and the run that was written last"
    kept.dispose()
    assert not list((home.dagster / "history" / "runs").glob("*.db-wal"))


def test_each_check_is_of_what_its_run_has_made(home: Home) -> None:
    """Made again, or of another day: what was made before is not taken for it."""
    today, tomorrow = FIRST.isoformat(), (FIRST + timedelta(days=1)).isoformat()
    with recorder(home) as kept:
        for day in (today, tomorrow, today):
            run = dg.materialize([checked], instance=kept, partition_key=day)
            made = kept.fetch_materializations(dg.AssetKey("checked"), limit=1).records[0]
            assert made.run_id == run.run_id
            targets = [
                found.target_materialization_data for found in run.get_asset_check_evaluations()
            ]
            assert [target and target.storage_id for target in targets] == [made.storage_id] * 2


def test_a_storage_that_somebody_chose_is_left_to_them(home: Home, tmp_path: Path) -> None:
    """As dagster.yaml says, another class or another place."""
    elsewhere = tmp_path / "elsewhere"
    with (home.dagster / "dagster.yaml").open("a") as file:
        file.write(f"storage: {{sqlite: {{base_dir: {elsewhere}}}}}\n")
    with recorder(home) as chosen:
        assert type(chosen.event_log_storage) is SqliteEventLogStorage
        assert counting.execute_in_process(instance=chosen).success
    assert (elsewhere / "history" / "runs.db").exists()
