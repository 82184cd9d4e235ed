"""For test_forgetting_stores.py: forget somebody in a table, killed before each change to the disk.

Importing this must start no thread: the processes are forked from one that has imported it.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from flywheel_assets.stores.forgetting import tables
from flywheel_assets.stores.forgetting.sought import Sought
from flywheel_tests.durable_writers import die_before

TABLE = "a/t"
THEIRS = Sought({"n": "7310245"}, {"n": ["n"]})


def erase(root: Path) -> None:
    """Forget them."""
    folder = root / TABLE
    tables.erase(tables.look(folder, TABLE, THEIRS), THEIRS)
    tables.clean_log(folder, THEIRS)


def main() -> None:
    """Die before the first change in a first copy, before the second in a second, and so on."""
    whole, copies = map(Path, sys.argv[1:])
    status, n = signal.SIGKILL.value, 0
    while status == signal.SIGKILL:
        shutil.copytree(whole, copies / str(n))
        child = os.fork()
        if child == 0:
            die_before(erase, copies / str(n), n)
            os._exit(0)
        status, n = os.waitpid(child, 0)[1], n + 1
    assert status == 0


if __name__ == "__main__":
    main()
