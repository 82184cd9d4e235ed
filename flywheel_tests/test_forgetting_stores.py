"""What forgetting takes out of each kind of store, and what it leaves, at the edges."""

import gzip
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from flywheel_assets import HomeError, SqlSource
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.dagster_assets.forgetting import forget
from flywheel_assets.dagster_assets.whom import entity_of, sought_for
from flywheel_assets.declare.flywheel import catalog
from flywheel_assets.stages.collect import observation_schema
from flywheel_assets.stores.forgetting import databases, files, sources, tables
from flywheel_assets.stores.forgetting.receipts import Receipts
from flywheel_assets.stores.forgetting.searching import holds
from flywheel_assets.stores.forgetting.sought import Sought
from flywheel_assets.stores.forgetting.suppressed import Suppressed
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox, Received, Rejected
from flywheel_assets.stores.pulled import PULLED_SCHEMA
from flywheel_assets.stores.tables import Tables
from flywheel_assets.stores.vacuum import vacuum
from flywheel_tests import clicks, durable_writers, serving
from flywheel_tests.durable_writers import DAY, NEXT
from flywheel_tests.durable_writers import rows as numbered
from flywheel_tests.forgetting_killed import TABLE, THEIRS, erase
from flywheel_tests.shelf import shelf
from flywheel_tests.web import WHEELS, click

SCHEMA: dict[str, Any] = {"partition_date": pl.Date(), "who": pl.String(), "note": pl.String()}
ANNA = 'anna"ä\\@example.com'
"""A key that JSON writes in other ways."""


def sought(value: str = ANNA, **more: Any) -> Sought:
    return Sought({"who": value}, {"who": ["who", "Who is it"]}, {"shop": ["who"]}, **more)


def rows(*who: str, day: date = DAY, note: str = "-") -> pl.DataFrame:
    data = [{"partition_date": day, "who": one, "note": note} for one in who]
    return pl.DataFrame(data, schema=SCHEMA)


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ('{"entity": {"who": "17"}, "payload": {"n": 3}}', True),
        ('{"Who is it": 17}', True),
        ("who: expected Int64, found 17", True),
        ("n: expected Int64, found 17", False),
        ("shop:2026-01-05:17", True),
        ("other:2026-01-05:17", False),
        ("shop:2026-01-05:171", False),
        ('{"who": 171, "n": 17}', False),
        ('{"who": 1, "n": "who 17"}', True),
    ],
)
def test_a_short_id_counts_beside_its_key(text: str, mentioned: bool) -> None:
    """As Python and Polars read it; what is scrubbed mentions nobody, and JSON stays JSON."""
    short = sought("17")
    assert short.mentioned(text) is mentioned
    frame = pl.DataFrame({"note": [text]})
    assert frame.select(short.rows(frame.schema)).to_series().to_list() == [mentioned]
    scrubbed = short.scrubbed(text)
    assert (scrubbed != text) is mentioned
    assert not short.mentioned(scrubbed)
    if text.startswith("{"):
        json.loads(scrubbed)


def test_a_broken_line_needs_no_key() -> None:
    """A raw record that names no key is theirs when it has the id among its words."""
    raw = pl.DataFrame({"record": ["5,17,France", "5,171,France", '{"who": 3, "n": 17}', None]})
    short = sought("17")
    assert raw.select(short.rows(raw.schema)).to_series().to_list() == [True, False, False, False]
    assert [short.in_raw(text) for text in raw["record"][:3]] == [True, False, False]


def test_a_pair_is_forgotten_and_its_halves_stay() -> None:
    """All keys have to be there; a customer alone takes all of its pairs."""
    things = catalog([shelf()])
    frame = pl.DataFrame(
        {
            "customer_id": [1, 1, 2],
            "item_id": ["i3", "i4", "i3"],
            "decision_id": [f"shelf:2026-01-05:{pair}" for pair in ("1|i3", "1|i4", "2|i3")],
        }
    )
    for keys, theirs in (
        ({"customer_id": "1", "item_id": "i3"}, [True, False, False]),
        ({"customer_id": "1"}, [True, True, False]),
        ({"item_id": "i3"}, [True, False, True]),
    ):
        one = sought_for(things, entity_of(things, keys), keys)
        for columns in (frame, frame.select("decision_id")):
            assert columns.select(one.rows(columns.schema)).to_series().to_list() == theirs


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"custmer_id": "1"}, "did you mean 'customer_id=...'"),
        ({"customer_id": "x"}, "customer_id as Int64"),
        ({"item_id": ""}, "item_id as String"),
    ],
)
def test_keys_are_those_of_a_declared_entity(keys: dict[str, str], said: str) -> None:
    things = catalog([shelf()])
    with pytest.raises(HomeError, match=said):
        sought_for(things, entity_of(things, keys), keys)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write a table of four versions: with her on one day, replaced twice; never on the other."""
    lake = Tables(tmp_path)
    lake.replace("a/t", rows("ben", ANNA), SCHEMA, DAY, DAY)
    lake.replace("a/t", rows("ben", day=NEXT), SCHEMA, NEXT, NEXT)
    lake.replace("a/t", rows("ben", ANNA, note="later"), SCHEMA, DAY, DAY)
    return tmp_path / "a/t"


def parquet(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("*.parquet") if "_delta_log" not in f.parts]


def test_versions_that_never_held_them_stay(table: Path) -> None:
    """Of old versions only the files with their rows go: the other day reads as it was."""
    holding = tables.look(table, "a/t", sought())
    assert (holding.rows, holding.current, holding.past_files) == (1, 3, 1)
    assert [tables.held_by(holding, v, DAY, NEXT) for v in range(4)] == [0, 1, 1, 1]
    assert tables.held_by(holding, 2, NEXT, NEXT) == 0
    tables.erase(holding, sought())
    lake = Tables(table.parents[1])
    assert lake.read("a/t", SCHEMA).collect()["who"].to_list() == ["ben", "ben"]
    assert lake.read("a/t", SCHEMA, NEXT, NEXT, version=2).collect()["who"].to_list() == ["ben"]
    with pytest.raises(OSError, match="No such file"):
        lake.read("a/t", SCHEMA, DAY, DAY, version=1).collect()
    assert not any(holds(file, sought()) for file in table.rglob("*") if file.is_file())
    # A table that lacks old files is vacuumed and written as any other.
    home = Home(table.parents[1])
    assert not vacuum(replace_lakehouse(home), 0)
    assert lake.replace("a/t", rows("cas"), SCHEMA, DAY, DAY)


def test_a_day_of_theirs_alone_stays_a_day(table: Path) -> None:
    """Without rows: what was decided about them alone was decided, and no day before is newer."""
    lake = Tables(table.parents[1])
    lake.replace("a/t", rows(ANNA, day=NEXT), SCHEMA, NEXT, NEXT)
    tables.erase(tables.look(table, "a/t", sought()), sought())
    assert lake.days("a/t") == [DAY, NEXT]
    assert lake.read("a/t", SCHEMA).collect()["who"].to_list() == ["ben"]
    assert not any(holds(file, sought()) for file in table.rglob("*") if file.is_file())


def replace_lakehouse(home: Home) -> Home:
    """Let a folder of tables be the lakehouse of a home."""
    (home.root / "lakehouse").mkdir()
    (home.root / "a").rename(home.root / "lakehouse" / "a")
    (home.root / "a").symlink_to(home.root / "lakehouse" / "a")
    return home


def test_what_others_wrote_into_the_log(table: Path) -> None:
    """Bounds in statistics, predicates, and checkpoints that sum them up."""
    write_deltalake(str(table), rows(ANNA, "dan", day=NEXT).to_arrow(), mode="append")
    DeltaTable(str(table)).delete(predicate=f"who = 'dan' or who = 'not {ANNA}'")
    DeltaTable(str(table)).create_checkpoint()
    log = table / "_delta_log"
    assert sum(holds(file, sought()) for file in log.iterdir()) >= 3
    tables.erase(tables.look(table, "a/t", sought()), sought())
    assert tables.clean_log(table, sought()) >= 3
    assert not any(holds(file, sought()) for file in table.rglob("*") if file.is_file())
    assert sorted(pl.read_delta(str(table))["who"]) == ["ben", "ben"]


def test_killed_before_any_change(tmp_path: Path) -> None:
    """Whatever call to the disk is the last, the same again ends without her."""
    whole, copies = tmp_path / "whole", tmp_path / "copies"
    for note in (1, 2):
        both = pl.concat([numbered(note, 7310245), numbered(7310245, day=NEXT)])
        Tables(whole).replace(TABLE, both, durable_writers.SCHEMA, DAY, NEXT)
    command = [sys.executable, "-m", "flywheel_tests.forgetting_killed", str(whole), str(copies)]
    subprocess.run(command, check=True, timeout=120)
    roots = list(copies.iterdir())
    assert len(roots) > 10
    for root in roots:
        erase(root)
        assert pl.read_delta(str(root / TABLE))["n"].to_list() == [2]
        assert not any(holds(file, THEIRS) for file in root.rglob("*") if file.is_file())
        assert not tables.look(root / TABLE, TABLE, THEIRS).files


def test_freed_pages_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was deleted before, without care, is in the file until it is written anew."""
    file = tmp_path / "some.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute('create table "a b" (id integer primary key, "c d" text, n integer)')
        texts = [f"{one} says {'x' * 5000}" for one in (*["ben"] * 50, *["anna-anna"] * 50)]
        database.executemany('insert into "a b" ("c d", n) values (?, 1)', ((t,) for t in texts))
        database.execute('delete from "a b" where id > 60')
    anna = sought("anna-anna")
    assert b"anna-anna" in file.read_bytes()
    assert databases.mentions(file, anna) == 10
    assert databases.scrub(file, anna) == 10
    assert b"anna-anna" not in b"".join(f.read_bytes() for f in tmp_path.iterdir())
    with closing(sqlite3.connect(file)) as database:
        counts = 'select count(*), sum("c d" like \'forgotten says%\') from "a b"'
        assert database.execute(counts).fetchone() == (60, 10)
    with closing(sqlite3.connect(file, isolation_level=None)) as busy:
        busy.execute("begin immediate")
        monkeypatch.setattr(databases, "_WAIT_S", 0.01)
        with pytest.raises(HomeError, match="end the API"):
            databases.scrub(file, anna)


def test_the_inbox(tmp_path: Path) -> None:
    """Records, rejects, and the ids by which collected ones are known again; no one else's."""
    inbox = Inbox(tmp_path, clock=lambda: 1)
    inbox.put([clicks.sent(f"c{one}", one) for one in (16, 17)])
    inbox.collected("click", 0)
    inbox.put([clicks.sent(f"d{one}", one) for one in (16, 17)])
    inbox.reject([Rejected("click", "torn", f'{{"visitor_id": {one}'.encode()) for one in (16, 17)])
    inbox.reject([Rejected(None, "no JSON", b"17 and more"), Rejected(None, "no JSON", b"\xff16")])
    inbox.close()
    one = Sought({"visitor_id": "17"}, {"visitor_id": ["visitor_id"]})
    ids = [("click", "c17")]
    assert databases.received(inbox.path, one, ids) == 4
    assert databases.erase_received(inbox.path, one, ids) == 4
    assert databases.erase_received(inbox.path, one, ids) == 0
    again = Inbox(tmp_path, clock=lambda: 9)
    receipts = again.put([clicks.sent(f"{c}16", 16) for c in "cd"])
    assert {r.status for r in receipts} == {"duplicate"}
    assert [raw for _, _, raw in again.rejects(None)] == [b"\xff16"]
    assert len(again.rejects("click")) == 1
    again.close()


def test_other_files(tmp_path: Path) -> None:
    """Texts are written anew, what was set aside goes, what cannot be judged is said."""
    home, anna = Home(tmp_path), sought("anna-anna").also(["24 Anna's Lane"])
    (tmp_path / "set_aside").mkdir()
    (tmp_path / "set_aside" / "part.gz").write_bytes(gzip.compress(b"anna-anna"))
    (tmp_path / "note.txt").write_text("anna-anna lives at 24 Anna's Lane; susanna-anna does not")
    (tmp_path / "ben.txt").write_text("ben")
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("schema.json", '{"categories": ["24 Anna\'s Lane"]}')
    found = {file.name: files.scrub(home, file, anna) for file in files.others(home)}
    assert found == {"part.gz": 1, "note.txt": 1, "ben.txt": 0, "model.skops": 0}
    text = (tmp_path / "note.txt").read_text()
    assert text == "forgotten lives at forgotten; susanna-anna does not"
    left = [file.name for file in files.others(home) if files.mentions(file, anna)]
    assert left == ["model.skops"]


def test_a_source_below_the_home(tmp_path: Path) -> None:
    """Its records go; all other bytes of the file stay."""
    home = Home(tmp_path)
    home.save(Settings(start=DAY))
    (tmp_path / "clicks").mkdir()
    file = tmp_path / "clicks" / f"{DAY}.csv"
    kept = 'Visitor,page,seconds,at\r\n16,"a\r\nb 17",1.5,x\r\n\r\n171,c,17,y\r\n'
    file.write_bytes((kept + '17,"d\r\ne",2,z\r\n17.0,f,2,z\r\ntorn 17\r\n').encode())
    things = catalog(WHEELS)
    one = sought_for(things, entity_of(things, {"visitor_id": "17"}), {"visitor_id": "17"})
    assert sources.below(home, things.observations) == {file: click}
    assert sources.count(file, click, one) == 3
    schema = observation_schema(click)
    Tables(home.lakehouse).replace("collect/click", pl.DataFrame(schema=schema), schema, DAY, DAY)
    counted = forget(home, WHEELS, {"visitor_id": "17"}, by="a test", dry_run=True)
    assert counted.elsewhere == {f"clicks/{DAY}.csv": 3}
    assert counted.sources == [], "it goes with the rest"
    assert sources.erase(file, click, one) == 3
    assert file.read_bytes() == kept.encode()
    assert sources.erase(file, click, one) == 0


def test_who_comes_back_is_kept_out(tmp_path: Path) -> None:
    """What is logged of her later is counted and is nowhere; of others all is collected."""
    anna = 7_310_245_998_113
    torn = f'{{"kind": "click", "entity": {{"visitor_id": {anna}}}'.encode()
    home = clicks.home_with(
        tmp_path,
        (clicks.us(0), [clicks.sent("a", anna), clicks.sent("b", 17), clicks.sent("c", anna)]),
    )
    inbox = Inbox(home.inbox, clock=lambda: clicks.us(0, 13))
    inbox.reject([Rejected("click", "torn", torn), Rejected("click", "torn", torn[:-4])])
    inbox.put([clicks.sent("a", anna)])
    inbox.close()
    Suppressed.of(home).add({"visitor_id": str(anna)})
    work = Collecting(clicks.click, home, Settings(start=clicks.START))
    result, received = work.collect(clicks.START, clicks.START)
    assert received == 6
    assert result.observations["observation_id"].to_list() == ["b"]
    assert sorted(result.rejected["reason"]) == ["forgotten", "forgotten", "forgotten", "torn"]
    assert result.accounts.row(0)[1:] == (6, 1, 4, 1)
    again, _ = work.collect(clicks.START, clicks.START)
    assert again.rejected.equals(result.rejected)
    one = Sought({"visitor_id": str(anna)}, {"visitor_id": ["visitor_id"]})
    found = [f for f in home.lakehouse.rglob("*") if f.is_file() and holds(f, one)]
    assert not found


def test_pairs_and_short_ids_are_kept_out_exactly(tmp_path: Path) -> None:
    kept = Suppressed(tmp_path / "forgotten.json")
    kept.add({"customer_id": "1", "item_id": "i3"})
    kept.add({"visitor_id": "17"})
    kept.add({"visitor_id": "17"})
    assert len(json.loads(kept.path.read_text())["entities"]) == 2
    frame = pl.DataFrame({"customer_id": [1, 1, 2, None], "item_id": ["i3", "i4", "i3", "i3"]})
    assert kept.rows(frame).to_list() == [True, False, False, False]
    texts = [
        '{"customer_id": 1, "item_id": "i3"}',
        '{"customer_id": 1, "item_id": "i4"}',
        '{"entity": {"visitor_id": "17"}, "payload": {}}',
        '{"entity": {"visitor_id": 16}, "payload": {"n": 17}}',
        "not JSON, 17",
        None,
    ]
    said = kept.texts(pl.Series(texts)).to_list()
    assert said == [True, False, True, False, False, False]


def test_the_command_killed_and_run_again(tmp_path: Path) -> None:
    """A real process, killed when it comes to the tables: the next one finishes its receipt."""
    home, anna = Home(tmp_path / "home"), 7_310_245
    home.save(Settings(start=DAY, end=DAY))
    serving.publish(home, DAY, {anna: "contact", 8: "hold"})
    serving.publish(home, NEXT, {anna: "hold", 9: "contact"})
    inbox = Inbox(home.inbox)
    inbox.put([Received("order_line", "o", 1, f'{{"entity":{{"customer_id":{anna}}}}}'.encode())])
    inbox.close()
    command = [sys.executable, "-m", "flywheel_assets.cli", "forget", f"customer_id={anna}"]
    environment = os.environ | {"FLYWHEEL_HOME": str(home.root)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(b"taking it out of repurchase/decisions"):
                process.kill()
                break
    (begun,) = Receipts.of(home).all()
    assert begun.finished_at is None
    done = serving.command(home, "forget", f"customer_id={anna}", "--json", "--by", "legal")
    assert done.returncode == 0, done.stderr
    (receipt,) = Receipts.of(home).all()
    assert json.loads(done.stdout) == asdict(receipt)
    assert receipt.id == begun.id
    assert receipt.finished_at is not None
    counts = {"before": 4, "theirs": 2, "after": 2, "past_files": 0}
    assert receipt.rows == {"repurchase/decisions": counts}
    assert receipt.elsewhere == {"inbox": 1}
    one = Sought({"customer_id": str(anna)}, {"customer_id": ["customer_id"]})
    assert not [f for f in home.root.rglob("*") if f.is_file() and holds(f, one)]
    wrong = serving.command(home, "forget", f"custmer_id={anna}")
    assert wrong.returncode == 1
    assert "customer_id" in wrong.stderr


BUYER = 1_234_567
"""An id that is somebody else's amount, row or invoice, too."""


def buyer(value: int = BUYER, **more: Any) -> Sought:
    return Sought(
        {"buyer_id": str(value)},
        {"buyer_id": ["buyer_id", "Buyer"]},
        integers=frozenset({"buyer_id"}),
        **more,
    )


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        (f'{{"rows": {BUYER}}}', False),
        (f'{{"amount":"{BUYER}","note":"-"}}', False),
        (f'{{"said": "{{\\"amount\\": \\"{BUYER}\\"}}"}}', False),
        (f"{BUYER}", False),
        ("at 2026-01-05T08:00:00.1234567", False),
        (f"0.{BUYER}", False),
        (f'{{"Buyer": "0{BUYER}"}}', True),
        (f'{{"said": "{{\\"buyer_id\\": \\"{BUYER}.0\\"}}"}}', True),
        (f"buyer_id={BUYER} first", True),
        (f'{{"amount": {BUYER}, "note": "called {BUYER} twice"}}', True),
        (f"8,{BUYER},-", True),
    ],
)
def test_a_number_as_a_whole_is_somebody_elses(text: str, mentioned: bool) -> None:
    """Unless it stands beside the key's name; the rest of a text stays when it is scrubbed."""
    one = buyer()
    assert one.mentioned(text) is mentioned
    frame = pl.DataFrame({"note": [text]})
    assert frame.select(one.rows(frame.schema)).to_series().to_list() == [mentioned]
    assert (one.scrubbed(text) != text) is mentioned
    assert not one.mentioned(one.scrubbed(text))
    assert one.scrubbed(text).count(f'"amount": {BUYER}') == text.count(f'"amount": {BUYER}')


def test_numbers_of_a_database_stay(tmp_path: Path) -> None:
    """Keys, whole numbers and others' fields; of texts what mentions her goes, twice over."""
    file = tmp_path / "events.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute(
            "create table e (id integer primary key, name text unique, n integer, buyer_id text, "
            "event text)"
        )
        rows = [
            (BUYER, f"x {BUYER}", 1, "8", f'{{"rows": {BUYER}}}'),
            (BUYER + 1, "y", BUYER, str(BUYER), f"of {BUYER}"),
            (3, "z", BUYER + 1, "9", "-"),
        ]
        database.executemany("insert into e values (?, ?, ?, ?, ?)", rows)
        database.commit()
    assert databases.scrub(file, buyer()) == 2
    assert databases.scrub(file, buyer(BUYER + 1)) == 0
    assert databases.mentions(file, buyer()) == 1  # a unique name, for a person to judge
    with closing(sqlite3.connect(file)) as database:
        after = database.execute("select * from e order by n").fetchall()
    assert after == [rows[0], (BUYER + 1, "y", BUYER, "0", "of 0"), rows[2]]


def test_a_source_database_below_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a team's: no other file, and not touched."""
    home, file = Home(tmp_path), tmp_path / "shop.db"
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{file}")
    file.write_bytes(databases.MAGIC)
    (tmp_path / "note.txt").write_text("-")
    source = SqlSource(url="SHOP_URL", table="sales", cursor="id", event_time="at")
    shop = replace(click, source=source)
    assert sources.databases_below(home, [shop, click]) == {file}
    assert list(files.others(home, {file})) == [tmp_path / "note.txt"]


def test_in_tables_the_keys_decide(tmp_path: Path) -> None:
    """Somebody else's invoice, amount and cursor stay; nothing of hers is found afterwards."""
    schema: dict[str, Any] = {
        "partition_date": pl.Date(),
        "buyer_id": pl.Int64(),
        "invoice": pl.String(),
        "cents": pl.Int64(),
    }
    frame = pl.DataFrame(
        [(DAY, BUYER, "a", 1), (DAY, 7, str(BUYER), 2), (DAY, 8, "c", BUYER)],
        schema=schema,
        orient="row",
    )
    records = [
        {"Buyer": f"0{BUYER}", "amount": "1"},
        {"Buyer": "8", "amount": str(BUYER)},
        {"Buyer": "7", "amount": "2"},
    ]
    cursors = ["1", "2", str(BUYER)]
    told = [(DAY, DAY, c, json.dumps(r)) for c, r in zip(cursors, records, strict=True)]
    pulled = pl.DataFrame([*told, (DAY, DAY, str(BUYER), None)], schema=PULLED_SCHEMA, orient="row")
    for name, table, whole in (("o/sale", frame, schema), ("c/pulled", pulled, PULLED_SCHEMA)):
        Tables(tmp_path).replace(name, table, whole, DAY, DAY)
        holding = tables.look(tmp_path / name, name, buyer())
        assert holding.rows == 1
        tables.erase(holding, buyer())
        assert Tables(tmp_path).read(name, whole).collect().equals(table[1:])
        assert not [f for f in (tmp_path / name).rglob("*") if f.is_file() and holds(f, buyer())]


@pytest.mark.parametrize(
    "magic", [b"PAR1", b"BZh", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\xfd7zXZ"]
)
def test_what_only_looks_packed(tmp_path: Path, magic: bytes) -> None:
    """Set aside it goes, elsewhere it is said; what is text after all is judged as text."""
    home, torn = Home(tmp_path), magic + b"\x00\xff torn"
    (tmp_path / "set_aside").mkdir()
    for file in (tmp_path / "set_aside" / "x", tmp_path / "y"):
        file.write_bytes(torn)
    assert {f.name: files.scrub(home, f, buyer()) for f in files.others(home)} == {"x": 1, "y": 0}
    assert [f.name for f in files.others(home) if files.mentions(f, buyer())] == ["y"]
    if magic.isascii():
        (tmp_path / "z").write_bytes(magic + b" is how my log begins")
        assert not holds(tmp_path / "z", buyer())


def test_records_of_others_in_a_source(tmp_path: Path) -> None:
    """Their numbers and dates stay; a file may begin with a byte order mark."""
    file = tmp_path / "clicks.csv"
    kept = "\ufeffVisitor,page,seconds,at\r\n8,b,17,x\r\n9,2026-01-17,3,x\r\n9,torn,2026-01-17\r\n"
    file.write_text(kept + "017,a,1,x\r\n", encoding="utf-8", newline="")
    things = catalog(WHEELS)
    one = sought_for(things, entity_of(things, {"visitor_id": "17"}), {"visitor_id": "17"})
    assert sources.erase(file, click, one) == 1
    assert file.read_bytes() == kept.encode()
    records = pl.DataFrame({"record": ["9,3,2026-01-17 08:17:00", "9,1.17,x", "9,17,x"]})
    theirs = records.select(one.rows(records.schema)).to_series()
    assert theirs.to_list() == [False, False, True]


def test_numbers_of_others_are_not_kept_out(tmp_path: Path) -> None:
    """Nor are theirs that stand where no id can; hers are, however a text writes them."""
    kept = Suppressed(tmp_path / "forgotten.json")
    kept.add({"buyer_id": str(BUYER)}, {"buyer_id"})
    texts = {
        f"{BUYER}": False,
        f'{{"entity": {{"buyer_id": 8}}, "payload": {{"amount": {BUYER}, "n": "{BUYER}"}}}}': False,
        f"at 2026-01-05 08:00:00.{BUYER}": False,
        f'{{"entity": {{"buyer_id": "0{BUYER}"}}}}': True,
        f'{{"buyer_id": {BUYER}.0}}': True,
        f'{{"torn": 1, "entity": {{"buyer_id": {BUYER}}}': True,
        f"8,0{BUYER},x": True,
        f"called {BUYER} twice": True,
    }
    assert kept.texts(pl.Series(list(texts))).to_list() == list(texts.values())
