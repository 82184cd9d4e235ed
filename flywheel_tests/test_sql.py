"""A SQL database read by its cursor: each row once, on the day on which it became known."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flywheel_assets import DeclarationError, Entity, Field, Observation, SourceError, SqlSource
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.stores.forgetting.suppressed import Suppressed
from flywheel_assets.stores.home import Home, Settings
from flywheel_tests.clicks import DAY, OWNERS, START
from flywheel_tests.conftest import contents

URL = "FLYWHEEL_TEST_DATABASE"
buyer = Entity(name="buyer", keys=("buyer_id",), owners=OWNERS, description="Who buys.")
Execute = Callable[[str], None]


def sale(**changes: Any) -> Observation:
    """Declare sales in a table of a database, with changes to the source."""
    told = {"url": URL, "table": "sales", "cursor": "id", "event_time": "at", **changes}
    return Observation(
        name="sale",
        entity=buyer,
        owners=OWNERS,
        description="A sale.",
        source=SqlSource(**told),
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
    source = {"table": None, "query": query, "cursor": "changed", "event_time": "changed"}
    assert collect(home, 0, sale(**source)) == (1, 0)
    execute(
        "INSERT INTO sales VALUES (8, 2, '2026-01-05 08:00:00'), (9, 10, '2026-01-06 01:00:00')"
    )
    execute("UPDATE sales SET amount = 3, changed = '2026-01-06 08:00:00' WHERE buyer = 7")
    assert collect(home, 1, sale(**source)) == (2, 0)
    assert contents(home.root)["collect/sale"]["amount"].sort().to_list() == [1.0, 2.0, 3.0]


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
