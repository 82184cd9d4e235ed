"""A SQL database read by its cursor: each row once, on the day on which it became known."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel_assets import DeclarationError, Entity, Field, Observation, SourceError, SqlSource
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stores.forgetting.suppressed import Suppressed
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.pulled import Pulled
from flywheel_assets.stores.sources import needed
from flywheel_assets.stores.sql import CURSOR, read_rows
from flywheel_assets.stores.tables import Tables
from flywheel_tests.clicks import DAY, OWNERS, START
from flywheel_tests.conftest import contents

URL = "FLYWHEEL_TEST_DATABASE"
buyer = Entity(name="buyer", keys=("buyer_id",), owners=OWNERS, description="Who buys.")
QUERY = "SELECT * FROM sales WHERE v IS NOT NULL"
Execute = Callable[[str], None]


def source(**changes: Any) -> SqlSource:
    """Declare a table of a database, with changes."""
    told = {"url": URL, "table": "sales", "cursor": "id", "event_time": "at", **changes}
    return SqlSource(**told)


def sale(**changes: Any) -> Observation:
    """Declare sales in a table of a database, with changes to the source."""
    return Observation(
        name="sale",
        entity=buyer,
        owners=OWNERS,
        description="A sale.",
        source=source(**changes),
        fields=(
            Field(name="buyer_id", dtype=pl.Int64, description="Who."),
            Field(name="amount", dtype=pl.Float64, minimum=0, description="For how much."),
        ),
    )


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """Make a SQLite database."""
    file = tmp_path / "shop.db"
    monkeypatch.setenv(URL, f"sqlite:///{file}")

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(statement)
            connection.commit()

    return execute


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run a PostgreSQL server that listens on a socket in a folder of its own."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path("/tmp") / f"flywheel-{os.getpid()}"  # noqa: S108  socket paths must be short
    folder.mkdir()
    folder.chmod(0o777)
    data = str(folder / "data")
    # It refuses to run as root.
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    as_user = nobody if os.getuid() == 0 else []

    def run(*command: str) -> None:
        out = subprocess.DEVNULL
        subprocess.run([*as_user, *command], check=True, cwd=folder, stdout=out)

    options = f"-c fsync=off -c listen_addresses='' -c unix_socket_directories={folder}"
    run("initdb", "-D", data, "-U", "shop", "-A", "trust", "--no-sync")
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield f"postgresql://shop@/postgres?host={folder}"
    run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def postgres(server: str, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """Start with an empty PostgreSQL database."""
    monkeypatch.setenv(URL, server)

    def execute(statement: str) -> None:
        import adbc_driver_postgresql.dbapi

        with (
            adbc_driver_postgresql.dbapi.connect(server) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            connection.commit()

    execute("DROP TABLE IF EXISTS sales")
    return execute


@pytest.fixture(params=["sqlite", "postgres"])
def execute(request: pytest.FixtureRequest) -> Execute:
    """Execute statements in either database."""
    found: Execute = request.getfixturevalue(request.param)
    return found


def collect(home: Home, day: int, of: Observation) -> tuple[int, int]:
    """Collect a day, counted from the start; gives how many were collected and rejected."""
    at = START + day * DAY
    result, _ = Collecting(of, home, Settings(start=START)).collect(at, at)
    return result.observations.height, result.rejected.height


def test_rows_become_known_on_the_day_they_are_read(execute: Execute, tmp_path: Path) -> None:
    """Only what is new is read; a late row counts on the day of the read; closed days stay."""
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    execute("CREATE TABLE sales (id BIGINT, buyer_id BIGINT, amount FLOAT, at TIMESTAMP)")
    execute(
        "INSERT INTO sales VALUES (1, 7, 1.5, '2026-01-01 08:00:00'),"
        " (2, 7, 2.5, '2026-01-05 08:00:00'), (3, 8, -1, '2026-01-05 09:00:00'),"
        " (4, 8, 4.5, '2026-01-06 08:00:00')"
    )
    assert collect(home, 0, sale()) == (2, 1)
    execute("INSERT INTO sales VALUES (5, 9, 5.5, '2026-01-05 23:00:00')")
    execute("DELETE FROM sales WHERE id < 4")
    assert collect(home, 0, sale()) == (2, 1)
    assert collect(home, 1, sale()) == (2, 0)
    assert collect(home, 2, sale()) == (0, 0)
    # Read when nothing was there, a day that has been is not changed by what comes later.
    execute("INSERT INTO sales VALUES (5, 6, 6.5, '2026-01-07 23:00:00')")
    assert collect(home, 2, sale()) == (0, 0)
    assert collect(home, 3, sale()) == (1, 0)
    table = contents(home.root)["collect/sale"].sort("partition_date", "amount")
    assert table["amount"].to_list() == [1.5, 2.5, 4.5, 5.5, 6.5]
    assert [(d - START).days for d in table["partition_date"]] == [0, 0, 1, 1, 3]
    late = table.filter(amount=5.5).row(0, named=True)
    assert late["known_at"].date() == START + DAY
    assert late["event_time"].isoformat() == "2026-01-05T23:00:00+00:00"
    before = contents(home.root)
    execute("DROP TABLE sales")
    assert [collect(home, day, sale()) for day in range(4)] == [(2, 1), (2, 0), (0, 0), (1, 0)]
    assert all(frame.equals(before[name]) for name, frame in contents(home.root).items())


def test_what_is_yet_to_happen_is_rejected(sqlite: Execute, tmp_path: Path) -> None:
    """A row of a later century is not kept waiting for it."""
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    sqlite("CREATE TABLE sales (id BIGINT, buyer_id BIGINT, amount FLOAT, at TIMESTAMP)")
    sqlite("INSERT INTO sales VALUES (1, 7, 1.5, '2126-01-01 08:00:00'), (2, 7, 1.5, 'soon')")
    assert collect(home, 0, sale()) == (0, 2)
    reasons = contents(home.root)["collect/sale_rejected"]["reason"].sort().to_list()
    assert reasons[0] == "at: expected a time, found soon"
    assert reasons[1].startswith("event_time: expected a time that has been, found 2126")


def test_a_query_with_a_time_as_its_cursor(execute: Execute, tmp_path: Path) -> None:
    """A row that is changed is read again, as another observation; others at its moment, too."""
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    execute("CREATE TABLE sales (buyer INT, amount FLOAT, changed TIMESTAMP)")
    execute("INSERT INTO sales VALUES (7, 1, '2026-01-05 08:00:00')")
    query = "SELECT buyer AS buyer_id, amount, changed FROM sales WHERE amount < 9"
    changes = {"table": None, "query": query, "cursor": "changed", "event_time": "changed"}
    assert collect(home, 0, sale(**changes)) == (1, 0)
    execute(
        "INSERT INTO sales VALUES (8, 2, '2026-01-05 08:00:00'), (9, 10, '2026-01-06 01:00:00')"
    )
    execute("UPDATE sales SET amount = 3, changed = '2026-01-06 08:00:00' WHERE buyer = 7")
    assert collect(home, 1, sale(**changes)) == (2, 0)
    assert contents(home.root)["collect/sale"]["amount"].sort().to_list() == [1.0, 2.0, 3.0]


AS_COLLECT_READS_IT: list[tuple[str, str, str]] = [
    ("uuid", "'00000000-0000-0000-0000-00000000000A'", "00000000-0000-0000-0000-00000000000a"),
    ("jsonb", """'{"a":1}'""", '{"a": 1}'),
    ("numeric(10,2)", "1.50", "1.50"),
    ("numeric", "12345678901234567890.123456789", "12345678901234567890.123456789"),
    ("inet", "'10.0.0.1'", "10.0.0.1/32"),
    ("text[]", "'{a,b}'", "{a,b}"),
    ("money", "1.5", "$1.50"),
    ("bytea", "'ab'", "\\x6162"),
    ("boolean", "true", "true"),
    ("smallint", "3", "3"),
    ("real", "1.1", "1.1"),
    ("float8", "0.1::float8 + 0.2::float8", "0.30000000000000004"),
    ("date", "'2026-01-05'", "2026-01-05"),
    ("timestamp", "'2026-01-05 10:00:00.5'", "2026-01-05 10:00:00.5"),
    ("timestamptz", "'2026-01-05 10:00+02'", "2026-01-05 08:00:00+00:00"),
    ("char(3)", "'ab'", "ab"),
    ("text", "'x: y'", "x: y"),
    ("text", "null", ""),
]


def test_every_type_of_postgresql_is_read_as_its_text(postgres: Execute) -> None:
    """Numbers exactly, times in UTC, and what Arrow has no type for."""
    names = [f"v{i}" for i in range(len(AS_COLLECT_READS_IT))]
    told = ", ".join(
        f"({value})::{dtype} AS {name}"
        for name, (dtype, value, _) in zip(names, AS_COLLECT_READS_IT, strict=True)
    )
    postgres(f"CREATE TABLE sales AS SELECT 1 AS id, {told}")
    postgres("ALTER ROLE shop SET timezone TO 'Asia/Tokyo'")
    postgres("ALTER ROLE shop SET datestyle TO 'German'")
    found = read_rows(source(), names, None).row(0, named=True)
    postgres("ALTER ROLE shop RESET ALL")
    wanted = [text or None for _, _, text in AS_COLLECT_READS_IT]
    assert [found[name] for name in names] == wanted


def test_numbers_and_times_are_collected_as_declared(postgres: Execute, tmp_path: Path) -> None:
    """A numeric is a number, a time with a zone the moment that it is."""
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    postgres(
        "CREATE TABLE sales (id numeric, buyer_id bigint, amount numeric(9,2), at timestamptz)"
    )
    postgres("INSERT INTO sales VALUES (9, 7, 1.50, '2026-01-05 10:00+02')")
    assert collect(home, 0, sale()) == (1, 0)
    [row] = contents(home.root)["collect/sale"].select("amount", "event_time").rows()
    assert row == (1.5, datetime(2026, 1, 5, 8, tzinfo=UTC))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("date", ["'2026-01-05'", "'2026-01-06'"]),
        ("numeric", ["9.10", "10"]),
        ("uuid", [f"'00000000-0000-0000-0000-00000000000{n}'" for n in "9a"]),
        ("timestamptz", ["'2026-01-05 10:00+02'", "'2026-01-05 09:00+00'"]),
        ("timestamp", ["'2026-01-05 10:00:00.000001'", "'2026-01-05 10:00:00.000002'"]),
        ("float8", ["0.1::float8 + 0.2::float8", "10"]),
        ("bigint", ["9", "10"]),
        ("varchar", ["'a:''b'", "'b'"]),
    ],
)
def test_reading_goes_on_at_the_cursor(postgres: Execute, dtype: str, values: list[str]) -> None:
    """In the order of its type, which is not that of its text; what is at it comes again."""
    postgres(f"CREATE TABLE sales (id {dtype}, n int)")
    postgres(f"INSERT INTO sales VALUES ({values[1]}, 2), ({values[0]}, 1)")  # noqa: S608  ours
    rows = read_rows(source(), ["n"], None)
    assert rows["n"].to_list() == ["1", "2"]
    assert read_rows(source(), ["n"], rows[CURSOR][0])["n"].to_list() == ["1", "2"]
    assert read_rows(source(), ["n"], rows[CURSOR][1])["n"].to_list() == ["2"]


def test_a_cursor_of_no_certain_order_is_refused(postgres: Execute) -> None:
    """As is one of the other database, and one that is null."""
    postgres("CREATE TABLE sales (id jsonb, other int)")
    postgres("INSERT INTO sales VALUES ('1', null)")
    with pytest.raises(SourceError, match=r"a cursor 'id' of type .* found jsonb"):
        read_rows(source(), ["other"], None)
    with pytest.raises(SourceError, match="a cursor 'other' without nulls; found 1"):
        read_rows(source(cursor="other"), ["id"], None)
    with pytest.raises(SourceError, match="from another database"):
        read_rows(source(), ["other"], "blob:1")


def test_values_of_sqlite_have_types_of_their_own(sqlite: Execute) -> None:
    """However many rows of another type, or of none, come before."""
    sqlite("CREATE TABLE sales (id INTEGER PRIMARY KEY, note TEXT, amount NUMERIC, v, at TEXT)")
    sqlite(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " INSERT INTO sales SELECT i, NULL, i, NULL, '2026-01-05' FROM n"
    )
    sqlite("INSERT INTO sales VALUES (2001, 'it: is', 2.5, 0.1, 'x'), (2002, '', 2, 1e300, 'x')")
    sqlite("INSERT INTO sales VALUES (2003, 'null', 9007199254740993, 0.1 + 0.2, 'x')")
    found = read_rows(source(), ["note", "amount", "v"], None)
    assert found.head(2000)["amount"].to_list() == [str(i) for i in range(1, 2001)]
    assert found.head(2000)["note"].null_count() == 2000
    assert found.tail(3).select("note", "amount", "v").rows() == [
        ("it: is", "2.5", "0.1"),
        ("", "2", "1e+300"),
        ("null", "9007199254740993", "0.30000000000000004"),
    ]
    assert read_rows(source(), ["note"], found[CURSOR][2001])["note"].to_list() == ["", "null"]
    by_text = read_rows(source(cursor="v", table=None, query=QUERY), ["id"], None)
    assert by_text["id"].to_list() == ["2001", "2003", "2002"]
    at = by_text[CURSOR][1]
    assert read_rows(source(cursor="v"), ["id"], at)["id"].to_list() == ["2003", "2002"]
    with pytest.raises(SourceError, match=r"no such column: source\.nothing"):
        read_rows(source(), ["nothing"], None)
    sqlite("INSERT INTO sales VALUES (2004, x'00ff', 1, 1, 'x')")
    with pytest.raises(SourceError, match="found a BLOB"):
        read_rows(source(), ["note"], None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("shop:pa/SECRET@127.0.0.1:1/db", "parts escaped"),
        ("shop:x@SECRET@127.0.0.1:1/db", "parts escaped"),
        ("shop:SEC:RET/abc@127.0.0.1:1/db", "parts escaped"),
        ("shop:pa%SECRET@127.0.0.1:1/db", "parts escaped"),
        ("shop:pa%00SECRET@127.0.0.1:1/db", "parts escaped"),
        ("shop:a[SECRET@127.0.0.1:1/db", "parts escaped"),
        ("shop:1?SECRET@127.0.0.1:1/db", "parts escaped"),
        ("shop:1?SECRET=1@127.0.0.1:1/db", "parts escaped"),
        ("shop:1#SECRET@127.0.0.1:1/db", "parts escaped"),
        ("shop:pa%2FSECRET@127.0.0.1:1/db", "Connection refused"),
        ("shop:SECRET@[::1]:1,127.0.0.1:1/db?connect_timeout=1", "::1"),
        ("shop:SECRET@/db?host=/nowhere", "/nowhere"),
    ],
)
def test_no_part_of_the_password_is_told(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    """A URL that the driver would take apart elsewhere never gets to it."""
    monkeypatch.setenv(URL, f"postgresql://{url}")
    with pytest.raises(SourceError) as refused:
        read_rows(source(), ["at"], None)
    assert "SECRET" not in str(refused.value)
    assert said in str(refused.value)


def test_a_reject_is_the_same_however_many_days_are_collected(
    sqlite: Execute, tmp_path: Path
) -> None:
    """Its line counts from the first of its day."""
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    sqlite("CREATE TABLE sales (id BIGINT, buyer_id BIGINT, amount FLOAT, at TIMESTAMP)")
    sqlite(
        "INSERT INTO sales VALUES (1, 7, 1, '2026-01-05 08:00:00'),"
        " (2, 7, 1, '2026-01-06 08:00:00'), (3, 7, -9, '2026-01-06 08:30:00')"
    )
    Collecting(sale(), home, Settings(start=START)).collect(START, START + DAY)
    together = contents(home.root)["collect/sale_rejected"]
    assert together["line"].to_list() == [2]
    assert collect(home, 1, sale()) == (1, 1)
    assert contents(home.root)["collect/sale_rejected"].equals(together)


def test_what_cannot_be_read_is_said_without_the_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable, no such table, and a URL in place of the variable's name."""
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    with pytest.raises(SourceError, match="sqlite or postgresql; found none"):
        collect(home, 0, sale())
    with closing(sqlite3.connect(tmp_path / "empty.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SourceError, match="no such table: sales"):
        collect(home, 0, sale())
    monkeypatch.setenv(URL, "mysql://root:secret@host/db")
    with pytest.raises(SourceError) as refused:
        collect(home, 0, sale())
    assert "secret" not in str(refused.value)
    with pytest.raises(DeclarationError) as stated:
        sale(url="postgresql://shop:secret@host/db")
    assert "secret" not in str(stated.value)
    with pytest.raises(DeclarationError, match="a table or a query"):
        sale(query="SELECT 1")


def test_who_was_forgotten_is_not_pulled_again(tmp_path: Path, sqlite: Execute) -> None:
    """Rows at the cursor are read again, hers among them, however the database writes her id."""
    sqlite("create table sales (id integer, buyer_id text, amount float, at text)")
    for who, amount in (("01234567", 1), ("8", 1234567)):
        sqlite(f"insert into sales values (1, '{who}', {amount}, '{START}')")  # noqa: S608  ours
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    Suppressed.of(home).add({"buyer_id": "1234567"})
    result, _ = Collecting(sale(), home, Settings(start=START)).collect(START, START)
    assert result.observations["buyer_id"].to_list() == [8]
    kept = contents(home.root)["collect/sale_pulled"]["record"].drop_nulls().to_list()
    assert [json.loads(record)["buyer_id"] for record in kept] == ["8"]


def test_who_pulls_waits_for_who_does(tmp_path: Path, sqlite: Execute) -> None:
    """Else both would begin where the last read ended, and one lose what the other kept."""
    sqlite("create table sales (id integer, buyer_id integer, amount float, at text)")
    sqlite(f"insert into sales values (1, 7, 1.0, '{START}')")  # noqa: S608  ours
    home = Home(tmp_path / "home")
    home.save(Settings(start=START))
    pulled = Pulled(Tables(home.lakehouse), sale(), START)
    with ThreadPoolExecutor(1) as pool:
        with pulled.held():
            other = pool.submit(collect, home, 1, sale())
            with pytest.raises(TimeoutError):
                other.result(timeout=1)
            rows = read_rows(source(), needed(sale(), source()), None)
            pulled.keep(rows, pl.Series([START]), START)
            sqlite(f"insert into sales values (2, 8, 1.0, '{START}')")  # noqa: S608  ours
        assert other.result() == (1, 0)
    kept = contents(home.root)["collect/sale_pulled"].drop_nulls("record")
    assert kept["partition_date"].to_list() == [START, START + DAY]


@pytest.mark.parametrize("name", ["a#1.db", "a?b.db", "a%41.db", "a b.db"])
def test_a_database_file_may_be_called_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its name is a path, not a part of a URL; no other file appears."""
    with closing(sqlite3.connect(tmp_path / name)) as connection:
        connection.execute("create table sales (id integer, buyer_id integer, amount, at)")
        connection.execute("insert into sales values (1, 7, 1.5, '2026-01-01')")
        connection.commit()
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path / name}")
    rows = read_rows(source(), ["id", "buyer_id", "amount", "at"], None)
    assert rows["buyer_id"].to_list() == ["7"]
    assert [file.name for file in tmp_path.iterdir()] == [name]
