"""A load client that costs little: requests written beforehand, raw sockets, answers counted.

Reads its orders as JSON on standard input: port, connections, and the file of requests, each with
its length before it. Prints seconds taken, answers that were not 2xx, and every latency's
quantiles in milliseconds.
"""

import asyncio
import json
import struct
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast

LENGTH = struct.Struct("<I")


class Connection(asyncio.Protocol):
    """Sends one request after another, each when the answer to the last is whole."""

    def __init__(self, todo: "deque[bytes]", latencies: list[float], failed: list[bytes]) -> None:
        self._todo, self._latencies, self._failed = todo, latencies, failed
        self._buffer, self._wanted, self._sent = b"", -1, 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take part of an answer."""
        self._buffer += data
        if self._wanted < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self._buffer.index(b"content-length: ") + 16
            self._wanted = end + 4 + int(self._buffer[at : self._buffer.index(b"\r\n", at)])
        if len(self._buffer) < self._wanted:
            return
        self._latencies.append(time.perf_counter() - self._sent)
        if not self._buffer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            self._failed.append(self._buffer[:400])
        self._buffer, self._wanted = b"", -1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server hung up"))

    def _send(self) -> None:
        if self._todo:
            self._sent = time.perf_counter()
            self._transport.write(self._todo.popleft())
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()


async def load(port: int, connections: int, todo: "deque[bytes]") -> dict[str, object]:
    """Send all requests, and say how it went."""
    latencies: list[float] = []
    failed: list[bytes] = []
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    made = [
        await loop.create_connection(lambda: Connection(todo, latencies, failed), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    seconds = time.perf_counter() - started
    latencies.sort()
    return {
        "seconds": seconds,
        "failed": len(failed),
        "example": failed[0].decode(errors="replace") if failed else "",
        **{
            f"p{q * 100:g}": 1000 * latencies[min(int(q * len(latencies)), len(latencies) - 1)]
            for q in (0.5, 0.99, 0.999)
        },
    }


def main() -> None:
    """Read the orders and carry them out."""
    import uvloop

    orders = json.load(sys.stdin)
    content = Path(orders["requests"]).read_bytes()
    todo: deque[bytes] = deque()
    at = 0
    while at < len(content):
        (length,) = LENGTH.unpack_from(content, at)
        todo.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    del content
    found = uvloop.run(load(orders["port"], orders["connections"], todo))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
