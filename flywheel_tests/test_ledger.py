"""The promotions ledger and the disk: who decides when, whatever comes in between."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_assets.errors import HomeError, PublishedError
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.promotions import PROMOTE, ROLLBACK, Ledger, earlier
from flywheel_assets.stores.tables import Tables
from flywheel_assets.stores.vacuum import vacuum

DAY = date(2026, 1, 31)
DECISIONS = {"partition_date": pl.Date(), "n": pl.Int64()}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Tables(tmp_path), "repurchase")


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def gate(version: int) -> dict[str, object]:
    return {"version": version, "judged_version": version, "reason": "better"}


def hand(version: int, action: str = PROMOTE) -> dict[str, object]:
    return {**gate(version), "action": action, "by": "ada"}


def decide(ledger: Ledger, day: date) -> None:
    frame = pl.DataFrame({"partition_date": [day], "n": [1]})
    ledger.tables.replace("repurchase/decisions", frame, DECISIONS, day, day)


def version(ledger: Ledger, day: date) -> int | None:
    champion = ledger.champion(day)
    return None if champion is None else champion.version


def test_who_decides_is_who_was_promoted_last_by_then(ledger: Ledger) -> None:
    """Nobody before the first entry; from an entry's day on, its version."""
    assert ledger.champion(DAY) is None
    ledger.promoted_by_gate(later(7), gate(2))
    ledger.promoted_by_gate(DAY, gate(1))
    assert [version(ledger, later(d)) for d in (-1, 0, 6, 7, 99)] == [None, 1, 1, 2, 2]
    ledger.promoted_by_gate(later(7), None)
    assert version(ledger, later(7)) == 1


def test_a_person_outranks_the_gate_on_the_same_day_in_either_order(ledger: Ledger) -> None:
    """The gate writing again, or for the first time, leaves a person's entries where they are."""
    ledger.entered_by_hand(DAY, hand(3))
    ledger.promoted_by_gate(DAY, gate(1))
    ledger.entered_by_hand(DAY, hand(4))
    ledger.promoted_by_gate(DAY, gate(2))
    assert ledger.entries()["version"].to_list() == [2, 3, 4]
    assert ledger.entries()["entry"].to_list() == [0, 1, 2]
    assert version(ledger, DAY) == 4


def test_days_that_were_decided_keep_their_champion(ledger: Ledger) -> None:
    """Neither the gate nor a person changes what published decisions were made by."""
    ledger.promoted_by_gate(DAY, gate(1))
    decide(ledger, DAY)
    ledger.promoted_by_gate(DAY, {**gate(1), "reason": "said in other words"})
    for entry in (gate(2), None):
        with pytest.raises(PublishedError, match="has already decided, version 1"):
            ledger.promoted_by_gate(DAY, entry)
    with pytest.raises(PublishedError, match="from 2026-02-01 on, the first day that is not"):
        ledger.entered_by_hand(DAY, hand(2))
    ledger.entered_by_hand(later(1), hand(2))
    assert [version(ledger, later(d)) for d in (0, 1)] == [1, 2]


def test_rollbacks_go_back_one_by_one(ledger: Ledger) -> None:
    """Twice rolled back is not where one came from."""
    for i in range(3):
        ledger.promoted_by_gate(later(i), gate(i + 1))
    for expected in (2, 1):
        back = earlier(ledger.line(date.max), "repurchase")
        assert back == expected
        ledger.entered_by_hand(later(5), hand(back, ROLLBACK))
    assert version(ledger, later(5)) == 1
    with pytest.raises(HomeError, match="only version 1"):
        earlier(ledger.line(date.max), "repurchase")
    ledger.promoted_by_gate(later(7), gate(4))
    assert ledger.line(date.max) == [1, 4]


def test_entries_written_at_once_are_all_kept(ledger: Ledger) -> None:
    """Eight writers of one day: none overwrites another."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda v: ledger.entered_by_hand(DAY, hand(v)), range(1, 9)))
    assert sorted(ledger.entries()["version"].to_list()) == list(range(1, 9))
    assert ledger.entries()["entry"].to_list() == list(range(1, 9))


def test_vacuum_leaves_what_is_read_and_what_is_recent(tmp_path: Path) -> None:
    """Replaced files go after the time that is asked for; unknown files are the doctor's."""
    home = Home(tmp_path)
    tables = Tables(home.lakehouse)
    for n in (1, 2):
        frame = pl.DataFrame({"partition_date": [DAY], "n": [n]})
        tables.replace("demo", frame, DECISIONS, DAY, DAY)
    stray = tables.path("demo") / f"partition_date={DAY}" / "stray.parquet"
    stray.write_bytes(b"a run is about to commit it")
    assert vacuum(home) == []
    (freed,) = vacuum(home, 0)
    assert (freed.table, freed.files, freed.kept_versions) == ("demo", 1, ())
    assert tables.read("demo", DECISIONS).collect()["n"].to_list() == [2]
    assert stray.exists()
