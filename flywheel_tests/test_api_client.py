"""The Python functions and the command, in process and over HTTP."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel_assets import ApiError
from flywheel_assets.api.client import Client, Local, Remote
from flywheel_assets.api.limits import MAX_RECORDS
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.stores.home import Home
from flywheel_tests.serving import (
    command,
    record,
)


@pytest.fixture(params=["in process", "over HTTP"])
def client(request: pytest.FixtureRequest, url: str, api_home: Home) -> Client:
    """Give both ways to the same flywheel."""
    return Remote(url) if request.param == "over HTTP" else Local(api_home, FLYWHEELS)


def test_the_python_functions(client: Client) -> None:
    """Read a decision, log what came of it, correct it, take it back."""
    name = type(client).__name__
    found = client.get_decision("repurchase", 9)
    assert found is not None
    assert found["decided_at"] == datetime(2026, 2, 1, tzinfo=UTC)
    assert found == client.get_contact({"customer_id": 9})
    assert client.get_decision("repurchase", 8) is None
    assert client.get_decisions("repurchase", [8, 7], as_of=datetime(2026, 1, 31, tzinfo=UTC))[0]
    assert client.best_decisions("repurchase", limit=1) == [found]
    earlier = client.best_decisions("repurchase", action="hold", as_of=found["decided_at"])
    assert [one["entity"] for one in earlier] == [{"customer_id": 7}]
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
    with pytest.raises(ApiError, match="did you mean 'contact'"):
        client.best_decisions("repurchase", action="contct")
    for limit in (0, -1, MAX_RECORDS + 1):
        with pytest.raises(ApiError, match=f"from 1 to {MAX_RECORDS}"):
            client.best_decisions("repurchase", limit=limit)


def test_nobody_there() -> None:
    """The error says what to start."""
    with pytest.raises(ApiError, match="flywheel api"):
        Remote("http://127.0.0.1:9").get_decision("repurchase", 7)


@pytest.mark.parametrize("remote", [False, True])
def test_the_command_logs_a_file(url: str, api_home: Home, *, remote: bool) -> None:
    """From standard input; says which record was not received, and fails for it."""
    lines = [record(500 + remote), record(502, kind="order")]
    text = "\n".join(json.dumps(r) for r in lines)
    done = command(api_home, "log", "-", *(["--url", url] if remote else []), input=text)
    assert "1 accepted, 0 duplicate, 0 conflict, 1 rejected" in done.stdout, done.stderr
    assert "record 1: rejected: $[1].kind" in done.stderr
    assert done.returncode == 1


def test_a_moment_without_a_time_zone_is_refused_in_process_too(tmp_path: Path) -> None:
    """It would be another moment on another machine."""
    api = Local(Home(tmp_path), FLYWHEELS)
    with pytest.raises(ApiError, match="time zone"):
        api.get_decision("repurchase", 1, as_of=datetime(2026, 1, 9))  # noqa: DTZ001  the point
    api.close()
