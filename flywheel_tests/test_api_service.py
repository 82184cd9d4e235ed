"""Observations, sent to a service over real HTTP."""

import json
import socket
from pathlib import Path
from typing import Any

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

from flywheel_assets.api.limits import MAX_BODY, MAX_RECORDS
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stores.home import Home
from flywheel_tests.serving import (
    JSON,
    LINES,
    POOL,
    get,
    inbox,
    post,
    record,
    up,
)


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


def test_what_was_acknowledged_is_in_the_inbox_and_rejects_beside_it(
    url: str, api_home: Home
) -> None:
    """Readable by another process as soon as the answer is there; raw text with its reason."""
    post(url, [record(400), record(401, kind="nothing")])
    assert inbox(api_home, "select count(*) from received where observation_id = 'till:400'") == [
        (1,)
    ]
    query = "select reason, raw from rejected where cast(raw as text) like '%till:401%'"
    ((reason, raw),) = inbox(api_home, query)
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


def test_headers_without_end_are_hung_up_on(url: str) -> None:
    """Before they take memory; requests one after another on a connection are not."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            raw.sendall(b"x" * 20_000_000)
    for number in range(30):
        assert (
            post(url, [record(700 + n, observation_id=f"{number}:{n}") for n in range(20)])[0]
            == 200
        )


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
    undecided = {n for f in FLYWHEELS if f is not repurchase for n in (f.name, f.api)}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        if found.ok().path in {"/healthz", "/metrics"} and mode.is_negative:
            continue  # they ask for nothing that could be broken
        if not undecided.isdisjoint(found.ok().path.split("/")):
            continue  # this home has no decisions of theirs, which is a documented 503
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


def test_metrics_and_log_lines(url: str, api_log: Path) -> None:
    """Counted by kind and route; a line for each request, and nothing of what was sent."""
    post(url, record(600, payload=record()["payload"] | {"country": "SECRET"}))
    get(url, "get_contact/424242")
    text = POOL.request("GET", f"{url}/metrics").data.decode()
    assert 'flywheel_observations_total{kind="order_line",status="accepted"}' in text
    assert "flywheel_request_seconds_bucket" in text
    assert "flywheel_decisions_repurchase 2" in text
    lines = [json.loads(line) for line in api_log.read_text().splitlines()]
    assert {"request", "served"} <= {line["event"] for line in lines}
    assert not [line for line in lines if line.get("status") == 500 or line["event"] == "failed"]
    written = api_log.read_text()
    assert "SECRET" not in written
    assert "424242" not in written
