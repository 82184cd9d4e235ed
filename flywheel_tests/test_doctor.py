"""Each kind of damage, planted in a real home: found, and mended or said."""

import os
import re
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from deltalake import DeltaTable

from flywheel_assets.dagster_assets.doctor import examine
from flywheel_assets.dagster_assets.orphans import PROCESS
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.stores import delta_log
from flywheel_assets.stores.doctor import examine_stores
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.models import Models
from flywheel_assets.stores.promotions import PROMOTION_SCHEMA
from flywheel_assets.stores.registry import Registry
from flywheel_assets.stores.tables import Tables
from flywheel_tests.durable_writers import DAY, NEXT, SCHEMA, rows

TABLE = "organize/fct_order"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Write a table of two days in five versions, with two checkpoints."""
    monkeypatch.setattr(delta_log, "CHECKPOINT_EVERY", 2)
    found = Home(tmp_path)
    for n in range(4):
        Tables(found.lakehouse).replace(TABLE, rows(n), SCHEMA, DAY, DAY)
    Tables(found.lakehouse).replace(TABLE, rows(9, day=NEXT), SCHEMA, NEXT, NEXT)
    assert not examine_stores(found)
    return found


def log(home: Home) -> Path:
    return home.lakehouse / TABLE / "_delta_log"


def values(home: Home) -> list[int]:
    return Tables(home.lakehouse).read(TABLE, SCHEMA).collect()["n"].sort().to_list()


def data_file(home: Home, day: date) -> Path:
    actions = pl.DataFrame(DeltaTable(str(home.lakehouse / TABLE)).get_add_actions())
    path = next(p for p in actions["path"] if str(day) in p)
    return home.lakehouse / TABLE / str(path)


def mend(home: Home) -> None:
    for finding in examine_stores(home):
        if finding.mend is not None:
            finding.mend()


def broken_checkpoint(home: Home) -> None:
    (log(home) / f"{4:020}.checkpoint.parquet").write_bytes(b"")


def changed_checkpoint(home: Home) -> None:
    checkpoint = log(home) / f"{4:020}.checkpoint.parquet"
    checkpoint.write_bytes((log(home) / f"{2:020}.checkpoint.parquet").read_bytes())


def lost_checkpoint(home: Home) -> None:
    (log(home) / f"{4:020}.checkpoint.parquet").unlink()


def torn_pointer(home: Home) -> None:
    (log(home) / "_last_checkpoint").write_bytes(b'{"vers')


def left_over(home: Home) -> None:
    stray = data_file(home, DAY).with_name(f"part-00000000-{'0' * 64}.parquet")
    stray.write_bytes(b"half")
    aside = log(home) / ".00000000000000000009.json.00000000.tmp"
    aside.write_bytes(b"{")
    for file in (stray, aside):
        os.utime(file, (1, 1))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (broken_checkpoint, "checkpoint 4 is broken"),
        (changed_checkpoint, "checkpoint 4 is broken or differs from the log"),
        (lost_checkpoint, "points to no checkpoint"),
        (torn_pointer, "points to no checkpoint"),
        (left_over, "in no version of the table"),
    ],
)
def test_what_can_be_mended_is(home: Home, damage: Callable[[Home], None], said: str) -> None:
    """Found, mended, and then the table is as it was and nothing is wrong."""
    damage(home)
    found = examine_stores(home)
    assert found
    assert all(said in f.what and f.where == TABLE and f.mend for f in found)
    mend(home)
    assert not examine_stores(home)
    assert values(home) == [3, 9]
    kept = (home.root / "set_aside").rglob("*")
    assert damage is lost_checkpoint or any(f.stat().st_size for f in kept if f.is_file())


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b'{"add":{"pa', None])
def test_a_torn_newest_entry_is_moved_aside(home: Home, content: bytes | None) -> None:
    """The table is at the version before, and what to make again is said."""
    newest = log(home) / delta_log.entry_name(5)
    newest.write_bytes(newest.read_bytes()[:-20] if content is None else content)
    (found,) = examine_stores(home)
    assert "log entry 5, the newest, is" in found.what
    assert f"--partition {NEXT}" in found.remedy
    mend(home)
    assert values(home) == [3]
    Tables(home.lakehouse).replace(TABLE, rows(9, day=NEXT), SCHEMA, NEXT, NEXT)
    assert values(home) == [3, 9]
    assert not examine_stores(home)


@pytest.mark.parametrize("damage", ["empty", "missing"])
def test_an_older_entry_is_not_mended(home: Home, damage: str) -> None:
    """What cannot be known is said: restore it, or make all partitions again."""
    entry = log(home) / delta_log.entry_name(1)
    entry.write_bytes(b"") if damage == "empty" else entry.unlink()
    found = [f for f in examine_stores(home) if "log entry 1 is" in f.what]
    assert len(found) == 1
    assert found[0].mend is None
    assert f'--partition-range "{DAY}...{NEXT}"' in found[0].remedy


@pytest.mark.parametrize("damage", ["flipped", "empty", "missing"])
def test_a_damaged_data_file_is_said(home: Home, damage: str) -> None:
    """One flipped bit is enough; the command names asset and partition, and writing again mends."""
    file = data_file(home, NEXT)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    if damage != "missing":
        file.write_bytes(b"" if damage == "empty" else content)
    (found,) = examine_stores(home)
    assert re.search("has changed|is missing", found.what)
    assert f"'key:\"{TABLE}\"' --partition {NEXT}" in found.remedy
    Tables(home.lakehouse).replace(TABLE, rows(9, day=NEXT), SCHEMA, NEXT, NEXT)
    assert values(home) == [3, 9]
    (left,) = examine_stores(home) if damage != "missing" else (None,)
    assert left is None or "only old versions have it" in left.what


def test_a_torn_page_of_the_inbox(home: Home) -> None:
    """A page of a SQLite database that is overwritten is found."""
    file = home.root / "inbox" / "inbox.sqlite"
    file.parent.mkdir()
    with sqlite3.connect(file) as database:
        database.execute("create table received (id text primary key, record blob)")
        many = ((str(i), b"x" * 100) for i in range(1000))
        database.executemany("insert into received values (?, ?)", many)
    database.close()
    assert not examine_stores(home)
    content = bytearray(file.read_bytes())
    content[3 * 4096 : 3 * 4096 + 2048] = b"\xff" * 2048
    file.write_bytes(content)
    (found,) = examine_stores(home)
    assert (found.where, found.mend) == ("inbox/inbox.sqlite", None)
    assert ".recover" in found.remedy


def test_orphan_runs_and_aliases(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose process is gone is ended; the alias follows the ledger; then nothing is wrong."""
    home.save(Settings(start=DAY))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    instance = dg.DagsterInstance.get()
    for process in (gone.pid, os.getppid()):
        run = dg.DagsterRun(
            job_name="turn",
            run_id=str(uuid.uuid4()),
            status=dg.DagsterRunStatus.STARTED,
            tags={PROCESS: str(process)},
        )
        instance.add_run(run)
    models = Models(home.mlflow)
    name = f"{FLYWHEELS[0].name}.{FLYWHEELS[0].model.name}"
    models.client().create_registered_model(name)
    for _ in range(2):
        models.client().create_model_version(name, (home.root / "m").as_uri())
    Registry(models).point(name, "champion", 1)
    entry = dict.fromkeys(PROMOTION_SCHEMA) | {PARTITION: DAY, "version": 2}
    ledger = pl.DataFrame([entry], schema=PROMOTION_SCHEMA)
    Tables(home.lakehouse).replace("repurchase/promotions", ledger, PROMOTION_SCHEMA, DAY, DAY)
    run_found, alias = examine(home, FLYWHEELS)
    assert "process that executed it is gone" in run_found.what
    assert "champion is at version 1, the promotions ledger at 2" in alias.what
    command = [sys.executable, "-m", "flywheel_assets.cli", "doctor"]
    environment = os.environ | {"FLYWHEEL_HOME": str(home.root), "COLUMNS": "200"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 1, said.stderr
    assert "flywheel doctor --mend" in said.stdout
    command.append("--mend")
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "mended" in said.stdout
    assert not examine(home, FLYWHEELS)
    assert Registry(models).alias(name, "champion") == 2
    assert (
        len(instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))) == 1
    )


def test_a_champion_that_mlflow_lost_is_said(home: Home) -> None:
    """No alias can follow the ledger to a version that is gone: only a backup has it."""
    home.save(Settings(start=DAY))
    entry = dict.fromkeys(PROMOTION_SCHEMA) | {PARTITION: DAY, "version": 2}
    ledger = pl.DataFrame([entry], schema=PROMOTION_SCHEMA)
    Tables(home.lakehouse).replace("repurchase/promotions", ledger, PROMOTION_SCHEMA, DAY, DAY)
    [found] = examine(home, FLYWHEELS)
    assert "version 2 decides" in found.what
    assert "MLflow does not have it" in found.what
    assert "from a backup" in found.remedy
    assert found.mend is None


def test_an_orphan_is_found_by_whoever_has_its_number_now(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container each command has the same: what was killed there is ended by the next one."""
    home.save(Settings(start=DAY))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    instance = dg.DagsterInstance.get()
    run = dg.DagsterRun(
        job_name="turn",
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.STARTED,
        tags={PROCESS: str(os.getpid())},
    )
    instance.add_run(run)
    [found] = examine(home, FLYWHEELS)
    assert found.mend is not None
    found.mend()
    assert not examine(home, FLYWHEELS)
