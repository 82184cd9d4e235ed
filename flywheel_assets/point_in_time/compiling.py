"""Saying so while loops are compiled, which happens once on a machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_OURS = "flywheel_assets."
log = logging.getLogger("flywheel_assets")


@contextmanager
def announced() -> Iterator[None]:
    """Log the name of each loop that is compiled meanwhile; loops already on disk are loaded."""
    import flywheel_assets.point_in_time.kernels  # noqa: F401  the one place that imports numba

    from numba.core import event  # isort: skip

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            loop = event.data["dispatcher"]
            if loop.targetoptions.get("nogil") and loop.py_func.__module__.startswith(_OURS):
                log.info("compiling %s for this machine, once", loop.py_func.__name__)

        def on_end(self, event: Any) -> None:
            """Say nothing more."""

    with event.install_listener("numba:compile", Listener()):
        yield
