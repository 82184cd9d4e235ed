"""From bodies to answers: what the service and the client in process do alike."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

import msgspec

from flywheel_assets.api.faults import Fault
from flywheel_assets.api.limits import MAX_RECORDS
from flywheel_assets.api.records import MalformedError, Parsed, Reader, Refused
from flywheel_assets.declare.rules import OTHER_CONTENT
from flywheel_assets.stores.inbox import Receipt, Received, Rejected

Status = Literal["accepted", "duplicate", "conflict", "rejected"]
CONFLICT = f"received before {OTHER_CONTENT}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Answer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What became of one record.

    Parameters
    ----------
    index : int
        Which record of the request, from 0.
    status : str
        accepted: on disk now. duplicate: was there already, and counts once. conflict: another
        record has its id. rejected: breaks the contract, see ``errors``.
    known_at : str
        When the record, or the one that has its id, was first received.
    """

    index: int
    status: Status
    observation_id: str | None = None
    known_at: str | None = None
    errors: Sequence[Fault] | None = None


class Answers(msgspec.Struct, kw_only=True):
    """What became of all records of a request, in their order."""

    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    results: list[Answer]


class TooManyError(Exception):
    """More records in one request than are taken."""


def is_single(body: bytes) -> bool:
    """Say whether a JSON body is one object; an array otherwise.

    Raises
    ------
    MalformedError
        For a body that is neither.
    """
    start = body.lstrip(b" \t\r\n")[:1]
    if start not in {b"{", b"["}:
        raise MalformedError("expected a JSON object or an array of them")
    return start == b"{"


def parse(reader: Reader, body: bytes, *, lines: bool) -> list[Parsed]:
    """Read a body's records.

    Raises
    ------
    MalformedError
        Where not even the records can be told apart.
    TooManyError
        For more than `MAX_RECORDS`.
    """
    if lines:
        if body.count(b"\n") > 2 * MAX_RECORDS:
            raise TooManyError
        found = reader.lines(body)
    elif is_single(body):
        return [reader.one(body)]
    else:
        found = reader.array(body)
    if len(found) > MAX_RECORDS:
        raise TooManyError
    return found


def received_of(parsed: Sequence[Parsed]) -> list[Received]:
    """Keep what goes into the inbox."""
    return [p for p in parsed if type(p) is Received]


def answer(parsed: Sequence[Parsed], receipts: Sequence[Receipt]) -> list[Answer]:
    """Say what became of each record; ``receipts`` are of those received, in order."""
    receipt, answers = iter(receipts), []
    for index, record in enumerate(parsed):
        if isinstance(record, Refused):
            answers.append(Answer(index=index, status="rejected", errors=_placed(record, index)))
            continue
        status, known_at = next(receipt)
        conflict = [Fault(f"$[{index}].observation_id", CONFLICT)] if status == "conflict" else None
        answers.append(
            Answer(
                index=index,
                status=status,
                observation_id=record.observation_id,
                known_at=_written(known_at),
                errors=conflict,
            )
        )
    return answers


def summary(answers: list[Answer]) -> Answers:
    """Count answers by what they say."""
    counts: dict[str, int] = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0}
    for a in answers:
        counts[a.status] += 1
    return Answers(**counts, results=answers)


def rejects(parsed: Sequence[Parsed], answers: Sequence[Answer]) -> list[Rejected]:
    """List what is kept as rejected: what broke the contract, and what conflicted."""
    found = []
    for record, said in zip(parsed, answers, strict=True):
        if isinstance(record, Refused):
            found.append(Rejected(record.kind, record.reason, record.raw))
        elif said.status == "conflict":
            found.append(Rejected(record.kind, f"$.observation_id: {CONFLICT}", record.record))
    return found


def _placed(record: Refused, index: int) -> list[Fault]:
    return [Fault(f"$[{index}]{f.path[1:]}", f.reason) for f in record.faults]


@lru_cache(maxsize=64)
def _written(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
