"""The service as a process of its own, over real HTTP."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import schemathesis
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from flywheel_assets import ApiError, ApiKeyError
from flywheel_assets.api.client import Client, Local, Remote
from flywheel_assets.api.limits import MAX_BODY, MAX_RECORDS
from flywheel_assets.api.service import application, key_store
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables

JSON, LINES = "application/json", "application/x-ndjson"
DAY = date(2026, 1, 30)
POOL = urllib3.PoolManager(retries=False, timeout=30)


def record(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Write a sound record with an id of its own."""
    return {
        "kind": "order_line",
        "observation_id": f"till:{number}",
        "event_time": "2026-01-31T12:00:00Z",
        "entity": {"customer_id": number},
        "payload": {
            "invoice": "1",
            "stock_code": "A",
            "quantity": 2,
            "unit_price": 1.5,
            "country": "France",
        },
    } | changes


def command(home: Home, *arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command line on a home."""
    return subprocess.run(
        [sys.executable, "-m", "flywheel_assets.cli", *arguments],
        env=os.environ | {"FLYWHEEL_HOME": str(home.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


@contextmanager
def serving(home: Home, log: Path) -> Iterator[str]:
    """Serve a home in a process of its own; gives its url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "flywheel_assets.cli", "api", "--port", str(port)],
            env=os.environ | {"FLYWHEEL_HOME": str(home.root)},
            stderr=errors,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait(lambda: process.poll() is not None or up(url))
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in {0, -signal.SIGTERM}


def up(url: str) -> bool:
    """Say whether a service answers."""
    try:
        return POOL.request("GET", f"{url}/healthz").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def wait(done: Any, seconds: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def publish(home: Home, day: date, actions: dict[int, str]) -> None:
    """Publish decisions as the asset does."""
    ids = pl.Series("customer_id", list(actions), dtype=pl.Int64)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    schema = decision_schema(repurchase)
    frame = pl.DataFrame([ids, pl.Series("action", list(actions.values()))]).with_columns(
        pl.lit(day).alias(PARTITION),
        ids.cast(pl.String).alias("entity_id"),
        pl.format("repurchase:{}:{}", pl.lit(str(day)), ids).alias("decision_id"),
        pl.lit("repurchase").alias("flywheel"),
        pl.lit(midnight).cast(pl.Datetime("us", "UTC")).alias("decided_at"),
        (ids / 10).alias("score"),
        pl.int_range(1, len(actions) + 1, dtype=pl.Int64).alias("rank"),
        pl.lit(1.0).alias("propensity"),
        pl.lit(value=False).alias("explored"),
        pl.lit(None, dtype=pl.Int64).alias("model_version"),
    )
    Tables(home.lakehouse).replace("repurchase/decisions", frame.select(*schema), schema, day, day)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Make a home with two days of decisions."""
    made = Home(tmp_path_factory.mktemp("api"))
    publish(made, DAY, {7: "contact", 8: "hold"})
    publish(made, DAY + timedelta(days=1), {7: "hold", 9: "contact"})
    return made


@pytest.fixture(scope="module")
def log(home: Home) -> Path:
    """Say where the service writes its log."""
    return home.root / "log"


@pytest.fixture(scope="module")
def url(home: Home, log: Path) -> Iterator[str]:
    """Serve the home without keys."""
    with serving(home, log) as made:
        yield made


def post(url: str, content: Any, kind: str = JSON, **headers: str) -> tuple[int, Any]:
    """Send observations; gives the status and the answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = POOL.request(
        "POST", f"{url}/observations", body=body, headers={"Content-Type": kind} | headers
    )
    return answer.status, answer.json()


def get(url: str, path: str, **headers: str) -> tuple[int, Any]:
    """Read something."""
    answer = POOL.request("GET", f"{url}/{path}", headers=headers)
    return answer.status, answer.json()


def inbox(home: Home, query: str) -> list[Any]:
    """Look into the inbox from outside."""
    (path,) = (home.root / "inbox").glob("*.sqlite")
    with sqlite3.connect(path) as db:
        return db.execute(query).fetchall()


def test_one_record_is_accepted_once(url: str) -> None:
    """201 on disk, 200 again, 409 with other content; known_at is that of the first."""
    status, first = post(url, record(100))
    assert (status, first["status"], first["observation_id"]) == (201, "accepted", "till:100")
    assert post(url, record(100)) == (200, first | {"status": "duplicate"})
    status, problem = post(url, record(100, decision_id="repurchase:2026-01-30:7"))
    assert (status, problem["status"], problem["known_at"]) == (409, 409, first["known_at"])
    assert "other content" in problem["detail"]


def test_a_record_that_breaks_its_contract_is_a_problem_by_field(url: str) -> None:
    """422, with each fault's place."""
    status, problem = post(url, record(1, payload={"quantity": "2", "colour": 1}))
    assert status == 422
    assert problem["title"] == "Not valid"
    assert {e["path"] for e in problem["errors"]} == {
        f"$.payload.{n}"
        for n in ("colour", "invoice", "stock_code", "quantity", "unit_price", "country")
    }


@pytest.mark.parametrize("kind", [JSON, LINES])
def test_each_record_of_a_batch_has_its_answer(url: str, kind: str) -> None:
    """In order: accepted, duplicate, conflict, rejected, with the index in the path."""
    base = 200 if kind == JSON else 300
    records = [
        record(base),
        record(base),
        record(base, event_time="2026-01-30T00:00:00Z"),
        record(base + 1, kind="order"),
        record(base + 2),
    ]
    body = json.dumps(records).encode()
    if kind == LINES:
        body = b"\n\n".join(json.dumps(r).encode() for r in records) + b"\n"
    status, told = post(url, body, kind)
    assert status == 207
    assert [r["status"] for r in told["results"]] == [
        "accepted",
        "duplicate",
        "conflict",
        "rejected",
        "accepted",
    ]
    assert told["results"][2]["errors"][0]["path"] == "$[2].observation_id"
    assert told["results"][3]["errors"][0]["path"] == "$[3].kind"
    assert (told["accepted"], told["duplicate"], told["conflict"], told["rejected"]) == (2, 1, 1, 1)
    assert post(url, [record(base), record(base + 2)])[0] == 200


def test_what_was_acknowledged_is_in_the_inbox_and_rejects_beside_it(url: str, home: Home) -> None:
    """Readable by another process as soon as the answer is there; raw text with its reason."""
    post(url, [record(400), record(401, kind="nothing")])
    assert inbox(home, "select count(*) from received where observation_id = 'till:400'") == [(1,)]
    query = "select reason, raw from rejected where cast(raw as text) like '%till:401%'"
    ((reason, raw),) = inbox(home, query)
    assert "$.kind" in reason
    assert json.loads(raw) == record(401, kind="nothing")


REQUESTS: dict[str, tuple[Any, str, int, str]] = {
    "100 MB": (b"[" + b" " * 100_000_000, JSON, 413, f"{MAX_BODY}"),
    "too many records": (b"[" + b"1," * MAX_RECORDS + b"1]", JSON, 413, f"{MAX_RECORDS}"),
    "too many lines": (b"1\n" * (MAX_RECORDS + 1), LINES, 413, f"{MAX_RECORDS}"),
    "another type": (b"a=1", "application/x-www-form-urlencoded", 415, JSON),
    "no type": (b"{}", "", 415, JSON),
    "nothing": (b"", JSON, 400, "an object or an array"),
    "text": (b"hello", JSON, 400, "an object or an array"),
    "an array cut off": (b"[{}", JSON, 400, "not JSON"),
    "an array of NaN": (b"[NaN]", JSON, 400, "NaN"),
    "nested 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, JSON, 400, "nested too deep"),
    "an object nested 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, JSON, 422, "deep"),
    "bytes that are no text": (b'{"kind": "\xff"}', JSON, 422, "not UTF-8"),
    "a record of 100,000 keys": (
        json.dumps(record(1, payload={f"k{n}": n for n in range(100_000)})).encode(),
        JSON,
        422,
        "65536 bytes",
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_that_cannot_be_taken_says_why(url: str, case: str) -> None:
    """A problem, never a 500, and the service goes on."""
    body, kind, status, reason = REQUESTS[case]
    if len(body) > MAX_BODY:  # refused by its length, before it is sent
        found, told = announce(url, len(body))
    else:
        found, told = post(url, body, kind)
    assert (found, reason.split()[0] in json.dumps(told)) == (status, True), told
    assert post(url, record(1))[0] in {200, 201}


def announce(url: str, length: int, headers: str = "") -> tuple[int, Any]:
    """Begin a request of some length, send none of it, and read the answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    head = (
        f"POST /observations HTTP/1.1\r\nHost: {host}\r\nContent-Type: {JSON}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(head.encode())
        answer = b""
        while chunk := raw.recv(65_536):
            answer += chunk
            if b"\r\n\r\n{" in answer and answer.endswith(b"}"):
                break
    return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_body_of_unknown_length_is_cut_off_where_it_is_too_large(url: str) -> None:
    """Chunks are counted as they come."""
    pieces = (b" " * 65_536 for _ in range(MAX_BODY // 65_536 + 2))
    try:
        answer = POOL.request(
            "POST", f"{url}/observations", body=pieces, headers={"Content-Type": JSON}, chunked=True
        )
    except urllib3.exceptions.HTTPError:  # it hung up before all was sent
        pass
    else:
        assert answer.status == 413
    assert up(url)


def test_a_page_elsewhere_cannot_reach_it(url: str) -> None:
    """Another name that points here is refused: no key stands between."""
    status, problem = post(url, record(1), Host="evil.example")
    assert status == 421
    assert "127.0.0.1" in problem["detail"]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    body=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda v: json.dumps(v).encode()),
    kind=st.sampled_from([JSON, LINES]),
)
def test_any_bytes_are_answered(url: str, body: bytes, kind: str) -> None:
    """No 500, no crash, and each refusal has a reason."""
    status, told = post(url, body, kind)
    assert status in {200, 207, 400, 422}
    assert status == 200 or told.get("detail") or all(r["errors"] for r in told["results"])


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data(), mode=st.sampled_from(schemathesis.GenerationMode))
def test_every_operation_keeps_to_the_document(url: str, data: Any, mode: Any) -> None:
    """Schemathesis draws sound and broken requests; answers are what the document says."""
    schema = schemathesis.openapi.from_dict(get(url, "openapi.json")[1])
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        if found.ok().path in {"/healthz", "/metrics"} and mode.is_negative:
            continue  # they ask for nothing that could be broken
        case = data.draw(found.ok().as_strategy(generation_mode=mode))
        case.call_and_validate(
            base_url=url,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )


def test_decisions_are_read_by_flywheel_and_by_the_product_s_name(url: str) -> None:
    """The newest partition, and all that the product needs to answer it."""
    status, found = get(url, "decisions/repurchase/9")
    assert status == 200
    assert found == {
        "flywheel": "repurchase",
        "entity": {"customer_id": 9},
        "decision_id": "repurchase:2026-01-31:9",
        "action": "contact",
        "score": 0.9,
        "rank": 2,
        "model_version": None,
        "decided_at": "2026-02-01T00:00:00Z",
        "partition_date": "2026-01-31",
    }
    assert get(url, "get_contact/9") == (200, found)


def test_decisions_as_of_a_moment(url: str) -> None:
    """What was published by then; the midnight itself counts."""
    for moment, action in {
        "2026-01-31T00:00:00Z": "contact",
        "2026-01-31T23:59:59.999999Z": "contact",
        "2026-02-01T00:00:00Z": "hold",
        "2026-02-01T01:00:00%2B02:00": "contact",
    }.items():
        assert get(url, f"get_contact/7?as_of={moment}")[1]["action"] == action
    status, problem = get(url, "get_contact/7?as_of=2026-01-30T23:59:59Z")
    assert status == 404
    assert "nothing by 2026-01-30" in problem["detail"]
    assert get(url, "get_contact/7?as_of=yesterday")[0] == 422


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("decisions/repurchase/8", 404, "in its partition 2026-01-31"),
        ("decisions/repurchas/7", 404, "did you mean 'repurchase'"),
        ("decisions/repurchase/seven", 422, "customer_id"),
        ("decisions/repurchase/7.5", 422, "customer_id"),
        (f"decisions/repurchase/{2**70}", 422, "customer_id"),
        ("decisions/..%2F..%2Fetc/passwd", 404, "no such flywheel"),
        ("decisions/repurchase/..%2F..%2Fpasswd", 422, "customer_id"),
        ("decisions/repurchase/7'%20OR%20'1'='1", 422, "customer_id"),
        ("get_offer/7", 404, "openapi.json"),
        ("nothing", 404, "openapi.json"),
        ("observations", 405, "openapi.json"),
    ],
)
def test_a_decision_that_is_not_there(url: str, path: str, status: int, words: str) -> None:
    """Each says what is missing."""
    found, problem = get(url, path)
    assert found == status
    assert words in json.dumps(problem)


def test_the_batch_of_decisions(url: str) -> None:
    """In the order asked; nothing for what nothing was decided about; faults by place."""

    def ask(content: Any) -> tuple[int, Any]:
        answer = POOL.request("POST", f"{url}/decisions/repurchase", json=content)
        return answer.status, answer.json()

    status, found = ask({"entities": [{"customer_id": 9}, 8, 7]})
    assert status == 200
    assert found["partition_date"] == "2026-01-31"
    assert [r["decision"] and r["decision"]["action"] for r in found["results"]] == [
        "contact",
        None,
        "hold",
    ]
    status, found = ask({"entities": [7, 8], "as_of": "2026-01-31T06:00:00Z"})
    assert [r["decision"]["action"] for r in found["results"]] == ["contact", "hold"]
    status, problem = ask({"entities": [7, {"customer": 8}]})
    assert (status, problem["errors"][0]["path"]) == (422, "$.entities[1]")
    assert ask({"entities": []})[0] == 422
    assert ask({"entities": [7], "where": "1=1"})[0] == 422


def test_what_is_published_is_served_without_a_restart(tmp_path: Path) -> None:
    """First nothing (503), then a partition, then another: all of one or all of the other."""
    home = Home(tmp_path / "home")
    everybody = range(2_000)
    with serving(home, tmp_path / "log") as url:
        status, problem = get(url, "get_contact/7")
        assert (status, "published no decisions" in problem["detail"]) == (503, True)
        for day, action in ((DAY, "contact"), (DAY + timedelta(days=1), "hold")):
            publish(home, day, dict.fromkeys(everybody, action))
            seen: set[str] = set()
            end = time.monotonic() + 30
            while action not in seen and time.monotonic() < end:
                answer = POOL.request(
                    "POST", f"{url}/get_contact", json={"entities": list(everybody)}
                ).json()
                if "results" in answer:
                    actions = {r["decision"]["action"] for r in answer["results"]}
                    assert len(actions) == 1
                    seen |= actions
            assert action in seen
        publish(home, DAY + timedelta(days=1), dict.fromkeys(everybody, "contact"))
        wait(lambda: get(url, "get_contact/7")[1]["action"] == "contact")


def test_keys_open_what_they_are_for_and_change_without_a_restart(tmp_path: Path) -> None:
    """Made, scoped, rotated and revoked by the command while the service runs."""
    home = Home(tmp_path / "home")
    publish(home, DAY, {7: "contact"})
    with serving(home, tmp_path / "log") as url:
        assert post(url, record(1))[0] == 201
        made = command(home, "keys", "add", "till", "--write", "--kind", "order_line")
        first = made.stdout.strip()
        assert first
        wait(lambda: post(url, record(2))[0] == 401)
        assert post(url, record(2), Authorization="Bearer wrong")[0] == 401
        assert post(url, record(2), Authorization=f"Bearer {first}")[0] == 201
        assert get(url, "get_contact/7", Authorization=f"Bearer {first}")[0] == 403
        assert get(url, "metrics")[0] == 401
        assert up(url)
        second = command(home, "keys", "add", "till", "--write", "--read").stdout.strip()
        key_id = first_id(command(home, "keys", "list").stdout)
        assert command(home, "keys", "revoke", key_id).returncode == 0
        wait(lambda: post(url, record(3), Authorization=f"Bearer {first}")[0] == 401)
        assert post(url, record(3), Authorization=f"Bearer {second}")[0] == 201
        assert get(url, "get_contact/7", Authorization=f"Bearer {second}")[0] == 200
        kept = (home.root / "api_keys.json").read_text()
        assert first not in kept
        assert second not in kept
        assert (home.root / "api_keys.json").stat().st_mode & 0o077 == 0
        (home.root / "api_keys.json").write_text("[{")
        wait(lambda: post(url, record(4), Authorization=f"Bearer {second}")[0] == 503)
        (home.root / "api_keys.json").unlink()
        wait(lambda: post(url, record(4), Authorization=f"Bearer {second}")[0] == 401)
    text = (tmp_path / "log").read_text()
    assert second not in text
    assert "till:1" not in text


def first_id(listed: str) -> str:
    """Take the id of the first key out of the table."""
    line = next(row for row in listed.splitlines() if "till" in row)
    return line.replace("│", " ").replace("┃", " ").split()[0]


def test_a_key_may_write_only_its_kinds_and_only_so_much(tmp_path: Path) -> None:
    """403 for another kind, of which nothing is kept; 429 with when to come back."""
    home = Home(tmp_path / "home")
    store = key_store(home)
    other, _ = store.add("web", ("write",), ("page_view",))
    slow, _ = store.add("slow", ("write",), records_per_second=0.001)
    with serving(home, tmp_path / "log") as url:
        assert post(url, [record(1)], Authorization=f"Bearer {other}")[0] == 403
        assert inbox(home, "select count(*) from received") == [(0,)]
        many = [record(n) for n in range(MAX_RECORDS)]
        body = b"\n".join(json.dumps(r).encode() for r in many)
        assert post(url, body, LINES, Authorization=f"Bearer {slow}")[0] == 200
        answer = POOL.request(
            "POST",
            f"{url}/observations",
            json=record(0),
            headers={"Authorization": f"Bearer {slow}"},
        )
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 1


def test_off_this_machine_it_takes_keys(tmp_path: Path) -> None:
    """Refused before a socket is opened; a key that was revoked is none."""
    home = Home(tmp_path)
    refused = command(home, "api", "--host", "192.0.2.1", "--port", "0")
    assert refused.returncode == 1
    assert "flywheel keys add" in refused.stderr.replace("\n", " ")
    _, key = key_store(home).add("till", ("write",))
    application(home, FLYWHEELS, local=False)
    key_store(home).revoke(key.id)
    with pytest.raises(ApiKeyError, match="keys add"):
        application(home, FLYWHEELS, local=False)
    with pytest.raises(ApiKeyError, match="did you mean 'order_line'"):
        key_store(home).add("till", ("write",), ("order_lin",), declared=["order_line"])


@pytest.fixture(params=["in process", "over HTTP"])
def client(request: pytest.FixtureRequest, url: str, home: Home) -> Client:
    """Give both ways to the same flywheel."""
    return Remote(url) if request.param == "over HTTP" else Local(home, FLYWHEELS)


def test_the_python_functions(client: Client) -> None:
    """Read a decision, log what came of it, correct it, take it back."""
    name = type(client).__name__
    found = client.get_decision("repurchase", 9)
    assert found is not None
    assert found["decided_at"] == datetime(2026, 2, 1, tzinfo=UTC)
    assert found == client.get_contact({"customer_id": 9})
    assert client.get_decision("repurchase", 8) is None
    assert client.get_decisions("repurchase", [8, 7], as_of=datetime(2026, 1, 31, tzinfo=UTC))[0]
    at, fields = datetime(2026, 1, 31, tzinfo=UTC), record()["payload"]
    said = client.log_observation(
        "order_line",
        {"customer_id": 9},
        at,
        fields | {"invoice": name},
        decision_id=found["decision_id"],
    )
    assert said.status == "accepted"
    again = client.log_observation(
        "order_line",
        {"customer_id": 9},
        at,
        fields | {"invoice": name, "description": None},
        decision_id=found["decision_id"],
    )
    assert (again.status, again.observation_id) == ("duplicate", said.observation_id)
    mended = client.log_observation(
        "order_line", {"customer_id": 9}, at, fields | {"quantity": 3}, corrects=said.observation_id
    )
    gone = client.log_observation(
        "order_line", {"customer_id": 9}, at, retracts=mended.observation_id
    )
    assert len({said.observation_id, mended.observation_id, gone.observation_id}) == 3


def test_what_the_python_functions_refuse(client: Client) -> None:
    """One record raises; many are answered each; a flywheel that is none raises."""
    at, fields = datetime(2026, 1, 31, tzinfo=UTC), record()["payload"]
    with pytest.raises(ApiError, match=r"payload.unit_price|NaN"):
        client.log_observation(
            "order_line", {"customer_id": 1}, at, fields | {"unit_price": float("nan")}
        )
    with pytest.raises(ApiError, match="timezone"):
        client.log_observation("order_line", {"customer_id": 1}, at.replace(tzinfo=None), fields)
    with pytest.raises(ApiError, match="JSON can hold"):
        client.log_observation("order_line", {"customer_id": object()}, at, fields)
    name = type(client).__name__
    many = [record(n, observation_id=f"{name}:{n}") for n in range(MAX_RECORDS + 5)]
    many[MAX_RECORDS + 1]["kind"] = "order"
    told = client.log_observations(many)
    assert [a.index for a in told if a.status != "accepted"] == [MAX_RECORDS + 1]
    assert told[MAX_RECORDS + 1].errors[0].path == f"$[{MAX_RECORDS + 1}].kind"  # type: ignore[index]  # it has one
    with pytest.raises(ApiError, match="repurchase"):
        client.get_decision("repurchas", 7)
    with pytest.raises(ApiError):
        client.get_offer(7)


def test_nobody_there() -> None:
    """The error says what to start."""
    with pytest.raises(ApiError, match="flywheel api"):
        Remote("http://127.0.0.1:9").get_decision("repurchase", 7)


@pytest.mark.parametrize("remote", [False, True])
def test_the_command_logs_a_file(url: str, home: Home, *, remote: bool) -> None:
    """From standard input; says which record was not received, and fails for it."""
    lines = [record(500 + remote), record(502, kind="order")]
    text = "\n".join(json.dumps(r) for r in lines)
    done = command(home, "log", "-", *(["--url", url] if remote else []), input=text)
    assert "1 accepted, 0 duplicate, 0 conflict, 1 rejected" in done.stdout, done.stderr
    assert "record 1: rejected: $[1].kind" in done.stderr
    assert done.returncode == 1


def test_metrics_and_log_lines(url: str, log: Path) -> None:
    """Counted by kind and route; a line for each request, and nothing of what was sent."""
    post(url, record(600, payload=record()["payload"] | {"country": "SECRET"}))
    get(url, "get_contact/424242")
    text = POOL.request("GET", f"{url}/metrics").data.decode()
    assert 'flywheel_observations_total{kind="order_line",status="accepted"}' in text
    assert "flywheel_request_seconds_bucket" in text
    assert "flywheel_decisions_repurchase 2" in text
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"request", "served"} <= {line["event"] for line in lines}
    assert not [line for line in lines if line.get("status") == 500 or line["event"] == "failed"]
    written = log.read_text()
    assert "SECRET" not in written
    assert "424242" not in written
