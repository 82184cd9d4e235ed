"""Writers for test_durable.py that run in processes of their own, and a hook on what they do.

Importing this must start no thread: the processes are forked from one that has imported it.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from flywheel_assets.stores import delta_log, disk
from flywheel_assets.stores.tables import Tables

SCHEMA: dict[str, Any] = {"partition_date": pl.Date(), "n": pl.Int64(), "s": pl.String()}
DAY = date(2026, 1, 31)
NEXT = DAY + timedelta(days=1)
CHANGING = ("open", "write", "fsync", "link", "replace", "unlink", "mkdir")
"""Every call by which the store changes a disk; it makes them through `os` in stores/disk.py."""


def rows(*values: int, day: date = DAY) -> pl.DataFrame:
    data = [{"partition_date": day, "n": v, "s": f"é{v}"} for v in values]
    return pl.DataFrame(data, schema=SCHEMA)


def old() -> pl.DataFrame:
    return pl.concat([rows(1, 2), rows(3, day=NEXT)])


def new() -> pl.DataFrame:
    return pl.concat([rows(4, 5, 6), rows(7, day=NEXT)])


def write_old(root: Path) -> None:
    Tables(root).replace("a/t", old(), SCHEMA, DAY, NEXT)


def write_new(root: Path, checkpoint_every: int = 50) -> None:
    delta_log.CHECKPOINT_EVERY = checkpoint_every
    Tables(root).replace("a/t", new(), SCHEMA, DAY, NEXT)


def write_new_and_checkpoint(root: Path) -> None:
    write_new(root, checkpoint_every=1)


def held(root: Path) -> pl.DataFrame:
    return Tables(root).read("a/t", SCHEMA).collect().sort("n")


@contextmanager
def before_each(
    hook: Callable[[str, int, tuple[Any, ...]], None],
    after: Callable[[str, tuple[Any, ...], Any], None] = lambda *_: None,
) -> Iterator[None]:
    """Call a hook before the store changes a disk: the name, how many came before, arguments.

    And another after each call that succeeded: the name, arguments, result.
    """
    real = {name: getattr(os, name) for name in CHANGING}
    count = 0

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal count
            count += 1
            hook(name, count - 1, args)
            result = real[name](*args)
            after(name, args, result)
            return result

        return call

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return wrapped(name) if name in real else getattr(os, name)

    vars(disk)["os"] = Watched()
    try:
        yield
    finally:
        vars(disk)["os"] = os


def die_before(action: Callable[[Path], None], root: Path, n: int) -> None:
    def hook(_: str, count: int, __: tuple[Any, ...]) -> None:
        if count == n:
            os.kill(os.getpid(), signal.SIGKILL)

    with before_each(hook):
        action(root)


def replace_by_turns(root: Path, barrier: Any, which: int, apart: bool) -> None:
    for turn in range(50):
        day = DAY + which * timedelta(days=1) if apart else DAY
        barrier.wait(60)
        Tables(root).replace("a/t", rows(turn, turn + 1, day=day), SCHEMA, day, day)
        barrier.wait(60)
        if which == 0:
            expected = rows(turn, turn + 1)
            if apart:
                expected = pl.concat([expected, rows(turn, turn + 1, day=NEXT)])
            assert held(root).sort("partition_date", "n").equals(expected)
            assert DeltaTable(str(Tables(root).path("a/t"))).get_add_actions().num_rows == 1 + apart
        barrier.wait(60)


def main() -> None:
    """Die before the first call in the first root, the second in the second, and so on."""
    action = globals()[sys.argv[1]]
    for n, root in enumerate(sys.argv[2:]):
        child = os.fork()
        if child == 0:
            die_before(action, Path(root), n)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, f"call {n} was never made"


if __name__ == "__main__":
    main()
