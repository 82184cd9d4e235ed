"""Records as lines of JSON: how the client sends them, as many at a time as the service takes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import msgspec

from flywheel_assets.api.intake import Answer
from flywheel_assets.api.limits import MAX_BODY, MAX_RECORDS
from flywheel_assets.errors import ApiError


def bodies(records: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Join records, a line each, to bodies that the service takes; with the first one's number."""
    lines: list[bytes] = []
    size = start = 0
    for line in records:
        if lines and (len(lines) == MAX_RECORDS or size + len(line) + 1 > MAX_BODY):
            yield start, b"\n".join(lines)
            start, size = start + len(lines), 0
            lines = []
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield start, b"\n".join(lines)


def encode(value: Any) -> bytes:
    """Write a value as JSON, times as text.

    Raises
    ------
    ApiError
        For what JSON cannot hold.
    """
    # Not msgspec: it would write NaN as null. Here it stays, and the record is rejected for it.
    try:
        return json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ApiError(
            expected="values that JSON can hold: text, numbers, booleans, times",
            found=str(error),
            remedy="convert them",
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, date):  # and so a datetime
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):  # a number of NumPy's
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def moved(said: Answer, start: int) -> Answer:
    """Give an answer the record's number among all, not that in its request."""
    if not start:
        return said
    errors = said.errors and [
        msgspec.structs.replace(
            f, path=f.path.replace(f"$[{said.index}]", f"$[{said.index + start}]", 1)
        )
        for f in said.errors
    ]
    return msgspec.structs.replace(said, index=said.index + start, errors=errors)
