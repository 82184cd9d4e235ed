"""The servers that the API is measured beside, and the API itself, each one process.

``bare`` is what one writes first: Starlette, msgspec, SQLite (WAL, FULL), one commit for each
request, no validation. ``grouped`` is the same with our inbox and group commit, so that the two
differ from ours by validation only. ``fastapi`` validates with pydantic before the same inbox.
"""

import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flywheel_assets import Field, Flywheel
from flywheel_assets.api import logs
from flywheel_assets.api.service import application, configuration
from flywheel_assets.api.writer import Writer
from flywheel_assets.flywheels.repurchase import (
    customer_orders,
    customers,
    order_line,
    order_lines,
    ordered_again,
    repurchase,
)
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Inbox, Received, now_us

channel = Field(name="channel", dtype=pl.String, allowed=("web", "till"), description="Where.")


def eight_fields() -> Flywheel:
    """Declare the bundled flywheel on an observation of eight fields."""
    line = replace(order_line, fields=(*order_line.fields, channel))
    fact = replace(order_lines, observation=line)
    dimension = replace(customers, observation=line)
    view = replace(customer_orders, fact=fact, dimensions={dimension: ("country",)})
    return replace(repurchase, features=view, training_set=replace(ordered_again, fact=fact))


def ours(home: Home) -> Any:
    """Build the API."""
    return application(home, [eight_fields()])


def bare(home: Home) -> Any:
    """Build the server without validation, a commit for each request."""
    home.root.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(home.root / "bare.sqlite", isolation_level=None, check_same_thread=False)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    db.execute("create table t (seq integer primary key, id text unique, at integer, record blob)")
    encode = msgspec.json.Encoder().encode

    async def post(request: Request) -> Response:
        found = msgspec.json.decode(await request.body())
        records = found if isinstance(found, list) else [found]
        now = now_us()
        rows = [(r["observation_id"], now, encode(r)) for r in records]
        db.execute("begin immediate")
        insert = "insert into t (id, at, record) values (?, ?, ?) on conflict do nothing"
        inserted = db.executemany(insert, rows).rowcount
        db.execute("commit")
        return Response(encode({"received": inserted}), media_type="application/json")

    return Starlette(routes=[Route("/observations", post, methods=["POST"])])


def grouped(home: Home) -> Any:
    """Build the server without validation, with our inbox and group commit."""
    writer = Writer(lambda: Inbox(home.root / "inbox"))
    encode = msgspec.json.Encoder().encode

    async def post(request: Request) -> Response:
        found = msgspec.json.decode(await request.body())
        records = found if isinstance(found, list) else [found]
        receipts = await writer.put(
            [Received(r["kind"], r["observation_id"], 0, encode(r)) for r in records]
        )
        return Response(encode(receipts), media_type="application/json")

    return Starlette(routes=[Route("/observations", post, methods=["POST"])])


def fastapi(home: Home) -> Any:
    """Build the server that validates with pydantic, with our inbox and group commit."""
    from typing import Annotated, Literal

    from fastapi import FastAPI
    from pydantic import AwareDatetime, BaseModel, ConfigDict
    from pydantic import Field as Constraint

    class Entity(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        customer_id: int

    class Payload(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        invoice: str
        stock_code: str
        description: str | None = None
        quantity: int
        unit_price: Annotated[float, Constraint(ge=0)]
        country: str
        channel: Literal["web", "till"]

    class Record(BaseModel):
        model_config = ConfigDict(extra="forbid")
        kind: Literal["order_line"]
        observation_id: Annotated[str, Constraint(max_length=200)]
        event_time: AwareDatetime
        entity: Entity
        payload: Payload

    app, writer = FastAPI(), Writer(lambda: Inbox(home.root / "inbox"))

    def received(record: Record) -> Received:
        micros = int(record.event_time.timestamp() * 1_000_000)
        text = record.model_dump_json(exclude_none=True).encode()
        return Received(record.kind, record.observation_id, micros, text)

    async def post(records: Record | list[Record]) -> dict[str, Any]:
        several = records if isinstance(records, list) else [records]
        receipts = await writer.put([received(r) for r in several])
        return {"results": [{"status": s, "known_at": k} for s, k in receipts]}

    app.post("/observations")(post)
    return app


BUILDERS: dict[str, Callable[[Home], Any]] = {
    "ours": ours,
    "grouped": grouped,
    "bare": bare,
    "fastapi": fastapi,
}


def main() -> None:
    """Serve one of them: name, folder, port."""
    import uvicorn

    name, root, port = sys.argv[1:]
    app = BUILDERS[name](Home(Path(root)))
    if name == "ours":
        logs.configure()  # a line for each request, as it is served
    uvicorn.Server(configuration(app, "127.0.0.1", int(port))).run()


if __name__ == "__main__":
    main()
