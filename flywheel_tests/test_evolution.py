"""A declaration that changes over tables with data: graded, carried out, old producers served."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel_assets import DailyFiles, DeclarationError, Field, FlywheelError, SourceError
from flywheel_assets.api.records import Reader, Refused
from flywheel_assets.changes.meaning import Meaning, meanings
from flywheel_assets.changes.plan import Grade, plan
from flywheel_assets.dagster_assets.carrying import carry
from flywheel_assets.dagster_assets.planning import steps
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.shape import Columns
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Received
from flywheel_assets.stores.tables import Tables
from flywheel_tests.clicks import DAY, START
from flywheel_tests.evolving import (
    AMOUNT,
    CITY,
    FACT,
    SALE,
    TABLES,
    VIEW,
    days,
    opened,
    rewards,
    rows,
    send,
    shop,
    spent,
    turn,
)

CHANNEL = Field(name="channel", dtype=pl.String, nullable=True, description="How.")
NET = Field(name="net", dtype=pl.Int32, old_names=("amount",), minimum=0, description="Net.")
AFTER_TAX = Field(name="amount_net", dtype=pl.Int32, nullable=True, description="Net of tax.")
OLD = {"amount": 4, "city": "X"}


@dataclass(frozen=True)
class Case:
    """A new declaration, what the plan says of it, what old and new days then hold.

    ``plan`` is table -> grade, the columns that are carried, and whether days are made again.
    ``told`` is what a producer sends who knows of the change, ``kept`` what both days before and
    the day of the old shape hold; ``rewards`` are those of each day's decision, from the sale of
    the day after; ``refusal`` is why the old shape is refused, if it is.
    """

    now: Flywheel
    plan: dict[str, tuple[Grade, tuple[str, ...], bool]]
    told: dict[str, Any]
    kept: dict[str, Any]
    new: dict[str, Any]
    spent: list[float]
    rewards: list[float | None]
    refusal: str = ""


KEPT, AGAIN = False, True
CASES = {
    "a field more": Case(
        now=shop(AMOUNT, CITY, CHANNEL),
        plan=dict.fromkeys((SALE, FACT), (Grade.ADDITIVE, ("channel",), KEPT)),
        told={**OLD, "channel": "web"},
        kept={**OLD, "channel": None},
        new={**OLD, "channel": "web"},
        spent=[8, 16, 24, 32],
        rewards=[4, 4, 4],
    ),
    "a field more, with a default": Case(
        now=shop(AMOUNT, CITY, replace(CHANNEL, nullable=False, default="till")),
        plan=dict.fromkeys((SALE, FACT), (Grade.ADDITIVE, ("channel",), KEPT)),
        told={**OLD, "channel": "web"},
        kept={**OLD, "channel": "till"},
        new={**OLD, "channel": "web"},
        spent=[8, 16, 24, 32],
        rewards=[4, 4, 4],
    ),
    "a wider whole number": Case(
        now=shop(replace(AMOUNT, dtype=pl.Int64), CITY),
        plan={
            SALE: (Grade.ADDITIVE, ("amount",), KEPT),
            FACT: (Grade.ADDITIVE, ("amount", "twice"), KEPT),
        },
        told={"amount": 2**40, "city": "X"},
        kept=OLD,
        new={"amount": 2**40, "city": "X"},
        spent=[8, 16, 24, 24 + 2**41],
        rewards=[4, 4, 1099511627776],
    ),
    "a fraction": Case(
        now=shop(replace(AMOUNT, dtype=pl.Float64), CITY),
        plan={
            SALE: (Grade.RECOMPUTE, (), AGAIN),
            FACT: (Grade.RECOMPUTE, (), AGAIN),
            VIEW: (Grade.RECOMPUTE, (), AGAIN),
        },
        told={"amount": 0.5, "city": "X"},
        kept={"amount": 4.0, "city": "X"},
        new={"amount": 0.5, "city": "X"},
        spent=[8, 16, 24, 25],
        rewards=[4, 4, 0.5],
    ),
    "another name": Case(
        now=shop(NET, CITY, of="net"),
        plan=dict.fromkeys((SALE, FACT), (Grade.ADDITIVE, ("net",), KEPT)),
        told={"net": 7, "city": "X"},
        kept={"net": 4, "city": "X"},
        new={"net": 7, "city": "X"},
        spent=[8, 16, 24, 38],
        rewards=[4, 4, 7],
    ),
    "made optional": Case(
        now=shop(AMOUNT, replace(CITY, nullable=True)),
        plan=dict.fromkeys((SALE, FACT), (Grade.ADDITIVE, ("city",), KEPT)),
        told={"amount": 4},
        kept=OLD,
        new={"amount": 4, "city": None},
        spent=[8, 16, 24, 32],
        rewards=[4, 4, 4],
    ),
    "retired": Case(
        now=shop(AMOUNT, replace(CITY, retired=True)),
        plan=dict.fromkeys((SALE, FACT), (Grade.ADDITIVE, ("city",), KEPT)),
        told={"amount": 4},
        kept=OLD,
        new={"amount": 4, "city": None},
        spent=[8, 16, 24, 32],
        rewards=[4, 4, 4],
    ),
    "removed": Case(
        now=shop(AMOUNT),
        plan={SALE: (Grade.BREAKING, (), KEPT), FACT: (Grade.ADDITIVE, (), KEPT)},
        told={"amount": 4},
        kept={"amount": 4},
        new={"amount": 4},
        spent=[8, 16, 16, 24],
        rewards=[4, None, 4],
        refusal="unknown field",
    ),
    "another meaning, beside the old": Case(
        now=shop(AMOUNT, CITY, AFTER_TAX, of="amount_net", reward="amount"),
        plan={
            SALE: (Grade.ADDITIVE, ("amount_net",), KEPT),
            FACT: (Grade.RECOMPUTE, ("amount_net",), AGAIN),
            VIEW: (Grade.RECOMPUTE, (), AGAIN),
        },
        told={**OLD, "amount_net": 3},
        kept={**OLD, "amount_net": None},
        new={**OLD, "amount_net": 3},
        spent=[0, 0, 0, 6],
        rewards=[4, 4, 4],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_declaration_changes_over_data(name: str, tmp_path: Path) -> None:
    """Planned as graded, carried out, planned no more; old days, new days, old producers."""
    case, before = CASES[name], shop(AMOUNT, CITY)
    home = Home(tmp_path)
    opened(home, before)
    for day in (0, 1):
        assert isinstance(send(home, before, day, f"old-{day}", OLD), Received)
    turn(home, before, *days(2))
    planned = {s.change.table: s for s in steps(home, [case.now], {}) if s.change.table in TABLES}
    found = {
        table: (s.change.grade, s.change.carried, bool(s.ranges)) for table, s in planned.items()
    }
    quiet = {t: v for t, v in found.items() if v[0] is not Grade.DESCRIPTION}
    assert {t: quiet.get(t) for t in case.plan} == case.plan
    assert not any(again for t, (_, _, again) in found.items() if t not in case.plan)
    for table, step in planned.items():
        carry(home, [case.now], meanings([case.now])[table], table, step.carried)
        for span in step.ranges:
            turn(home, case.now, *span, tables=[table])
    assert [s for s in steps(home, [case.now], {}) if s.change.table in TABLES] == []

    served = send(home, case.now, 2, "old-2", OLD)
    if case.refusal:
        assert isinstance(served, Refused)
        assert case.refusal in served.reason
    else:
        assert isinstance(served, Received), served
    assert isinstance(send(home, case.now, 3, "new-3", case.told), Received)
    turn(home, case.now, START + 2 * DAY, START + 3 * DAY)
    kept = [case.kept] * (2 if case.refusal else 3)
    for table in (SALE, FACT):
        assert rows(home, case.now, table) == [*kept, case.new], table
    assert spent(home, case.now) == case.spent
    assert rewards(home, case.now, *days(3)) == case.rewards
    # Rematerialized from what was received in either shape, every day comes out the same.
    versions = [Tables(home.lakehouse).version(table) for table in TABLES]
    turn(home, case.now, *days(4))
    assert [Tables(home.lakehouse).version(table) for table in TABLES] == versions


def test_a_retired_field_that_is_used_is_refused_with_its_users() -> None:
    """Feature, fact, label, reward and policy are all listed, each with its owners."""
    with pytest.raises(DeclarationError) as refused:
        meanings([shop(replace(AMOUNT, retired=True), CITY)])
    for used in (
        "organize/fct_sale.twice (team:till)",
        "features/spending.spent (team:shop)",
        "features/spending.dear (team:shop)",
        "shop/training_set.reward (team:shop)",
        "shop/decisions.score (team:calls)",
    ):
        assert used in str(refused.value)
    meanings([shop(AMOUNT, replace(CITY, retired=True))])


@pytest.mark.parametrize("run", [True, False], ids=["run so", "applied"])
def test_a_field_that_was_retired_may_go(tmp_path: Path, *, run: bool) -> None:
    """Retired on a day that was run, or by a plan that was applied; without either it breaks."""
    city = replace(CITY, nullable=True)
    before, now = shop(AMOUNT, city), shop(AMOUNT, replace(city, retired=True))
    gone, home = shop(AMOUNT), Home(tmp_path)
    opened(home, before)

    def grade(wheel: Flywheel) -> Grade | None:
        found = {s.change.table: s.change.grade for s in steps(home, [wheel], {})}
        return found.get(SALE)

    for day in range(3):
        send(home, before, day, f"sale-{day}", OLD)
    turn(home, before, *days(2))
    assert grade(gone) is Grade.BREAKING
    assert grade(now) is Grade.DESCRIPTION
    if run:
        turn(home, now, START + 2 * DAY, START + 2 * DAY)
    else:
        [sale] = [s for s in steps(home, [now], {}) if s.change.table == SALE]
        carry(home, [now], meanings([now])[SALE], SALE, sale.carried)
        assert grade(now) is None
    assert grade(gone) is Grade.ADDITIVE
    kept = plan(meanings([now]), meanings([gone]))
    assert {c.table: c.grade for c in kept}[SALE] is Grade.ADDITIVE


def test_an_easier_contract_that_had_rejected_records_is_made_again(tmp_path: Path) -> None:
    """Where records were rejected for the field, the easier contract takes them now."""
    folder = tmp_path / "files"
    folder.mkdir()
    source = DailyFiles(path=str(folder), event_time="at")
    (folder / f"{START}.csv").write_text(
        f"buyer_id,amount,city,at\n1,4,X,{START}T01:00:00Z\n1,5,,{START}T02:00:00Z\n"
    )
    before = shop(AMOUNT, CITY, source=source)
    home = Home(tmp_path / "home")
    opened(home, before)
    turn(home, before, *days(1))
    now = shop(AMOUNT, replace(CITY, nullable=True), source=source)
    planned = {s.change.table: s for s in steps(home, [now], {})}
    assert planned[SALE].change.grade is Grade.RECOMPUTE
    assert planned[SALE].ranges == (days(1),)
    turn(home, now, *days(1))
    assert {row["city"] for row in rows(home, now, FACT)} == {"X", None}


def test_files_of_the_old_shape_are_read_by_declared_rule(tmp_path: Path) -> None:
    """An old name and a column with a default are served, what is not declared so is refused."""
    folder = tmp_path / "files"
    folder.mkdir()
    source = DailyFiles(path=str(folder), event_time="at")
    old = f"buyer_id,amount,city,at\n1,4,X,{START}T01:00:00Z\n"
    new = f"buyer_id,net,city,channel,at\n1,7,X,web,{START + DAY}T01:00:00Z\n"
    (folder / f"{START}.csv").write_text(old)
    (folder / f"{START + DAY}.csv").write_text(new)
    pl.read_csv(old.encode()).write_parquet(folder / "old.parquet")
    told = replace(CHANNEL, default=None)
    wheel = shop(NET, CITY, told, of="net", source=source)
    home = Home(tmp_path / "home")
    opened(home, wheel)
    turn(home, wheel, *days(2))
    assert rows(home, wheel, SALE) == [
        {"net": 4, "city": "X", "channel": None},
        {"net": 7, "city": "X", "channel": "web"},
    ]
    unserved = (shop(NET, CITY, CHANNEL, of="net", source=source), "its default or old_names")
    renamed = (shop(replace(NET, old_names=()), CITY, told, of="net", source=source), "'net'")
    for changed, said in (unserved, renamed):
        with pytest.raises(SourceError, match=said):
            turn(home, changed, *days(1), tables=[SALE])


def test_a_table_is_rewritten_in_one_commit(tmp_path: Path) -> None:
    """Names and types change, values and old versions stay; what would not fit changes nothing."""
    tables, day = Tables(tmp_path), date(2026, 1, 5)
    old = {"partition_date": pl.Date(), "amount": pl.Int64(), "n": pl.Int32()}
    for i in range(3):
        at = day + i * DAY
        tables.replace(
            "t", pl.DataFrame({"partition_date": [at], "amount": [i], "n": [i]}, old), old, at, at
        )
    version = tables.version("t")
    net = Field(name="net", dtype=pl.Float64, old_names=("amount",), description="Net.")
    now = Columns({"partition_date": pl.Date(), "net": pl.Float64(), "n": pl.Int64()}, [net])
    lazily = tables.read("t", now).sort("n").collect()
    assert tables.evolve("t", now)
    assert not tables.evolve("t", now)
    stored = pl.read_delta(str(tables.path("t"))).sort("n")
    assert dict(stored.schema) == dict(now)
    assert stored.select(*now).equals(lazily)
    assert lazily["net"].to_list() == [0.0, 1.0, 2.0]
    before = tables.read("t", now, version=version).sort("n").collect()
    assert before.equals(lazily)
    # A run that was started under the old declaration ends after the rewrite.
    at = day + 3 * DAY
    stale = pl.DataFrame(
        {"partition_date": [at], "amount": [3], "n": [3]}, {**old, "n": pl.Int64()}
    )
    tables.replace("t", stale, {**old, "n": pl.Int64()}, at, at)
    assert tables.read("t", now).collect()["net"].sort().to_list() == [0.0, 1.0, 2.0, 3.0]
    large = pl.DataFrame({"partition_date": [day], "amount": [2**53 + 1], "n": [0]}, old)
    tables.replace("u", large, old, day, day)
    files = sorted(tables.path("u").rglob("*.parquet"))
    with pytest.raises(FlywheelError, match="holds exactly"):
        tables.evolve("u", now)
    assert sorted(tables.path("u").rglob("*.parquet")) == files
    assert tables.read("u", old).collect().select(large.columns).equals(large)


def test_a_record_that_says_both_names_is_refused(tmp_path: Path) -> None:
    """Which of them would count nobody knows; the same content has the same id in either shape."""
    wheel, home = shop(NET, CITY, of="net"), Home(tmp_path)
    both = send(home, wheel, 0, "x", {**OLD, "net": 4})
    assert isinstance(both, Refused)
    assert both.reason == "$.payload.amount: expected it once, found net, its name by now, too"
    more = shop(NET, CITY, replace(CHANNEL, default=None), of="net")
    fewer = shop(AMOUNT, replace(CITY, retired=True))
    record = {"kind": "sale", "event_time": f"{START}T01:00:00Z", "entity": {"buyer_id": 1}}
    body = json.dumps({**record, "payload": OLD}).encode()
    read = [
        Reader([w.outcome.fact.observation]).one(body)
        for w in (shop(AMOUNT, CITY), wheel, more, fewer)
    ]
    assert len({one.observation_id for one in read if isinstance(one, Received)}) == 1
    assert all(isinstance(one, Received) for one in read)


def test_without_a_home_renames_are_graded_too() -> None:
    """One branch against another: another name is additive, a narrower type breaks."""
    before, renamed = meanings([shop(AMOUNT, CITY)]), meanings([shop(NET, CITY, of="net")])
    assert {c.table: c.grade for c in plan(before, renamed) if c.grade > Grade.DESCRIPTION} == {
        SALE: Grade.ADDITIVE,
        FACT: Grade.ADDITIVE,
    }
    wide = meanings([shop(replace(AMOUNT, dtype=pl.Int64), CITY)])
    narrowed = {c.table: c.grade for c in plan(wide, before)}
    assert narrowed[SALE] is narrowed[FACT] is Grade.BREAKING
    demanding = shop(AMOUNT, CITY, replace(CHANNEL, nullable=False))
    assert plan(before, meanings([demanding]))[0].grade is Grade.BREAKING
    kept = json.loads(json.dumps({t: asdict(m) for t, m in renamed.items()}))
    assert plan({t: Meaning(**m) for t, m in kept.items()}, renamed) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"default": 5}, "nullable with default=None"),
        ({"default": None, "nullable": False}, "nullable with default=None"),
        ({"nullable": False, "default": 5}, "values of field"),
        ({"nullable": False, "default": "x", "allowed": ("a",)}, "among the allowed"),
        ({"old_names": ("channel",)}, "'channel' twice"),
        ({"old_names": ("city",)}, "'city' twice"),
        ({"name": "buyer_id", "dtype": pl.Int64, "default": None}, "'buyer_id' twice"),
    ],
)
def test_a_change_that_cannot_be_is_refused(changed: dict[str, Any], said: str) -> None:
    """Defaults that the contract refuses, and names that stand twice."""
    with pytest.raises(DeclarationError, match=said):
        shop(AMOUNT, CITY, replace(CHANNEL, **changed))


REWRITE = """
import sys
from pathlib import Path
import deltalake
import polars as pl
from flywheel_assets import Field
from flywheel_assets.declare.shape import Columns
from flywheel_assets.stores.tables import Tables
net = Field(name="net", dtype=pl.Float64, old_names=("amount",), description="Net.")
now = Columns({"partition_date": pl.Date(), "net": pl.Float64()}, [net])
sys.stdout.write("go\\n")
sys.stdout.flush()
Tables(Path(sys.argv[1])).evolve("t", now)
"""


def test_a_rewrite_that_is_killed_leaves_the_table_readable(tmp_path: Path) -> None:
    """Killed at any moment the same rows are read, and the next rewrite ends it."""
    tables, day, n_days = Tables(tmp_path), date(2026, 1, 5), 60
    old = {"partition_date": pl.Date(), "amount": pl.Int64()}
    rows = {"partition_date": [day + i * DAY for i in range(n_days)], "amount": range(n_days)}
    tables.replace("t", pl.DataFrame(rows, old), old, day, day + (n_days - 1) * DAY)
    net = Field(name="net", dtype=pl.Float64, old_names=("amount",), description="Net.")
    now = Columns({"partition_date": pl.Date(), "net": pl.Float64()}, [net])
    expected = [float(i) for i in range(n_days)]
    for delay in (0.0, 0.02, 0.06, 0.15):
        command = [sys.executable, "-c", REWRITE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        assert tables.read("t", now).sort("net").collect()["net"].to_list() == expected
    tables.evolve("t", now)
    assert pl.read_delta(str(tables.path("t"))).sort("net")["net"].to_list() == expected
