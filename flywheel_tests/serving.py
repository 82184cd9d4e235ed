"""A service as a process of its own, and what tests ask of it over real HTTP."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import urllib3

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

JSON, LINES = "application/json", "application/x-ndjson"


DAY = date(2026, 1, 30)


POOL = urllib3.PoolManager(retries=False, timeout=30)


def record(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Write a sound record with an id of its own."""
    return {
        "kind": "order_line",
        "observation_id": f"till:{number}",
        "event_time": "2026-01-31T12:00:00Z",
        "entity": {"customer_id": number},
        "payload": {
            "invoice": "1",
            "stock_code": "A",
            "quantity": 2,
            "unit_price": 1.5,
            "country": "France",
        },
    } | changes


def command(home: Home, *arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command line on a home."""
    return subprocess.run(
        [sys.executable, "-m", "flywheel_assets.cli", *arguments],
        env=os.environ | {"FLYWHEEL_HOME": str(home.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


@contextmanager
def serving(home: Home, log: Path) -> Iterator[str]:
    """Serve a home in a process of its own; gives its url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "flywheel_assets.cli", "api", "--port", str(port)],
            env=os.environ | {"FLYWHEEL_HOME": str(home.root)},
            stderr=errors,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait(lambda: process.poll() is not None or up(url))
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {0, -signal.SIGTERM}


def up(url: str) -> bool:
    """Say whether a service answers."""
    try:
        return POOL.request("GET", f"{url}/healthz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def wait(done: Any, seconds: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def publish(home: Home, day: date, actions: dict[int, str]) -> None:
    """Publish decisions as the asset does."""
    ids = pl.Series("customer_id", list(actions), dtype=pl.Int64)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    schema = decision_schema(repurchase)
    frame = pl.DataFrame([ids, pl.Series("action", list(actions.values()))]).with_columns(
        pl.lit(day).alias(PARTITION),
        ids.cast(pl.String).alias("entity_id"),
        pl.format("repurchase:{}:{}", pl.lit(str(day)), ids).alias("decision_id"),
        pl.lit("repurchase").alias("flywheel"),
        pl.lit(midnight).cast(pl.Datetime("us", "UTC")).alias("decided_at"),
        (ids / 10).alias("score"),
        pl.int_range(1, len(actions) + 1, dtype=pl.Int64).alias("rank"),
        pl.lit(1.0).alias("propensity"),
        pl.lit(value=False).alias("explored"),
        pl.lit(None, dtype=pl.Int64).alias("model_version"),
    )
    Tables(home.lakehouse).replace("repurchase/decisions", frame.select(*schema), schema, day, day)


def post(url: str, content: Any, kind: str = JSON, **headers: str) -> tuple[int, Any]:
    """Send observations; gives the status and the answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = POOL.request(
        "POST", f"{url}/observations", body=body, headers={"Content-Type": kind} | headers
    )
    return answer.status, answer.json()


def get(url: str, path: str, **headers: str) -> tuple[int, Any]:
    """Read something."""
    answer = POOL.request("GET", f"{url}/{path}", headers=headers)
    return answer.status, answer.json()


def inbox(home: Home, query: str) -> list[Any]:
    """Look into the inbox from outside."""
    (path,) = (home.root / "inbox").glob("*.sqlite")
    with sqlite3.connect(path) as db:
        return db.execute(query).fetchall()
