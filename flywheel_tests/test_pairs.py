"""Pairs, filters and slates through the whole loop and the API, on real Delta tables."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn

from flywheel_assets import AlreadySeen, Epsilon, Flywheel, FrequencyCap, Slate
from flywheel_assets.api.client import Local, Remote
from flywheel_assets.api.service import application, configuration
from flywheel_assets.dagster_assets.turn import Turner, replay
from flywheel_assets.stores.home import Home
from flywheel_tests.conftest import contents
from flywheel_tests.serving import POOL, get, up, wait
from flywheel_tests.shelf import DAY, START, bought, purchases, shelf, stored

N_DAYS = 5


def declared(folder: Path) -> Flywheel:
    """Declare slates of two, of items not bought for a day nor shown twice in three."""
    fact = purchases(stored(folder, bought(N_DAYS)))
    return shelf(
        fact,
        filters=(AlreadySeen(fact=fact, within=DAY), FrequencyCap(times=2, within=3 * DAY)),
        allocation=Slate(size=2, per="customer_id", at_most={"kind": 1}),
        exploration=Epsilon(share=0.3),
        control=0.1,
    )


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Turner:
    """Turn it over a few days."""
    folder = tmp_path_factory.mktemp("shelf")
    flywheel, home = declared(folder), Home(folder / "home")
    last = START + (N_DAYS - 1) * DAY
    home.extend(START, last, {}, ongoing=False, demo=False)
    turner = Turner(home, [flywheel])
    turner.turn(list(replay(flywheel, START, last)), lambda _: None)
    return turner


def test_pairs_come_back_as_training_rows(turned: Turner) -> None:
    """Each decision two days later, with the strengths and features that it saw."""
    tables = contents(turned.home.root)
    made, trained = tables["shelf/decisions"], tables["shelf/training_set"]
    assert trained.height
    names = ["customer_id", "item_id", "popular", "recent", "together", "action", "propensity"]
    matured = made.filter(pl.col("partition_date") < START + (N_DAYS - 2) * DAY)
    both = matured.select("decision_id", *names).sort("decision_id")
    assert both.equals(trained.select("decision_id", *names).sort("decision_id"))
    assert trained["sold_30d"].null_count() == 0
    assert set(trained["outcome"]) == {0, 1}


def test_filters_and_slates_hold_in_the_loop(turned: Turner) -> None:
    """Nothing bought the day before, nothing a third time in three days, one of a kind."""
    tables = contents(turned.home.root)
    made = tables["shelf/decisions"].with_columns(
        kind=pl.col("item_id").str.slice(1).cast(int) // 3
    )
    keys = ["customer_id", "item_id"]
    had = tables["organize/fct_purchase"].select(
        *keys, pl.col("event_time").dt.date().alias("partition_date")
    )
    assert made.join(had, on=[*keys, "partition_date"], how="semi").is_empty()
    shown = made.filter(action="show")
    slates = shown.group_by("partition_date", "customer_id").agg(
        pl.len().alias("n"), pl.col("kind").n_unique().alias("kinds")
    )
    assert (slates["n"] <= 2).all()
    assert slates["n"].equals(slates["kinds"].cast(pl.UInt32))
    times = (
        shown.sort("partition_date")
        .rolling("partition_date", period="3d", group_by=keys)
        .agg(pl.len().alias("n"))
    )
    assert times["n"].max() == 2
    days = made.group_by("customer_id", "item_id").len()
    assert days["len"].max() > 2  # type: ignore[operator]  # a count


@contextmanager
def served(home: Home, flywheel: Flywheel) -> Iterator[str]:
    """Serve a flywheel that is not bundled, in a thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(configuration(application(home, [flywheel]), "127.0.0.1", port))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait(lambda: up(f"http://127.0.0.1:{port}"))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def test_what_is_shown_is_read_in_order(turned: Turner, tmp_path: Path) -> None:
    """By the customer alone; a pair by both keys; many at once; over HTTP and without."""
    flywheel = declared(tmp_path)
    made = contents(turned.home.root)["shelf/decisions"]
    today = made.filter(partition_date=START + (N_DAYS - 1) * DAY)
    shown = today.filter(action="show").sort("customer_id", "rank")
    who = shown["customer_id"][0]
    items = shown.filter(customer_id=who)["item_id"].to_list()
    one = today.row(0, named=True)
    with served(turned.home, flywheel) as url:
        status, slate = get(url, f"decisions/shelf/{who}")
        assert (status, slate["entity"]) == (200, {"customer_id": who})
        assert [i["entity"]["item_id"] for i in slate["items"]] == items
        assert all(i["action"] == "show" and i["decision_id"] for i in slate["items"])
        pair = f"{one['customer_id']}|{one['item_id']}"
        assert get(url, f"decisions/shelf/{pair}")[1]["action"] == one["action"]
        assert get(url, "decisions/shelf/99")[0] == 404
        assert get(url, "decisions/shelf/nobody")[0] == 422
        body = {"entities": [who, 99, {"customer_id": who}, {"customer_id": 99, "item_id": "i1"}]}
        answer = POOL.request("POST", f"{url}/decisions/shelf", json=body).json()
        assert [set(r) - {"entity"} for r in answer["results"]] == [{"shown"}] * 3 + [{"decision"}]
        assert answer["results"][0]["shown"] == slate
        assert [r["shown"] for r in answer["results"][1:3]] == [None, slate]
        over_http = Remote(url).get_decision("shelf", who)
        assert over_http is not None
        document = get(url, "openapi.json")[1]
    local = Local(turned.home, [flywheel])
    assert local.get_decision("shelf", who) == over_http
    early = local.get_decisions("shelf", list(range(12)), as_of=one["decided_at"] - 2 * DAY)
    local.close()
    then = made.filter(
        pl.col("action") == "show", pl.col("partition_date") == START + (N_DAYS - 3) * DAY
    )
    assert sum(len(e["items"]) for e in early if e is not None) == then.height
    answers = document["paths"]["/decisions/shelf/{entity}"]["get"]["responses"]["200"]
    schema = answers["content"]["application/json"]["schema"]
    assert [s["$ref"].split("/")[-1] for s in schema["anyOf"]] == ["Shown", "Decision"]


def test_whom_nothing_is_shown_has_an_empty_slate(turned: Turner, tmp_path: Path) -> None:
    """Held is not the same as unknown."""
    today = contents(turned.home.root)["shelf/decisions"].filter(
        partition_date=START + (N_DAYS - 1) * DAY
    )
    local = Local(turned.home, [declared(tmp_path)])
    for who, n in today.group_by("customer_id").agg((pl.col("action") == "show").sum()).iter_rows():
        slate: dict[str, Any] | None = local.get_decision("shelf", who)
        assert slate is not None
        assert len(slate["items"]) == n
    local.close()
