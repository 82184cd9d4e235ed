"""A real browser, and the pages that ``flywheel ui`` serves on a small project's home."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_S = 120
"""How long a page may take where other tests keep the cores busy."""


def flywheel(project: Path, *arguments: str) -> str:
    """Run the command line in a project, and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "flywheel_assets.cli", *arguments],
        cwd=project,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def served(project: Path, log: Path) -> Iterator[str]:
    """Serve a project's pages; gives Dagster's address."""
    ports = [_free_port(), _free_port()]
    command = ["ui", "--port", str(ports[0]), "--mlflow-port", str(ports[1])]
    with log.open("wb") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "flywheel_assets.cli", *command],
            cwd=project,
            env=_environment(),
            stdout=said,
            stderr=said,
        )
    try:
        url = f"http://127.0.0.1:{ports[0]}"
        _wait_for(url, server, log)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE_S) == 0, log.read_text()


def _environment() -> dict[str, str]:
    """Leave the home and the declarations to the project."""
    return {k: v for k, v in os.environ.items() if not k.startswith("FLYWHEEL_")}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    pool, until = urllib3.PoolManager(retries=False, timeout=5), time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        try:
            if pool.request("GET", f"{url}/server_info").status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(log.read_text())
