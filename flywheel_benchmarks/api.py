"""What the API costs beside servers that do less: ``python -m flywheel_benchmarks.api``.

A part of it by name: ``batches``, ``singles``, ``decisions``.

Each server is one process, the client another, on the same two cores. Servers take turns, so that
a noisy minute falls on all of them; the middle of the rounds counts.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables
from flywheel_benchmarks.api_load import LENGTH

SERVERS = ("ours", "grouped", "bare", "fastapi")
ROUNDS, BATCHES, SINGLES, LOOKUPS, ENTITIES = 3, 1_000, 20_000, 20_000, 1_000_000
DAY = date(2026, 1, 31)
BAR, P99_MS, MEMORY_MIB, SWAP_SECONDS = 0.7, 5.0, 1024, 5.0


def main() -> None:
    """Measure all of it, or what is named, and print each number beside its bar."""
    parts = sys.argv[1:] or ["batches", "singles", "decisions"]
    with tempfile.TemporaryDirectory() as folder:
        if "batches" in parts:
            _throughput(Path(folder), "batches of 100, 8 connections", BATCHES, 100, 8)
        if "singles" in parts:
            _throughput(Path(folder), "single observations, 64 connections", SINGLES, 1, 64)
        if "decisions" in parts:
            _decisions(Path(folder))


def _throughput(folder: Path, title: str, requests: int, size: int, connections: int) -> None:
    body = folder / "requests"
    _write(body, [_post(_records(size, n)) for n in range(requests)])
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    for _ in range(ROUNDS):
        for name in SERVERS:
            with _server(name, folder / "home") as (port, _):
                found = _load(port, connections, body)
                rates[name].append(requests * size / found["seconds"])
    middle = {name: median(found) for name, found in rates.items()}
    best = max(middle["bare"], middle["grouped"])
    _say(f"\n{title}: observations a second, each on disk before its answer")
    for name in SERVERS:
        _say(f"  {name:8} {middle[name]:>10,.0f}   {middle['ours'] / middle[name]:.2f}x is ours")
    _verdict("ours / the faster without validation", middle["ours"] / best, BAR, above=True)
    _verdict("ours / FastAPI + pydantic", middle["ours"] / middle["fastapi"], 1.0, above=True)


def _decisions(folder: Path) -> None:
    home = Home(folder / "served")
    _publish(home, DAY)
    rng = np.random.default_rng(7)
    asked = folder / "lookups"
    _write(asked, [_get(int(n)) for n in rng.integers(ENTITIES, size=LOOKUPS)])
    with _server("ours", home.root, keep=True) as (port, process):
        _load(port, 1, asked)
        one, many = _load(port, 1, asked), _load(port, 16, asked)
        published = time.perf_counter()
        _publish(home, DAY + timedelta(days=1))
        committed = time.perf_counter()
        while _served(port) == DAY:
            time.sleep(0.02)
        swapped = time.perf_counter() - committed
        peak = _peak_mib(process)
    _say(f"\ndecisions of {ENTITIES:,} entities (writing them took {committed - published:.1f} s)")
    _verdict("p99 of a look-up, one connection, ms", one["p99"], P99_MS, above=False)
    _say(
        f"  p50 {one['p50']:.2f} ms, p99.9 {one['p99.9']:.2f} ms; with 16 connections p99 "
        f"{many['p99']:.2f} ms at {LOOKUPS / many['seconds']:,.0f} a second"
    )
    _verdict("peak memory over a swap, MiB", peak, MEMORY_MIB, above=False)
    _verdict("commit to served, seconds", swapped, SWAP_SECONDS, above=False)


def _records(size: int, request: int) -> Any:
    records = [
        {
            "kind": "order_line",
            "observation_id": f"till-7:{request:08d}:{n:03d}",
            "event_time": "2026-01-31T12:00:00Z",
            "entity": {"customer_id": 10_000 + n},
            "payload": {
                "invoice": str(536_365 + request),
                "stock_code": "85123A",
                "description": "WHITE HANGING HEART T-LIGHT HOLDER",
                "quantity": 1 + n % 12,
                "unit_price": 2.55,
                "country": "United Kingdom",
                "channel": "web",
            },
        }
        for n in range(size)
    ]
    return records if size > 1 else records[0]


def _post(content: Any) -> bytes:
    body = json.dumps(content).encode()
    head = (
        "POST /observations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _get(customer: int) -> bytes:
    return f"GET /get_contact/{customer} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def _write(path: Path, requests: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(LENGTH.pack(len(r)) + r for r in requests))


@contextmanager
def _server(
    name: str, root: Path, *, keep: bool = False
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    if not keep:
        shutil.rmtree(root, ignore_errors=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603  our own command
        [sys.executable, "-m", "flywheel_benchmarks.api_servers", name, str(root), str(port)],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port, process)
        yield port, process
    finally:
        process.terminate()
        process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server did not start")


def _load(port: int, connections: int, requests: Path) -> dict[str, Any]:
    orders = {"port": port, "connections": connections, "requests": str(requests)}
    done = subprocess.run(
        [sys.executable, "-m", "flywheel_benchmarks.api_load"],
        input=json.dumps(orders).encode(),
        capture_output=True,
        check=True,
        timeout=300,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if found["failed"]:
        raise SystemExit(f"{found['failed']} answers were not 2xx, for example {found['example']}")
    return found


def _publish(home: Home, day: date) -> None:
    ids = np.arange(ENTITIES)
    decided = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    text = pl.Series("entity_id", ids).cast(pl.String)
    frame = pl.DataFrame({"customer_id": ids, "entity_id": text}).with_columns(
        pl.lit(day).alias(PARTITION),
        pl.concat_str(pl.lit(f"repurchase:{day}:"), "entity_id").alias("decision_id"),
        pl.lit("repurchase").alias("flywheel"),
        pl.lit(decided).cast(pl.Datetime("us", "UTC")).alias("decided_at"),
        pl.when(pl.col("customer_id") % 5 == 0)
        .then(pl.lit("contact"))
        .otherwise(pl.lit("hold"))
        .alias("action"),
        (1.0 / (1.0 + pl.col("customer_id"))).alias("score"),
        (pl.col("customer_id") + 1).alias("rank"),
        pl.lit(1.0).alias("propensity"),
        pl.lit(value=False).alias("explored"),
        pl.lit(3, dtype=pl.Int64).alias("model_version"),
    )
    schema = decision_schema(repurchase)
    Tables(home.lakehouse).replace("repurchase/decisions", frame.select(*schema), schema, day, day)


def _served(port: int) -> date:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/get_contact/77") as answer:
        return date.fromisoformat(json.load(answer)["partition_date"])


def _peak_mib(process: "subprocess.Popen[bytes]") -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _verdict(what: str, found: float, bar: float, *, above: bool) -> None:
    met = found >= bar if above else found <= bar
    sign = "at least" if above else "at most"
    _say(f"  {'met   ' if met else 'MISSED'} {what}: {found:.2f} ({sign} {bar:g})")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
