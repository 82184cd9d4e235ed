"""What the first hour meets: a file as it is found, and mistakes that say what to do."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from flywheel_assets import DeclarationError, Entity, Field, Flywheel, Observation, TableFile
from flywheel_assets.changes.columns import _read
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.rules import FILE, LINE, PROBLEM, RAW
from flywheel_assets.project import declared
from flywheel_assets.stages.collect import validate
from flywheel_assets.starting.validating import sample
from flywheel_assets.stores.data_files import missing
from flywheel_assets.stores.forgetting.sought import Sought
from flywheel_assets.stores.forgetting.sources import _without
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.raw import read_csv
from flywheel_assets.stores.sources import read_source
from flywheel_tests.test_starting import (
    environment,
    inside,  # noqa: F401  a fixture
    project,  # noqa: F401  what it works in
)

DAY = date(2026, 1, 5)
OWNERS = ["team:bank"]
MESSY = (
    "\ufeffInvoice; Customer ID ;Invoice Date;Quantity; Unit Price ;Name;\r\n"
    "1000;17850.0;06/01/2026 16:59;-6; 4,20;Müller;\r\n"
    "1001; 17851 ;2026-01-07 09:31:00;?;1;?;\r\n"
    '1002;17850.5;31/02/2026 10:00;2,0;1.234;"?";\r\n'
    "1003;17852;08/01/2026 10:00;1.000;2,5;x"
)


def orders(path: Path) -> Observation:
    """Declare what such a file holds."""
    entity = Entity(name="customer", keys=("customer_id",), owners=OWNERS, description="Who.")
    return Observation(
        name="order",
        entity=entity,
        owners=OWNERS,
        description="An order.",
        source=TableFile(
            path=str(path),
            event_time="Invoice Date",
            time_format=("%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M:%S"),
            columns={
                "customer_id": " Customer ID ",
                "quantity": "Quantity",
                "price": " Unit Price ",
                "name": "Name",
            },
            separator=";",
            null_values=("?",),
            decimal=",",
        ),
        fields=(
            Field(name="customer_id", dtype=pl.Int64, description="Who."),
            Field(name="quantity", dtype=pl.Int64, nullable=True, description="How many."),
            Field(name="price", dtype=pl.Float64, description="Of one."),
            Field(name="name", dtype=pl.String, nullable=True, description="Of whom."),
        ),
    )


def test_a_file_as_it_is_found(tmp_path: Path) -> None:
    """Separator, nulls, decimals, mixed times and blanks as declared; the rest is rejected."""
    path = tmp_path / "orders.csv"
    path.write_bytes(MESSY.encode())
    observation = orders(path)
    assert observation.source is not None
    found = read_source(observation, path, DAY, DAY, start=DAY)
    assert found is not None
    checked = validate(found, observation, observation.source).sort("line")
    sound = checked.filter(pl.col("reason").is_null())
    assert sound.select("event_time", "customer_id", "quantity", "price", "name").rows() == [
        (datetime(2026, 1, 6, 16, 59, tzinfo=UTC), 17850, -6, 4.2, "Müller"),
        (datetime(2026, 1, 7, 9, 31, tzinfo=UTC), 17851, None, 1.0, None),
    ]
    third, cut = checked.filter(pl.col("reason").is_not_null())["reason"]
    for said in ("customer_id: expected Int64, found 17850.5", "price: expected Float64"):
        assert said in third
    assert "Invoice Date: expected a time, found 31/02/2026 10:00" in third
    assert "the last record may be cut off" in cut


def raw(prices: list[str], more: dict[str, list[str | None]] | None = None) -> pl.DataFrame:
    """Give orders as they are read, of these prices as text."""
    return pl.DataFrame(
        {
            "Invoice Date": "06/01/2026 16:59",
            " Customer ID ": "1",
            "Quantity": None,
            " Unit Price ": prices,
            "Name": None,
        }
        | (more or {}),
        schema_overrides={"Quantity": pl.String, "Name": pl.String},
    ).with_columns(
        pl.lit(1, pl.Int64).alias(LINE),
        pl.lit("orders.csv").alias(FILE),
        pl.lit(None, pl.String).alias(PROBLEM),
        pl.lit(None, pl.String).alias(RAW),
    )


@given(value=st.floats(-1e9, 1e9), digits=st.integers(0, 5))
def test_decimal_commas_never_read_as_another_number(value: float, digits: int) -> None:
    """A number is read as it was written, or not at all."""
    observation = orders(Path("orders.csv"))
    source = observation.source
    assert source is not None
    written = f"{value:.{digits}f}"
    texts = [written.replace(".", ","), written, f"{value:,.{digits}f}"]
    prices = validate(raw(texts), observation, source)["price"].to_list()
    assert prices[0] == float(written)
    grouped = "," in texts[2]
    assert prices[1] in ((None,) if digits == 3 else (float(written),))
    assert not grouped or prices[2] is None or digits == 0


MARKS = ((",", "."), (".", ","), (" ", ","), ("'", "."), ("\u00a0", ","))


@given(value=st.floats(-1e9, 1e9), digits=st.integers(0, 5), marks=st.sampled_from(MARKS))
def test_thousands_are_read_as_they_were_written(
    value: float, digits: int, marks: tuple[str, str]
) -> None:
    """With and without their marks; a mark that stands elsewhere makes it no number."""
    thousands, decimal = marks
    observation = orders(Path("orders.csv"))
    assert isinstance(observation.source, TableFile)
    source = replace(observation.source, thousands=thousands, decimal=decimal)
    swapped = f"{value:,.{digits}f}".replace(",", "T").replace(".", decimal)
    texts = [swapped.replace("T", thousands), swapped.replace("T", ""), f"1{thousands}2", "7"]
    frame = raw(texts, {"Quantity": [None, None, f"12{thousands}345", f"1{thousands}23"]})
    checked = validate(frame, observation, source)
    number = float(f"{value:.{digits}f}")
    assert checked["price"].to_list() == [number, number, None, 7.0]
    assert checked["quantity"].to_list() == [None, None, 12345, None]


def test_what_a_file_writes_for_nothing_is_part_of_what_its_table_means() -> None:
    """Each option of reading changes the meaning; left as it was it is as if it were not there."""
    observation = orders(Path("orders.csv"))
    assert isinstance(observation.source, TableFile)
    plain = replace(observation.source, null_values=(), decimal=".", thousands=None)
    told = {
        _read(plain),
        _read(replace(plain, null_values=("?",))),
        _read(replace(plain, decimal=",")),
        _read(replace(plain, thousands=",")),
        _read(replace(plain, time_format=None)),
    }
    assert len(told) == 5
    options = [(f.name, getattr(plain, f.name)) for f in fields(plain)]
    before = [o for o in options if o[0] not in ("columns", "null_values", "decimal", "thousands")]
    assert _read(plain) == fingerprint("TableFile", sorted(before))


def test_only_what_is_declared_and_unquoted_is_null(tmp_path: Path) -> None:
    """A quoted ? is text; so is any without being declared."""
    path = tmp_path / "a.csv"
    path.write_text('a,b\n?,"?"\nNA,x?\n')
    assert read_csv(path, ["a", "b"])["a"].to_list() == ["?", "NA"]
    frame = read_csv(path, ["a", "b"], null_values=("?", "NA"))
    assert frame.select("a", "b").rows() == [(None, "?"), (None, "x?")]


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("1,234.50", "thousands=','"),
        ("1.234,50", "thousands='.', decimal=','"),
        ("1 234", "thousands=' '"),
        ("12,50", "decimal"),
    ],
)
def test_a_number_that_is_written_otherwise_says_what_to_declare(
    tmp_path: Path, written: str, remedy: str
) -> None:
    """And what the remedy says makes it fit."""
    path = tmp_path / "orders.csv"
    path.write_text(MESSY.splitlines()[0] + f"\n1;2;2026-01-07 09:31:00;3;{written};x;\n")
    plain = orders(path)
    assert isinstance(plain.source, TableFile)
    observation = replace(plain, source=replace(plain.source, decimal="."))
    [misfit] = sample(observation, path).misfits
    assert misfit.found == written
    assert remedy in misfit.remedy
    declared = dict(re.findall(r"(thousands|decimal)='(.)'", misfit.remedy)) or {"decimal": ","}
    options: dict[str, Any] = {"decimal": "."} | declared
    source = replace(plain.source, **options)
    assert sample(replace(plain, source=source), path).misfits == ()


@pytest.mark.parametrize("first", ["who", '"who"'])
def test_a_byte_order_mark_hides_nobody_who_is_forgotten(tmp_path: Path, first: str) -> None:
    """The key is found in the first column, and no other record that has the number goes."""
    path = tmp_path / "orders.csv"
    path.write_bytes(f"\ufeff{first},n\n1,2\n2,1\n".encode())
    entity = Entity(name="customer", keys=("who",), owners=OWNERS, description="Who.")
    fields = tuple(Field(name=n, dtype=pl.Int64, description=n) for n in ("who", "n"))
    observation = replace(
        orders(path),
        entity=entity,
        fields=fields,
        source=TableFile(path=str(path), event_time="who"),
    )
    kept, gone = _without(path, observation, Sought({"who": "1"}, {"who": ["who"]}))
    assert (kept.decode(), gone) == (f"\ufeff{first},n\n2,1\n", 1)


def test_who_is_forgotten_is_found_as_the_source_writes_numbers(tmp_path: Path) -> None:
    """With marks between thousands and a comma before decimals."""
    path = tmp_path / "orders.csv"
    path.write_text("who;n\n17.850,0;1\n17851;2\n")
    entity = Entity(name="customer", keys=("who",), owners=OWNERS, description="Who.")
    fields = tuple(Field(name=n, dtype=pl.Int64, description=n) for n in ("who", "n"))
    source = TableFile(path=str(path), event_time="n", separator=";", decimal=",", thousands=".")
    observation = replace(orders(path), entity=entity, fields=fields, source=source)
    who = Sought({"who": "17850"}, {"who": ["who"]}, integers=frozenset({"who"}))
    kept, gone = _without(path, observation, who)
    assert (kept.decode(), gone) == ("who;n\n17851;2\n", 1)


def test_sources_that_cannot_be_meant() -> None:
    """A string for a tuple, and a decimal that is none, are refused with the remedy."""
    with pytest.raises(DeclarationError, match=r"null_values=\('\?',\)"):
        TableFile(path="a.csv", event_time="at", null_values="?")  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="decimal"):
        TableFile(path="a.csv", event_time="at", decimal=";")
    for mark in (".", "_"):
        with pytest.raises(DeclarationError, match="thousands as one of"):
            TableFile(path="a.csv", event_time="at", thousands=mark)


def test_mistakes_say_what_to_do(
    inside: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No home yet, no data yet, a home that cannot be written, a port that is taken."""
    said = inside("plan")
    assert (said.exit_code, "No table is made yet in" in said.output) == (0, True)
    said = inside("validate")
    assert "no data yet at" in said.output
    assert str(tmp_path / "home" / "landing" / "visits.csv") in said.output
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = inside("api", "--port", str(port))
    assert said.exit_code == 1
    assert f"port {port}" in said.output
    assert "--port" in said.output.partition("; ")[2]
    Home(tmp_path / "home").save(Settings(start=DAY))
    for option in ("--port", "--mlflow-port"):
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port, other = taken.getsockname()[1], free.getsockname()[1]
            free.close()
            ports = {"--port": other, "--mlflow-port": other + 1} | {option: port}
            said = inside("ui", *(str(word) for pair in ports.items() for word in pair))
        assert said.exit_code == 1
        assert f"port {port} to be free" in said.output
        assert f"choose another with {option}, or" in said.output
        assert "Dagster: http" not in said.output
    twice = inside("ui", "--port", str(other), "--mlflow-port", str(other))
    assert (twice.exit_code, "that it is taken" in twice.output) == (1, True)
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLYWHEEL_HOME", str(tmp_path / "file" / "home"))
    said = inside("run", "--from", "2026-01-05", "--to", "2026-01-05")
    assert said.exit_code == 1
    assert "a home that can be written at" in said.output
    assert "set FLYWHEEL_HOME" in said.output


def reading(path: str) -> Flywheel:
    """Declare the project's flywheel with its data in another place."""
    [tea_shop] = declared()
    view = tea_shop.views[0]
    visit = view.fact.observation
    assert isinstance(visit.source, TableFile)
    seen = replace(visit, source=replace(visit.source, path=path))
    features = replace(view, fact=replace(view.fact, observation=seen))
    outcome = replace(tea_shop.training_set, fact=features.fact)
    return replace(tea_shop, features=features, training_set=outcome)


def test_a_source_that_was_named_is_there_or_mistyped(
    inside: Callable[..., Result],  # noqa: F811
    project: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Declared with a path of its own it must be there, and may have no records yet."""
    path = tmp_path / "visits.csv"
    monkeypatch.setattr("tea_shop.FLYWHEELS", (reading(str(path)),))
    said = inside("validate")
    assert said.exit_code == 1
    assert f"found nothing at {path}" in said.output
    visits = project / "data" / "landing" / "visits.csv"
    path.write_text(visits.read_text().splitlines(keepends=True)[0])
    said = inside("validate")
    assert (said.exit_code, f"no records yet in {path}" in said.output) == (0, True)


def test_what_is_validated_may_be_a_glob(
    inside: Callable[..., Result],  # noqa: F811
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files that a pattern names are looked at, as a run reads them."""
    pattern = str(project / "data" / "landing" / "*.csv")
    monkeypatch.setattr("tea_shop.FLYWHEELS", (reading(pattern),))
    said = inside("validate", "--json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["sources"][0]["n_records"] == 5


def test_an_import_that_fails_is_found(
    inside: Callable[..., Result],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A learner whose library is not there: its name, and the line that imports it."""

    def absent() -> object:
        import sklearnx  # type: ignore[import-not-found]

        return sklearnx

    [tea_shop] = declared()
    wheel = replace(tea_shop, model=replace(tea_shop.model, estimator=absent))
    monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))
    said = inside("validate")
    assert said.exit_code == 1
    assert "No module named 'sklearnx' (test_first_hour.py, line" in said.output
    assert "install what it imports" in said.output


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("outcome", "where= of the outcome that can be computed"),
        ("candidates", "candidates= of the policy to be true or false"),
        ("bootstrap", "bootstrap= of the policy to be a number"),
        ("feature", "where= of feature "),
        ("derived", "derived column 'late' of fact 'visit' that can be computed"),
    ],
)
def test_an_expression_of_the_wrong_type_is_named(
    part: str,
    named: str,
    inside: Callable[..., Result],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By what it is for and as it is written; a computation says no more than that it failed."""
    [wheel] = declared()
    [view] = wheel.views
    outcome, policy, text = wheel.training_set, wheel.policy, pl.col("channel")
    late = replace(view.fact, derive={"late": text.dt.year()})
    floats = tuple(replace(a, where=pl.col("pages") / 2) for a in view.aggregations)
    changed: dict[str, dict[str, Any]] = {
        "outcome": {"training_set": replace(outcome, where=text > 3)},
        "candidates": {"decisions": replace(policy, candidates=pl.col("pages_30d"))},
        "bootstrap": {"decisions": replace(policy, bootstrap=pl.lit("first"))},
        "feature": {"features": replace(view, aggregations=floats)},
        "derived": {
            "features": replace(view, fact=late),
            "training_set": replace(outcome, fact=late),
        },
    }
    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, **changed[part]),))
    said = inside("validate")
    assert said.exit_code == 1
    assert named in said.output, said.output
    assert named in inside("plan").output
    assert named in inside("run", "--from", "2026-01-05", "--to", "2026-01-05").output
    with pytest.raises(DeclarationError, match="derived column 'late' of fact 'visit' to have a"):
        replace(
            view, fact=replace(view.fact, derive={"late": pl.col("pages") + pl.date(2026, 1, 5)})
        )


def test_a_check_that_stops_a_run_says_why(
    inside: Callable[..., Result],  # noqa: F811
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that share what should be unique: the check's own words, on the command line."""
    [tea_shop] = declared()
    view = tea_shop.views[0]
    fact = replace(view.fact, unique=("customer_id",))
    outcome = replace(tea_shop.training_set, fact=fact)
    features = replace(view, fact=fact)
    wheel = replace(tea_shop, features=features, training_set=outcome)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))
    visits = str(project / "data" / "landing" / "visits.csv")
    said = inside("run", "--from", "2026-01-05", "--to", "2026-01-06", "--source", visits)
    assert said.exit_code == 1
    assert "organize/fct_visit: unique_key: 2026-01-05 to 2026-01-06: " in said.output
    assert "dagster._core" not in said.output


def first_day(inside: Callable[..., Result], project: Path) -> Result:  # noqa: F811
    """Turn the project's flywheel on its first day."""
    visits = str(project / "data" / "landing" / "visits.csv")
    said = inside("run", "--from", "2026-01-05", "--to", "2026-01-05", "--source", visits)
    assert said.exit_code == 0, said.output
    return said


@pytest.mark.parametrize("lost", ["collect/visit", "features/customer_visits"])
def test_a_lost_file_comes_back_by_the_command_that_the_doctor_gives(
    lost: str,
    inside: Callable[..., Result],  # noqa: F811
    project: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Copied from a narrow terminal into a shell that knows of no home."""
    said = first_day(inside, project)
    table = tmp_path / "home" / "lakehouse" / lost
    next(table.rglob("*.parquet")).unlink()
    said = inside("doctor")
    assert said.exit_code == 1
    command = said.output.partition("or run: ")[2].strip()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = environment(PATH=path)
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=project,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert inside("doctor").output == "Nothing is wrong.\n"


def test_a_run_that_misses_a_file_says_whose(
    inside: Callable[..., Result],  # noqa: F811
    project: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The table, and who knows how to get it back; another file that is missing is another's."""
    said = first_day(inside, project)
    assert said.stderr.startswith(f"A new home at {tmp_path / 'home'}.\n")
    next((tmp_path / "home" / "lakehouse" / "organize" / "fct_visit").rglob("*.parquet")).unlink()
    said = inside("run", "--from", "2026-01-06", "--to", "2026-01-06")
    assert said.exit_code == 1
    assert "expected every data file of organize/fct_visit; found that part-" in said.stderr
    assert "flywheel doctor" in said.stderr
    assert "A new home" not in said.stderr
    lost = FileNotFoundError("No such file (os error 2): /h/lakehouse/a/model/x.parquet")
    assert missing(lost, tmp_path) is None
