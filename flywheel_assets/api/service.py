"""The service: routes, what every request passes through, and how it is served."""

import asyncio
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flywheel_assets.api import logs
from flywheel_assets.api.access import LOOPBACK, Access
from flywheel_assets.api.body import headers_of
from flywheel_assets.api.decisions import Decisions
from flywheel_assets.api.keys import KeyStore
from flywheel_assets.api.limits import MAX_BODIES, Budget
from flywheel_assets.api.metrics import MEDIA_TYPE, Metrics
from flywheel_assets.api.observations import Observations
from flywheel_assets.api.problems import ProblemError, json_response, response
from flywheel_assets.api.published import Published, refresh_logged, watch
from flywheel_assets.api.records import Reader
from flywheel_assets.api.schema import openapi
from flywheel_assets.api.writer import Writer
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import ApiError
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Inbox
from flywheel_assets.stores.tables import Tables

if TYPE_CHECKING:
    import uvicorn

DEFAULT_PORT = 8700
_CONNECTIONS = 4_000
_log = logging.getLogger("flywheel.api")


def application(home: Home, flywheels: Iterable[Flywheel], *, local: bool = True) -> ASGIApp:
    """Build the service on a home.

    Parameters
    ----------
    local : bool
        Whether it is served on loopback only.

    Raises
    ------
    ApiKeyError
        For a service off loopback without keys.
    """
    wheels = tuple(flywheels)
    access = Access(key_store(home), local=local)
    metrics, budget = Metrics(), Budget(MAX_BODIES)
    reader = Reader(catalog(wheels).observations)
    writer = Writer(lambda: Inbox(home.root / "inbox"))
    observations = Observations(reader, writer, access, metrics, budget)
    published = [Published(Tables(home.lakehouse), wheel) for wheel in wheels]
    decisions = Decisions(published, access, budget)
    document = openapi(reader, published)
    _gauges(metrics, writer, budget, published)

    async def healthz(_: Request) -> Response:
        return json_response({"status": "ok"})

    async def described(request: Request) -> Response:
        access.caller(headers_of(request))
        return json_response(document)

    async def measured(request: Request) -> Response:
        access.caller(headers_of(request))
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        for one in published:
            refresh_logged(one)
        watching = asyncio.create_task(watch(published))
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        observations.close()

    routes = [
        Route("/observations", observations.post, methods=["POST"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/metrics", measured, methods=["GET"]),
        Route("/openapi.json", described, methods=["GET"]),
    ]
    for path in ["/decisions/{flywheel}", *(f"/{w.api}" for w in wheels if w.api)]:
        routes += [
            Route(path, decisions.best, methods=["GET"]),
            Route(path, decisions.post, methods=["POST"]),
            Route(path + "/{entity:path}", decisions.get, methods=["GET"]),
        ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            ProblemError: _problem,
            HTTPException: _http_problem,
            Exception: _failure,  # answers, and raises it again, for `Edge` to log
        },
    )
    return Edge(app, metrics)


def key_store(home: Home) -> KeyStore:
    """Find the API keys of a home."""
    return KeyStore(home.root / "api_keys.json")


class Edge:
    """What every request passes: it is timed, counted and logged, and never ends in a traceback."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001  whatever it is, the caller gets an answer
            _log.error("failed", extra={"error": type(error).__name__, "at": _place(error)})
        taken = time.perf_counter() - started
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.requested(scope["method"], route, status, taken)
        logs.request(_log, scope, route, status, taken)


def serve(
    home: Home, flywheels: Iterable[Flywheel], host: str = "127.0.0.1", port: int = DEFAULT_PORT
) -> None:
    """Serve until told to stop.

    Raises
    ------
    ApiKeyError
        For a host off loopback without keys.
    ApiError
        For an address that cannot be listened at, such as a port that is taken.
    """
    import uvicorn

    app = application(home, flywheels, local=host in LOOPBACK)
    _check_free(host, port)
    logs.configure()
    if home.settings() is None:
        _log.warning(
            "no home yet: what is received waits for its first run", extra={"at": str(home.root)}
        )
    uvicorn.Server(configuration(app, host, port)).run()


def _check_free(host: str, port: int) -> None:
    """Listen for a moment: the server itself would say why it cannot only in its log."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise ApiError(
            expected=f"to listen at {host}, port {port}",
            found=str(error),
            remedy="end what listens there, or choose another: --port, --host",
        ) from error


def configuration(app: ASGIApp, host: str, port: int) -> "uvicorn.Config":
    """Configure the server: few idle connections, no log of its own, a name for nobody."""
    import uvicorn

    from flywheel_assets.api.protocol import BoundedProtocol

    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=1024,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
        ws="none",
    )


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101  registered for nothing else
    return response(error)


async def _failure(_: Request, __: Exception) -> Response:
    return response(ProblemError(500, "this is our fault, and logged"))


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    answer = response(ProblemError(error.status_code, "see /openapi.json for what there is"))
    answer.headers.update(error.headers or {})
    return answer


def _gauges(
    metrics: Metrics, writer: Writer, budget: Budget, published: Iterable[Published]
) -> None:
    metrics.gauge("flywheel_waiting_records", "Waiting for the disk.", lambda: writer.waiting)
    metrics.gauge("flywheel_inbox_commits", "Commits since the start.", lambda: writer.commits)
    metrics.gauge("flywheel_body_bytes", "Bodies held.", lambda: budget.held)
    for one in published:
        name = one.flywheel.name
        metrics.gauge(f"flywheel_decisions_{name}", "Decisions served.", one.held)
        metrics.gauge(f"flywheel_decisions_version_{name}", "Table version.", one.held_version)


def _place(error: BaseException) -> str:
    """Say where an error came from, without its message: that may hold what was sent."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames[-5:]))
