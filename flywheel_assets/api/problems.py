"""Errors as RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from flywheel_assets.api.faults import Fault
from flywheel_assets.api.limits import RETRY_AFTER_SECONDS

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Not readable",
    401: "No valid API key",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    421: "Wrong host",
    422: "Not valid",
    429: "Too many",
    500: "Internal error",
    503: "Not now",
    507: "No room on the disk",
}


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What the caller is told.

    Parameters
    ----------
    title : str
        The same for the same status.
    detail : str
        What was expected, what was found, what to do.
    errors : sequence of Fault
        By field, where fields are to blame.
    """

    status: int
    title: str
    detail: str
    errors: Sequence[Fault] | None = None
    observation_id: str | None = None
    known_at: str | None = None


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self, status: int, detail: str, *, retry_after: float | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(status=status, title=TITLES[status], detail=detail, **more)
        self.retry_after = retry_after


def response(error: ProblemError) -> Response:
    """Write a problem as an answer."""
    status = error.problem.status
    headers: dict[str, str] = {}
    if status in {429, 503}:
        wait = RETRY_AFTER_SECONDS if error.retry_after is None else error.retry_after
        headers["Retry-After"] = str(max(1, int(wait + 0.999)))
    if status == 401:  # noqa: PLR2004  the status is its own name
        headers["WWW-Authenticate"] = 'Bearer realm="flywheel"'
    return json_response(error.problem, status, headers=headers, media_type=MEDIA_TYPE)


def json_response(
    content: Any,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """Write a value as JSON."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, headers=headers, media_type=media_type)
