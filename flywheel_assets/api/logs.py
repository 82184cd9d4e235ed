"""Log lines as JSON: what was asked of which route, and how it went; never what was sent."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.types import Scope

_FIELDS = (
    "method",
    "route",
    "status",
    "milliseconds",
    "records",
    "flywheel",
    "version",
    "decisions",
    "error",
    "at",
)
_REFUSED = 400
_FAILED = 500


class Lines(logging.Formatter):
    """Writes a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the message and the fields that we know; no others."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {f: getattr(record, f) for f in _FIELDS if hasattr(record, f)}
        return msgspec.json.encode(line).decode()


def configure() -> None:
    """Write our lines, and the server's, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in ("flywheel.api", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


def request(log: logging.Logger, scope: Scope, route: str, status: int, seconds: float) -> None:
    """Log a request by its route, not its path: that names an entity.

    What went well is in the metrics, and a line at debug level only: lines for all requests took
    a third of the throughput of single observations.
    """
    level = logging.DEBUG
    if status >= _REFUSED:
        level = logging.ERROR if status == _FAILED else logging.WARNING
    if not log.isEnabledFor(level):
        return
    fields = {
        "method": scope["method"],
        "route": route,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
    }
    records = scope.get("state", {}).get("records")
    log.log(level, "request", extra=fields if records is None else fields | {"records": records})
