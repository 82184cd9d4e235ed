"""Decisions, read from a service over real HTTP."""

import json
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel_assets import Arm, Arms
from flywheel_assets.api.client import Local
from flywheel_assets.flywheels.repurchase import contact_policy, repurchase
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stages.policy import decide
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables
from flywheel_tests.serving import (
    DAY,
    POOL,
    get,
    publish,
    serving,
    wait,
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
        ("get_discount/7", 404, "openapi.json"),
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


def test_whom_to_act_on_is_listed_best_first(url: str) -> None:
    """All of a partition, or the first of them; who is held only where that is asked for."""
    status, found = get(url, "decisions/repurchase")
    assert (status, found["partition_date"], found["n_decisions"]) == (200, "2026-01-31", 1)
    assert found["decisions"] == [get(url, "decisions/repurchase/9")[1]]
    assert get(url, "get_contact?action=contact") == (200, found)
    held = get(url, "decisions/repurchase?action=hold")[1]
    assert [d["entity"]["customer_id"] for d in held["decisions"]] == [7]
    before = get(url, "decisions/repurchase?as_of=2026-01-31T06:00:00Z")[1]
    assert [d["entity"]["customer_id"] for d in before["decisions"]] == [7]
    assert get(url, "decisions/repurchase?as_of=2026-01-30T06:00:00Z")[0] == 404


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("decisions/repurchase/7?asof=2026-01-31T06:00:00Z", "asof", "did you mean 'as_of'"),
        ("get_contact/7?asof=2026-01-31T06:00:00Z", "asof", "did you mean 'as_of'"),
        ("get_contact/7?limit=3", "limit", "valid: as_of"),
        ("get_contact?acton=contact", "acton", "did you mean 'action'"),
        ("decisions/repurchase?limt=1&action=contact", "limt", "did you mean 'limit'"),
    ],
)
def test_a_parameter_that_is_none_is_refused(url: str, path: str, name: str, words: str) -> None:
    """And not answered with the newest day, or with all: that is not what was asked."""
    status, problem = get(url, path)
    assert status == 422
    (fault,) = problem["errors"]
    assert fault["path"] == name
    assert words in fault["reason"]


def test_a_batch_takes_what_it_is_asked_from_its_body_alone(url: str) -> None:
    """A moment in the address would be the newest one."""
    there = f"{url}/decisions/repurchase?as_of=2026-01-31T06:00:00Z"
    answer = POOL.request("POST", there, json={"entities": [7]})
    assert answer.status == 422
    assert answer.json()["errors"] == [
        {"path": "as_of", "reason": "unknown parameter; write it in the body"}
    ]


@pytest.mark.parametrize(
    ("asked", "place", "words"),
    [
        ("action=contct", "action", "did you mean 'contact'"),
        ("limit=0", "limit", "from 1 to 10000"),
        ("limit=10001", "limit", "from 1 to 10000"),
        ("limit=all", "limit", "from 1 to 10000"),
        ("as_of=today", "as_of", "RFC3339"),
    ],
)
def test_what_cannot_be_listed(url: str, asked: str, place: str, words: str) -> None:
    """Each says what is wrong, and where."""
    status, problem = get(url, f"decisions/repurchase?{asked}")
    assert (status, problem["errors"][0]["path"]) == (422, place)
    assert words in problem["errors"][0]["reason"]


def test_the_best_of_many_are_those_of_the_lowest_rank(tmp_path: Path) -> None:
    """Beyond the limit how many there are is still said; an order by id would be another."""
    home = Home(tmp_path / "home")
    publish(home, DAY, dict.fromkeys(range(300, 0, -1), "contact"))
    with closing(Local(home, [repurchase])) as api:
        best = api.best_decisions("repurchase", limit=3)
        assert [d["entity"]["customer_id"] for d in best] == [300, 299, 298]
        assert len(api.best_decisions("repurchase")) == 300


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


def test_the_arm_that_was_drawn_is_read(tmp_path: Path) -> None:
    """With several actions, the one that each entity was given."""
    arms = Arms(arms=(Arm(name="offer"), Arm(name="discount"), Arm(name="nothing")))
    policy = replace(contact_policy, allocation=arms, exploration=None, bootstrap=pl.lit(0))
    of = replace(
        repurchase, decisions=policy, model=replace(repurchase.model, learner="t"), api="get_offer"
    )
    made = decide(pl.DataFrame({"customer_id": range(9)}), None, of, DAY, None)
    home = Home(tmp_path)
    Tables(home.lakehouse).replace("repurchase/decisions", made, decision_schema(of), DAY, DAY)
    api = Local(home, [of])
    told = {who: api.get_offer(who)["action"] for who in range(9)}
    api.close()
    assert told == dict(made.select("customer_id", "action").iter_rows())
    assert set(told.values()) == set(policy.actions)
