"""Tables under kills, full and failing disks, power cuts and rival writers."""

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from flywheel_assets.changes.meaning import Meaning
from flywheel_assets.errors import FlywheelError
from flywheel_assets.stores import delta_log
from flywheel_assets.stores.declared import Declared
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.tables import Tables
from flywheel_tests.durable_writers import (
    DAY,
    NEXT,
    SCHEMA,
    before_each,
    held,
    new,
    old,
    replace_by_turns,
    rows,
    write_new,
    write_new_and_checkpoint,
    write_old,
)
from flywheel_tests.power_cut import Disk, leave


def calls_of(action: Callable[[Path], None], root: Path) -> list[str]:
    seen: list[str] = []
    with before_each(lambda name, _, __: seen.append(name)):
        action(root)
    return seen


def in_processes(target: Callable[..., None], *arguments: tuple[Any, ...]) -> list[int | None]:
    """Run processes at once."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=args) for args in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def old_or_new(root: Path) -> None:
    """A reader finds the whole old version or the whole new one."""
    found = held(root)
    assert found.equals(old()) or found.equals(new()) or found.is_empty()


ACTIONS = pytest.mark.parametrize(
    ("start", "action"),
    [(False, write_new), (True, write_new), (True, write_new_and_checkpoint)],
    ids=["first write", "next write", "with a checkpoint"],
)


@pytest.fixture(autouse=True)
def checkpoint_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the interval back that a test changes."""
    monkeypatch.setattr(delta_log, "CHECKPOINT_EVERY", delta_log.CHECKPOINT_EVERY)


def prepare(root: Path, start: bool) -> None:
    root.mkdir()
    if start:
        # Three checkpoints, so that the next one removes an old one.
        delta_log.CHECKPOINT_EVERY = 1
        for values in ((8,), (9,)):
            Tables(root).replace("a/t", rows(*values), SCHEMA, DAY, DAY)
        write_old(root)


@ACTIONS
def test_a_kill_before_every_call(
    tmp_path: Path, start: bool, action: Callable[[Path], None]
) -> None:
    """Killed anywhere: a reader finds old or new, and the same call again ends in the new."""
    prepare(tmp_path / "start", start)
    shutil.copytree(tmp_path / "start", tmp_path / "counted")
    calls = calls_of(action, tmp_path / "counted")
    assert {"open", "write", "fsync", "link", "unlink"} <= set(calls)
    roots = [tmp_path / str(n) for n in range(len(calls))]
    for root in roots:
        shutil.copytree(tmp_path / "start", root)
    command = [sys.executable, "-m", "flywheel_tests.durable_writers", action.__name__]
    subprocess.run([*command, *map(str, roots)], check=True, timeout=300)
    for root in roots:
        old_or_new(root)
        write_new(root)
        assert held(root).equals(new())


@ACTIONS
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "failing"])
def test_an_error_of_every_call(
    tmp_path: Path, start: bool, action: Callable[[Path], None], code: int
) -> None:
    """A full or failing disk anywhere: the error is raised, the table read, the retry is whole."""
    prepare(tmp_path / "start", start)
    shutil.copytree(tmp_path / "start", tmp_path / "counted")
    calls = calls_of(action, tmp_path / "counted")
    for n, name in enumerate(calls):
        root = tmp_path / str(n)
        shutil.copytree(tmp_path / "start", root)

        def hook(name: str, count: int, args: tuple[Any, ...], n: int = n) -> None:
            if count != n:
                return
            if name == "write":
                os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
            raise OSError(code, os.strerror(code))

        fails = pytest.raises(OSError, match=os.strerror(code))
        # A name that is no longer needed and will not go is left, and the commit stands.
        with before_each(hook), nullcontext() if name == "unlink" else fails:
            action(root)
        old_or_new(root)
        write_new(root)
        assert held(root).equals(new())
        if code == errno.ENOSPC and name == "write":
            assert not stray(root), "what does not fit is taken away again"


@ACTIONS
def test_a_power_cut_after_every_call(
    tmp_path: Path, start: bool, action: Callable[[Path], None]
) -> None:
    """Whatever of the unsynced is lost: a reader finds old or new, the retry is whole.

    And what was acknowledged is there.
    """
    prepare(tmp_path / "start", start)
    before = tmp_path / "before"
    shutil.copytree(tmp_path / "start", before)
    power = Disk()
    found: dict[str, tuple[bool, dict[str, bytes | str | None]]] = {}

    def cut(*_: Any) -> None:
        for state in power.states():
            found.setdefault(repr(state), (False, state))

    def note(name: str, args: tuple[Any, ...], result: Any) -> None:
        power.after(name, args, result)
        cut()

    with before_each(cut, note):
        action(before)
    for state in power.states():
        found[repr(state)] = (True, state)
    assert len(found) > 10
    for n, (acknowledged, state) in enumerate(found.values()):
        after = tmp_path / str(n)
        shutil.copytree(tmp_path / "start", after)
        leave(state, before, after)
        old_or_new(after)
        assert not acknowledged or held(after).equals(new())
        write_new(after)
        assert held(after).equals(new())


def test_settings_outlast_a_power_cut(tmp_path: Path) -> None:
    """Cut at any moment a home has its old settings or the new ones; once they are saved, these."""
    was, now = Settings(start=DAY), Settings(start=DAY, demo=True)
    before, power = tmp_path / "before", Disk()
    Home(before).save(was)
    shutil.copytree(before, tmp_path / "start")
    found: list[tuple[bool, dict[str, bytes | str | None]]] = []

    def note(name: str, args: tuple[Any, ...], result: Any) -> None:
        power.after(name, args, result)
        found.extend((False, state) for state in power.states())

    with before_each(lambda *_: None, note):
        Home(before).save(now)
    found += [(True, state) for state in power.states()]
    for n, (acknowledged, state) in enumerate(found):
        after = tmp_path / str(n)
        shutil.copytree(tmp_path / "start", after)
        leave(state, before, after)
        assert Home(after).settings() in ([now] if acknowledged else [was, now])


def stray(root: Path) -> set[str]:
    """Name the data files and files aside that no version of the table knows."""
    table = Tables(root).path("a/t")
    known = "".join(f.read_text() for f in (table / "_delta_log").glob("*.json"))
    files = {f.name for f in (*table.glob("*/part-*.parquet"), *table.rglob("*.tmp"))}
    return {name for name in files if name not in known}


@pytest.mark.parametrize("apart", [False, True], ids=["the same partition", "two partitions"])
def test_two_writers_at_once(tmp_path: Path, apart: bool) -> None:
    """Fifty times: of one partition one result, equal to a single run's; of two, both."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    codes = in_processes(
        replace_by_turns, (tmp_path, barrier, 0, apart), (tmp_path, barrier, 1, apart)
    )
    assert codes == [0, 0]
    assert not stray(tmp_path)
    assert Tables(tmp_path).version("a/t") == (100 if apart else 50)


def test_a_range_is_replaced_at_once(tmp_path: Path) -> None:
    """What other partitions hold stays; the same again writes nothing; days without rows go."""
    tables = Tables(tmp_path)
    write_old(tmp_path)
    assert not tables.replace("a/t", old().reverse(), SCHEMA, DAY, NEXT)
    assert tables.version("a/t") == 1
    assert tables.replace("a/t", rows(5, day=NEXT), SCHEMA, NEXT, NEXT)
    assert held(tmp_path)["n"].to_list() == [1, 2, 5]
    assert tables.replace("a/t", rows(6, day=NEXT), SCHEMA, DAY, NEXT)
    assert held(tmp_path)["n"].to_list() == [6]
    assert pl.read_delta(str(tables.path("a/t")), version=1).sort("n").equals(old())


def test_a_day_without_rows_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    """It is a partition, once, through checkpoints and rewrites, until rows stand there."""
    tables, kept = Tables(tmp_path), {"keep_empty": True}
    now = SCHEMA | {"n": pl.Float64()}
    delta_log.CHECKPOINT_EVERY = 1
    assert tables.replace("a/t", rows(), SCHEMA, DAY, DAY, **kept)
    assert not tables.replace("a/t", rows(), SCHEMA, DAY, DAY, **kept)
    assert tables.replace("a/t", rows(1), SCHEMA, DAY, NEXT, **kept)
    assert not tables.replace("a/t", rows(1), SCHEMA, DAY, NEXT, **kept)
    assert tables.evolve("a/t", now)
    assert tables.days("a/t") == [DAY, NEXT]
    assert tables.read("a/t", now).collect()["n"].to_list() == [1.0]
    assert tables.count_days("a/t", DAY, NEXT) == {DAY: 1}
    two = rows(2, day=NEXT).cast({"n": pl.Float64})
    assert tables.replace("a/t", two, now, NEXT, NEXT)
    assert len(active(tmp_path)) == len(tables.days("a/t")) == 2
    assert tables.replace("a/t", two, now, DAY, NEXT)
    assert tables.days("a/t") == [NEXT]


def test_columns_are_added_and_types_kept(tmp_path: Path) -> None:
    """A new column is null in older files, through checkpoints too; another type is refused."""
    tables = Tables(tmp_path)
    write_old(tmp_path)
    wider = SCHEMA | {"x": pl.Float64()}
    delta_log.CHECKPOINT_EVERY = 1
    frame = rows(9, day=NEXT).with_columns(x=pl.lit(0.5))
    assert tables.replace("a/t", frame, wider, NEXT, NEXT)
    assert tables.read("a/t", wider).sort("n").collect()["x"].to_list() == [None, None, 0.5]
    assert pl.read_delta(str(tables.path("a/t"))).columns == list(wider)
    other = SCHEMA | {"n": pl.Int32()}
    with pytest.raises(FlywheelError, match="n as it is stored, Int64"):
        tables.replace("a/t", rows(1).cast({"n": pl.Int32}), other, DAY, DAY)


def test_a_damaged_partition_can_be_written_again(tmp_path: Path) -> None:
    """The same rows over a changed, an empty and a missing file are written, not skipped."""
    write_old(tmp_path)
    for damage in ("changed", "empty", "missing"):
        file = tmp_path / "a/t" / active(tmp_path)[0]
        content = file.read_bytes()
        file.unlink()
        if damage != "missing":
            file.write_bytes(b"" if damage == "empty" else content[:-1] + b"?")
        assert Tables(tmp_path).replace("a/t", old(), SCHEMA, DAY, NEXT)
        assert held(tmp_path).equals(old())


def active(root: Path) -> list[str]:
    actions = DeltaTable(str(Tables(root).path("a/t"))).get_add_actions()
    return list(pl.DataFrame(actions)["path"])


def test_checkpoints_sum_the_log(tmp_path: Path) -> None:
    """Every fifty versions: what a reader finds is the same with and without them; two are kept."""
    for n in range(155):
        Tables(tmp_path).replace("a/t", rows(n), SCHEMA, DAY, DAY)
    log = Tables(tmp_path).path("a/t") / "_delta_log"
    assert list(delta_log.checkpoints(log)) == [100, 150]
    with_them = held(tmp_path)
    for file in (*log.glob("*.checkpoint.parquet"), log / "_last_checkpoint"):
        file.unlink()
    assert with_them.equals(held(tmp_path))
    assert with_them["n"].to_list() == [154]


def test_what_made_a_day_outlasts_a_torn_line(tmp_path: Path) -> None:
    """The day of the torn line is made again, and what is said of it then stands."""
    kept = Declared(tmp_path)
    meant = Meaning(columns={"n": "1"})
    for day in (DAY, NEXT):
        kept.record("a/t", day, day, meant)
    file = tmp_path / "a.t.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert [(e.first, e.last) for e in kept.epochs("a/t")] == [(DAY, DAY)]
    kept.record("a/t", NEXT, NEXT, meant)
    assert [(e.first, e.last) for e in kept.epochs("a/t")] == [(DAY, NEXT)]


@pytest.mark.parametrize("left", [None, b"", b"{", b'{"of a later release": {}}'])
def test_of_what_is_not_kept_any_more_nothing_is_known(tmp_path: Path, left: bytes | None) -> None:
    """What a day was made by is gone or damaged: a plan makes the day again."""
    kept, meant = Declared(tmp_path), Meaning(columns={"n": "1"})
    kept.record("a/t", DAY, DAY, meant)
    [file] = (tmp_path / "meanings").iterdir()
    file.unlink() if left is None else file.write_bytes(left)
    [epoch] = kept.epochs("a/t")
    assert epoch.meaning == Meaning(columns={})
