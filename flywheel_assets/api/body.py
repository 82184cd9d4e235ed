"""Request bodies: read up to a size, within a time, and within what all may hold together."""

import asyncio
from types import TracebackType

from starlette.requests import Request

from flywheel_assets.api.limits import MAX_BODY, Budget
from flywheel_assets.api.problems import ProblemError

_SECONDS = 30


def headers_of(request: Request) -> dict[bytes, bytes]:
    """Give a request's headers, names in lower case."""
    return dict(request.scope["headers"])


def media_type(headers: dict[bytes, bytes]) -> str:
    """Give what a body is said to be, without its parameters."""
    said = headers.get(b"content-type", b"").partition(b";")[0]
    return said.strip().lower().decode("latin-1")


class body_of:  # noqa: N801  reads as the function that it stands for
    """Read a request's body; what it takes is given back when the block ends.

    Raises
    ------
    ProblemError
        413 beyond `MAX_BODY`, at once where the request says its length; 503 where all requests
        together hold too much; 400 for a sender that is too slow or goes away.
    """

    def __init__(self, request: Request, headers: dict[bytes, bytes], budget: Budget) -> None:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:19]) > MAX_BODY:
            raise _too_large()
        self._request, self._budget = request, budget
        self._chunks: list[bytes] = []
        self._held = 0

    async def __aenter__(self) -> bytes:
        """Read it."""
        try:
            if await self._more():  # who has sent nothing yet holds nothing: no hurry
                async with asyncio.timeout(_SECONDS):
                    while await self._more():
                        pass
        except TimeoutError:
            self._give_back()
            raise ProblemError(400, f"expected the body within {_SECONDS} seconds") from None
        except BaseException:
            self._give_back()
            raise
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back what it took."""
        self._give_back()

    async def _more(self) -> bool:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(400, "the sender went away before the body ended")
        chunk = message.get("body", b"")
        if self._held + len(chunk) > MAX_BODY:
            raise _too_large()
        if not self._budget.take(len(chunk)):
            raise ProblemError(503, "too many large requests at once: send it again later")
        self._held += len(chunk)
        self._chunks.append(chunk)
        return bool(message.get("more_body", False))

    def _give_back(self) -> None:
        self._budget.give(self._held)
        self._held = 0


def _too_large() -> ProblemError:
    return ProblemError(413, f"expected a body of at most {MAX_BODY} bytes: send less at a time")
