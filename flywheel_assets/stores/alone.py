"""One command at a time turns the wheel of a home; whoever reads it, and Dagster's runs, may."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from flywheel_assets.errors import HomeError
from flywheel_assets.stores.home import Home

LOCK = ".turning.lock"


@contextmanager
def alone(home: Home, command: str) -> Iterator[None]:
    """Be the only one that turns the wheel of a home; others are refused at once.

    Parameters
    ----------
    command : str
        What others are told of it.

    Raises
    ------
    HomeError
        While another process does, naming it; for a home that cannot be written.
    """
    try:
        home.root.mkdir(parents=True, exist_ok=True)
        file = (home.root / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise home.unwritable(error) from error
    with file:
        try:
            # The lock goes with its process, however that ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise HomeError(
                expected=f"nobody else at work in {home.root}",
                found=file.read() or "another process",
                remedy="wait until it ends, or end it: what it wrote stays",
            ) from None
        file.truncate(0)
        now = datetime.now(UTC).isoformat(" ", "seconds")
        file.write(f"`{command}`, process {os.getpid()}, since {now}")
        file.flush()
        yield
