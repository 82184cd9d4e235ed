"""Request bodies: read up to a size, within a time, and within what all may hold together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from flywheel_assets.api.limits import MAX_BODY, Budget
from flywheel_assets.api.problems import ProblemError

_SECONDS = 30


@asynccontextmanager
async def body_of(request: Request, budget: Budget) -> AsyncIterator[bytes]:
    """Read a request's body; what it takes is given back when the block ends.

    Raises
    ------
    ProblemError
        413 beyond `MAX_BODY`, at once where the request says its length; 503 where all requests
        together hold too much; 400 for a sender that is too slow or goes away.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:19]) > MAX_BODY:
        raise _too_large()
    chunks: list[bytes] = []
    held = 0
    try:
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                if held + len(chunk) > MAX_BODY:
                    raise _too_large()
                if not budget.take(len(chunk)):
                    raise ProblemError(503, "too many large requests at once: send it again later")
                held += len(chunk)
                chunks.append(chunk)
        yield b"".join(chunks)
    except TimeoutError:
        raise ProblemError(400, f"expected the whole body within {_SECONDS} seconds") from None
    except ClientDisconnect:
        raise ProblemError(400, "the sender went away before the body ended") from None
    finally:
        budget.give(held)


def _too_large() -> ProblemError:
    return ProblemError(413, f"expected a body of at most {MAX_BODY} bytes: send less at a time")
