"""A service that is killed under load, and a client that sends again: over real HTTP."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flywheel_assets.api.client import Remote
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.errors import ApiError
from flywheel_assets.flywheels.repurchase import order_line
from flywheel_assets.stores.home import Home, Settings
from flywheel_tests.conftest import contents
from flywheel_tests.serving import record, up, wait

KILLS = int(os.environ.get("FLYWHEEL_TEST_KILLS", "3"))
DAY = timedelta(days=1)
BATCH = 50
# Serves as `flywheel api` does, three days ago, so that what it received can be collected now.
SERVER = """
import sys
from flywheel_assets.api.service import serve
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.stores.home import current_home
from flywheel_assets.stores.inbox import DAY_US, Inbox, now_us
Inbox.__init__.__kwdefaults__["clock"] = lambda: now_us() - 3 * DAY_US
serve(current_home(), FLYWHEELS, port=int(sys.argv[1]))
"""


class Shop(threading.Thread):
    """Logs orders until told to stop, each batch again and again until it is acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self._api = url, Remote(url, timeout_seconds=5)
        self.acknowledged, self.stopped = 0, threading.Event()

    def run(self) -> None:
        """Send batches."""
        while not self.stopped.is_set():
            numbers = range(self.acknowledged, self.acknowledged + BATCH)
            records = [record(number, event_time=_happened()) for number in numbers]
            while True:
                try:
                    said = self._api.log_observations(records)
                except ApiError:
                    time.sleep(0.05)
                    continue
                assert {s.status for s in said} <= {"accepted", "duplicate"}
                break
            self.acknowledged += BATCH


def _happened() -> str:
    return (datetime.now(UTC) - 4 * DAY).replace(microsecond=0, second=0, minute=0).isoformat()


@pytest.mark.parametrize("kills", [KILLS])
def test_a_killed_service_loses_and_doubles_nothing(tmp_path: Path, kills: int) -> None:
    """What was acknowledged is a fact once, whatever was sent again after SIGKILLs under load."""
    home, chance = Home(tmp_path), random.Random(0)  # noqa: S311  a repeatable choice, no secret
    first = datetime.now(UTC).date() - 5 * DAY
    settings = Settings(start=first, demo=True)  # no files beside what is logged
    home.save(settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVER, str(port)]
    environment = os.environ | {
        "FLYWHEEL_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    url, log = f"http://127.0.0.1:{port}", (tmp_path / "log").open("wb")
    shop = Shop(url)
    for round_ in range(kills + 1):
        server = subprocess.Popen(command, env=environment, stderr=log)
        wait(lambda: up(url))
        if round_ == 0:
            shop.start()
        before = shop.acknowledged
        wait(lambda before=before: shop.acknowledged > before)
        if round_ < kills:
            time.sleep(chance.uniform(0, 0.3))
            server.kill()
            server.wait()
    shop.stopped.set()
    shop.join(60)
    server.terminate()
    server.wait()
    log.close()
    assert not shop.is_alive()
    Collecting(order_line, home, settings).collect(first, first + 3 * DAY)
    ids = contents(tmp_path)["collect/order_line"]["observation_id"].to_list()
    assert sorted(ids) == sorted(f"till:{n}" for n in range(shop.acknowledged))
    assert shop.acknowledged > kills * BATCH
