"""``POST /observations``: what happened, validated, on disk before the answer."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import Response

from flywheel_assets.api.access import Access
from flywheel_assets.api.body import body_of, headers_of, media_type
from flywheel_assets.api.faults import Fault
from flywheel_assets.api.intake import (
    CONFLICT,
    Answer,
    TooManyError,
    answer,
    is_single,
    parse,
    received_of,
    rejects,
    summary,
)
from flywheel_assets.api.limits import MAX_RECORDS, Budget
from flywheel_assets.api.metrics import Metrics
from flywheel_assets.api.problems import ProblemError, json_response
from flywheel_assets.api.records import MalformedError, Parsed, Reader
from flywheel_assets.api.writer import Writer
from flywheel_assets.errors import InboxError, InboxFullError

JSON, LINES = "application/json", "application/x-ndjson"
_LARGE = 256 * 1024
"""Bodies from this size on are read beside the event loop, one at a time."""


class Observations:
    """Takes observations in."""

    def __init__(
        self, reader: Reader, writer: Writer, access: Access, metrics: Metrics, budget: Budget
    ) -> None:
        self._reader, self._writer, self._access = reader, writer, access
        self._metrics, self._budget = metrics, budget
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="parse")

    async def post(self, request: Request) -> Response:
        """Receive one record (a JSON object) or several (a JSON array, or one on each line)."""
        headers = headers_of(request)
        caller = self._access.caller(headers, "write")
        lines = _is_lines(headers)
        async with body_of(request, headers, self._budget) as body:
            try:
                one = not lines and is_single(body)
                parsed = await self._parse(body, lines=lines)
            except MalformedError as error:
                raise ProblemError(400, str(error)) from None
            except TooManyError:
                raise ProblemError(
                    413, f"expected at most {MAX_RECORDS} records in a request"
                ) from None
            received = received_of(parsed)
            self._access.check_kinds(caller, {p.kind for p in parsed if p.kind is not None})
            self._access.spend(caller, len(parsed))
            try:
                receipts = await self._writer.put(received) if received else []
                answers = answer(parsed, receipts)
                if any(a.errors for a in answers):
                    await self._writer.reject(rejects(parsed, answers))
            except InboxFullError as error:
                raise ProblemError(507, str(error)) from None
            except InboxError as error:  # busy; or broken, which is the owner's to mend
                raise ProblemError(503, str(error)) from None
        request.state.records = len(parsed)
        self._count(parsed, answers)
        return _single(answers[0]) if one else _several(answers)

    def close(self) -> None:
        """Wait for what is under way, and let the inbox go."""
        self._beside.shutdown(wait=True)
        self._writer.close()

    async def _parse(self, body: bytes, *, lines: bool) -> list[Parsed]:
        if len(body) < _LARGE:
            return parse(self._reader, body, lines=lines)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._beside, lambda: parse(self._reader, body, lines=lines)
        )

    def _count(self, parsed: Sequence[Parsed], answers: Sequence[Answer]) -> None:
        counts: dict[tuple[str | None, str], int] = {}
        for record, said in zip(parsed, answers, strict=True):
            key = (record.kind, said.status)
            counts[key] = counts.get(key, 0) + 1
        for (kind, status), amount in counts.items():
            self._metrics.received(kind, status, amount)


def _is_lines(headers: dict[bytes, bytes]) -> bool:
    # A web page cannot send these types to another site without asking first, which is refused.
    kind = media_type(headers)
    if kind not in {JSON, LINES}:
        raise ProblemError(415, f"expected Content-Type {JSON} or {LINES}")
    return kind == LINES


def _single(said: Answer) -> Response:
    if said.status == "rejected":
        errors = [Fault(f"${f.path.removeprefix('$[0]')}", f.reason) for f in said.errors or ()]
        raise ProblemError(422, "the record breaks its contract", errors=errors)
    if said.status == "conflict":
        raise ProblemError(
            409,
            f"observation_id: {CONFLICT}; send a correction, or another id",
            observation_id=said.observation_id,
            known_at=said.known_at,
        )
    return json_response(said, 201 if said.status == "accepted" else 200)


def _several(answers: list[Answer]) -> Response:
    told = summary(answers)
    return json_response(told, 207 if told.rejected or told.conflict else 200)
