"""Who may do what, and from where."""

import json
from pathlib import Path

import pytest

from flywheel_assets import ApiKeyError
from flywheel_assets.api.access import Access
from flywheel_assets.api.limits import MAX_RECORDS
from flywheel_assets.api.problems import ProblemError
from flywheel_assets.api.service import application, key_store
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.stores.home import Home
from flywheel_tests.serving import (
    DAY,
    LINES,
    POOL,
    command,
    get,
    inbox,
    post,
    publish,
    record,
    serving,
    up,
    wait,
)


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


def test_a_page_elsewhere_cannot_reach_it(url: str) -> None:
    """Another name that points here is refused: no key stands between."""
    status, problem = post(url, record(1), Host="evil.example")
    assert status == 421
    assert "127.0.0.1" in problem["detail"]


def test_a_key_file_that_breaks_lets_nobody_in(tmp_path: Path) -> None:
    """Also where no key was needed before: a 503 that says so, no traceback."""
    store = key_store(Home(tmp_path))
    access = Access(store, local=True)
    local = {b"host": b"127.0.0.1:8700"}
    assert access.caller(local).producer == "local"
    (tmp_path / "api_keys.json").write_text("no JSON")

    def status() -> int:
        try:
            access.caller(local)
        except ProblemError as error:
            return error.problem.status
        return 200

    # The file is looked at again every now and then, and from then on it stays refused.
    wait(lambda: status() == 503)
    assert status() == 503
