"""A project of one's own, from the first command to a turned wheel that was interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from flywheel_assets.cli import app
from flywheel_assets.errors import DeclarationError, HomeError, SourceError
from flywheel_assets.flywheels.repurchase import order_line
from flywheel_assets.project import PLACE, declared
from flywheel_assets.starting.new import write_project
from flywheel_assets.starting.validating import sample
from flywheel_assets.stores.alone import alone
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.testing import Rows
from flywheel_tests.conftest import contents

ROOT = Path(__file__).resolve().parents[1]
RANGE = ("--from", "2026-01-05", "--to", "2026-01-06")
AT_A_TERMINAL = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from flywheel_assets.cli import main; main()"
)
FLYWHEEL = [sys.executable, "-c", AT_A_TERMINAL]
"""The command, ended by Ctrl-C also where these tests were started so that they ignore it."""


def environment(**more: str) -> dict[str, str]:
    """Give what a command of the project's owner has: this package, and no home."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("FLYWHEEL_", "DAGSTER_"))}
    return kept | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"} | more


def command(where: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder, and see it succeed."""
    done = subprocess.run(
        arguments, cwd=where, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a project."""
    parent = tmp_path_factory.mktemp("own")
    write_project("tea_shop", parent)
    return parent / "tea_shop"


@pytest.fixture
def inside(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """Give the command line in the project's folder, in this process, with a home of its own."""
    monkeypatch.chdir(project)
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.setenv("FLYWHEEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    yield run
    for name in [n for n in sys.modules if n.startswith("tea_shop")]:
        del sys.modules[name]


def test_a_new_project_is_sound_and_its_tests_pass(
    project: Path, inside: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written, without a change: validated from a subfolder, with its sample, and tested."""
    monkeypatch.chdir(project / "tests")
    monkeypatch.delenv("FLYWHEEL_HOME")
    said = inside("validate")
    assert "tea_shop: the declaration is sound." in said.output
    assert "5 of 5 records fit" in said.output
    assert said.exit_code == 0
    assert "4 passed" in command(project, sys.executable, "-m", "pytest", "-q").stdout


def running(project: Path, home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command of the project's."""
    return subprocess.Popen(
        [*FLYWHEEL, *arguments],
        cwd=project,
        env=environment(FLYWHEEL_HOME=str(home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_leaves_nothing_broken(
    project: Path, tmp_path: Path, inside: Callable[..., Result]
) -> None:
    """Interrupted after its first run and started again, it decides what it would have."""
    arguments = ("run", "tea_shop", *RANGE, "--source", "data/landing/visits.csv")
    process = running(project, tmp_path / "home", *arguments)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert "features/customer_visits" in first
    assert process.returncode == 130, errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    resumed = inside(*arguments, "--json")
    assert resumed.exit_code == 0, resumed.output
    told = json.loads(resumed.stdout)
    assert told["skipped"] > 0
    assert told["runs"] > 0
    found = contents(tmp_path / "home")
    [tea_shop] = declared()
    visits = found["collect/visit"].select(
        *("customer_id", "pages", "channel", "event_time", "known_at")
    )
    loop = Rows(tea_shop, {"visit": visits.to_dicts()})
    expected = pl.concat([loop.decisions(date(2026, 1, 5)), loop.decisions(date(2026, 1, 6))])
    decided = found["tea_shop/decisions"]
    assert decided.height == told["rows"]["tea_shop/decisions"] == 4
    assert decided.equals(expected.select(decided.columns).sort(decided.columns))
    assert found["organize/fct_decision"].height == 2
    assert inside("doctor").output == "Nothing is wrong.\n"


def once_read(fifo: Path, process: "subprocess.Popen[str]") -> int:
    """Wait until a process opens a named pipe to read it; nothing comes while this end is open."""
    while process.poll() is None:
        with suppress(OSError):
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    return pytest.fail(f"ended without reading: {process.communicate()}")


def test_ctrl_c_inside_a_step(project: Path, tmp_path: Path, inside: Callable[..., Result]) -> None:
    """While collect reads its source: ended as such, and the same command goes on from there."""
    visits = tmp_path / "visits.csv"
    os.mkfifo(visits)
    arguments = ("run", "tea_shop", *RANGE, "--source", str(visits))
    with (
        running(project, tmp_path / "home", *arguments) as process,
        visits.open("w") as never_written,
    ):  # opened once the step opens it to read
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert not never_written.closed
    assert process.returncode == 130, errors
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    visits.unlink()
    visits.write_bytes((project / "data" / "landing" / "visits.csv").read_bytes())
    resumed = inside(*arguments, "--json")
    assert resumed.exit_code == 0, resumed.output
    assert json.loads(resumed.stdout)["rows"]["tea_shop/decisions"] == 4
    assert inside("doctor").output == "Nothing is wrong.\n"


def test_one_command_at_a_time_turns_a_home(
    project: Path, tmp_path: Path, inside: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second is refused at once and told of the first; a killed one is in nobody's way."""
    home = Home(tmp_path / "home")
    arguments = ("run", "tea_shop", *RANGE, "--source", "data/landing/visits.csv")
    with running(project, home.root, *arguments) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = f"`flywheel run`, process {process.pid}, since 20"
        with pytest.raises(HomeError, match=first), alone(home, "another"):
            pass
        process.kill()
    with alone(home, "flywheel run"):
        refused = [inside(*arguments), inside("apply")]
        for reading in ("plan", "status"):
            assert "error" not in inside(reading).output
        monkeypatch.setenv(PLACE, "flywheel_assets.flywheels:FLYWHEELS")
        refused += [inside("demo"), inside("forget", "customer_id=1", "--dry-run")]
    for said in refused:
        assert said.exit_code == 1
        assert f"found `flywheel run`, process {os.getpid()}, since 20" in said.output
        assert "wait until it ends" in said.output
    monkeypatch.delenv(PLACE)
    assert inside(*arguments).exit_code == 0


@pytest.mark.parametrize("reading", ["status", "report", "doctor"])
def test_a_home_that_cannot_be_written_is_told_in_words(
    tmp_path: Path, inside: Callable[..., Result], reading: str
) -> None:
    """Also to who only reads: no SQL, and what to do."""
    home = Home(tmp_path / "home")
    home.save(Settings(start=date(2026, 1, 5)))
    # As root anything can be written: a folder stands where a database would be opened.
    (home.dagster / "history" / "runs.db").mkdir(parents=True)
    said = inside(reading)
    assert said.exit_code == 1
    assert (
        f"expected a home that can be written at {home.root}; found unable to open" in said.output
    )
    assert "FLYWHEEL_HOME" in said.output
    assert "sqlalche" not in said.output


def test_a_mistyped_source_leaves_no_home(tmp_path: Path, inside: Callable[..., Result]) -> None:
    """Nothing is begun, so the next range may begin on another day and on another source."""
    for command in (("run", "tea_shop", *RANGE), ("validate",)):
        said = inside(*command, "--source", "data/landing/vists.csv")
        assert said.exit_code == 1
        assert "expected a file of visit in --source; found nothing at" in said.output
        assert "correct --source; nothing was begun" in said.output
        assert not (tmp_path / "home").exists()


def test_days_that_run_backwards_are_said_to(inside: Callable[..., Result]) -> None:
    """And are not taken for days that have not matured yet."""
    said = inside("performance", "--from", "2026-03-01", "--to", "2026-02-01")
    assert said.exit_code == 1
    assert "expected a last day that is not before the first" in said.output
    assert "found --from 2026-03-01 --to 2026-02-01; correct them" in said.output


def test_validate_says_what_does_not_fit(tmp_path: Path, inside: Callable[..., Result]) -> None:
    """Each kind of misfit once, with how many, where the first is, and what to do; status 1."""
    messy = tmp_path / "visits.csv"
    messy.write_text(
        "visited at,customer_id,n_pages,channel\n"
        "2026-01-05 09:30:00,1,many,web\n"
        "2026-01-05 09:31:00,1,0,web\n"
        "visited at,customer_id,n_pages,channel\n"
        "2026-01-05 09:32:00,,3,web\n"
        "yesterday,1,3,web\n"
        "2026-01-05 09:34:00,1,3,[/fax]\n"
        "2026-01-05 09:35:00,2,none,web\n"
        "2026-01-05 09:36:00,1,3,web\n"
        "2026-01-05 09:37:00,1,3,web \n"
    )
    asked = ("validate", "tea_shop", "--source", str(messy))
    said = inside(*asked, "--json")
    assert said.exit_code == 1
    [told] = json.loads(said.stdout)["sources"]
    assert told["n_records"] == 9
    found = {misfit["expected"]: misfit for misfit in told["misfits"]}
    assert found["pages: Int64"]["n_records"] == 2
    assert found["pages: Int64"]["place"] == "visits.csv, record 1"
    assert found["pages: at least 1"]["found"] == "0"
    assert "nullable=True" in found["customer_id: required"]["remedy"]
    assert found["a record"]["found"] == "the header once more"
    assert found["a record"]["place"] == "visits.csv, record 3"
    assert "time_format" in found["visited at: a time"]["remedy"]
    assert any(misfit["found"] == "'[/fax]'" for misfit in told["misfits"])
    shown = inside(*asked).output
    assert "1 of 9 records fit" in shown
    assert "[/fax]" in shown  # what comes from data is no markup
    # A narrow terminal cuts neither what was found nor what to do.
    assert "remedy:   correct the source, or declare the field nullable=True" in shown.splitlines()
    web = "2026-01-05 09:37:00,1,3,web "
    messy.write_text(f"visited at,customer_id,n_pages,channel\n{web}\n")
    [told] = json.loads(inside(*asked, "--json").stdout)["sources"]
    [blanks] = told["misfits"]
    assert blanks["found"] == "'web '"
    assert "take the blanks before or after the value out" in blanks["remedy"]
    gone = inside("validate", "--source", str(tmp_path / "no.csv"))
    assert gone.exit_code == 1
    assert "nothing at" in gone.output
    (tmp_path / "elsewhere").mkdir()
    folder = inside("validate", "--source", str(tmp_path / "elsewhere"))
    assert "DailyFiles" in folder.output
    assert "flywheel run" in inside("status").output  # nothing has run in this home


def test_validate_samples_the_newest_daily_files(tmp_path: Path) -> None:
    """Ten days of files, of which the newest few are read; a misnamed one is said to be so."""
    for day in range(10, 20):
        file = tmp_path / f"2026-01-{day}.csv"
        file.write_text(
            "InvoiceDate,CustomerID,InvoiceNo,StockCode,Description,Quantity,UnitPrice,Country\n"
        )
        with file.open("a") as more:
            more.write(f"2026-01-{day} 10:00:00,1,1,A,,1,1.0,France\n")
    found = sample(order_line, tmp_path)
    assert (found.n_records, found.n_read, found.n_files) == (3, 3, 10)
    asked = ("validate", "repurchase", "--source", str(tmp_path))
    said = CliRunner().invoke(app, asked, env={"FLYWHEEL_HOME": str(tmp_path / "home")})
    assert f"{found.n_records} of {found.n_records} records in the newest 3 of 10 files fit." in (
        said.output
    )
    (tmp_path / "2026-13-45.csv").write_text("")
    with pytest.raises(SourceError, match="rename it"):
        sample(order_line, tmp_path)


@pytest.mark.parametrize("name", ["my home", "hömé", "100%"])
def test_a_home_that_would_not_be_found_again(tmp_path: Path, name: str) -> None:
    with pytest.raises(HomeError, match="FLYWHEEL_HOME"):
        Home(tmp_path / name)


def test_validate_finds_what_no_constructor_sees(
    inside: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expression that no types fit, and an estimator that cannot be built."""
    [tea_shop] = declared()

    def broken() -> object:
        raise RuntimeError("no such learner")

    texts = replace(tea_shop.decisions, bootstrap=pl.col("recency_days").str.to_uppercase())
    for wheel, message in (
        (replace(tea_shop, decisions=texts), "bootstrap= of the policy that can be computed"),
        (replace(tea_shop, model=replace(tea_shop.model, estimator=broken)), "no such learner"),
    ):
        monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))
        said = inside("validate")
        assert said.exit_code == 1
        assert message in said.output


ENTITY = "from flywheel_assets import Entity"
CUSTOMER = "from flywheel_assets.flywheels.repurchase import customer"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a project whose module is written by the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith("mine_")]:
        del sys.modules[name]


def test_the_projects_flywheels_else_the_bundled(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the working directory or above it; the environment outranks both."""
    assert declared()[0].name == "repurchase"
    (place / "pyproject.toml").write_text('[tool.flywheel]\nflywheels = "mine_a:WHEELS"\n')
    (place / "mine_a.py").write_text(
        "from flywheel_assets.flywheels.fraud import fraud\nWHEELS = [fraud]\n"
    )
    below = place / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert [f.name for f in declared()] == ["fraud"]
    monkeypatch.setenv(PLACE, "flywheel_assets.flywheels:FLYWHEELS")
    assert len(declared()) > 1


@pytest.mark.parametrize(
    ("module", "content", "message"),
    [
        ("mine_b:WHEELS", None, "No module named 'mine_b'"),
        ("mine_c:WHEELS", "1 / 0", r"ZeroDivisionError: division by zero \(mine_c.py, line 1\)"),
        ("mine_d:WHEELS", "x = (", "mine_d.py, line 1"),
        ("mine_e:WHEELS", "WHEEL = 1", "nothing of that name"),
        ("mine_f", "FLYWHEELS = ()", r"found \(\)"),
        (
            "mine_g",
            f"{ENTITY}\nEntity(name='x', keyz=('x',), owners=[], description='')",
            r"with arguments that it has; found keyz \(mine_g.py, line 2\); did you mean 'keys'",
        ),
        (
            "mine_h",
            f"{ENTITY}\nEntity(\n    name='x',\n    keys=('x',),\n)",
            r"with owners, description; found none \(mine_h.py, line 2\); add owners=..., desc",
        ),
        ("mine_i", f"{ENTITY}\nEntity('x')", r"by their names; .*mine_i.py, line 2\); it has name"),
        (
            "mine_j",
            f"import dataclasses\n{ENTITY}\n{CUSTOMER}\ndataclasses.replace(customer, nmae='x')",
            r"nmae \(mine_j.py, line 4\); did you mean 'name'",
        ),
    ],
)
def test_declarations_that_cannot_be_found(
    place: Path, module: str, content: str | None, message: str
) -> None:
    """Each says what was expected, what was found, in which line, and what to do."""
    (place / "pyproject.toml").write_text(f'[tool.flywheel]\nflywheels = "{module}"\n')
    if content is not None:
        (place / f"{module.partition(':')[0]}.py").write_text(content)
    with pytest.raises(DeclarationError, match=message):
        declared()
    (place / "pyproject.toml").write_text("[tool.flywheel\n")
    with pytest.raises(HomeError, match="in TOML"):
        declared()


def test_new_overwrites_nothing_and_takes_no_name_twice(tmp_path: Path) -> None:
    """A folder with files in it, the name of a package, of a stage, and no name at all."""
    (tmp_path / "tea").mkdir()
    (tmp_path / "tea" / "notes.txt").write_text("mine")
    with pytest.raises(HomeError, match="nothing was written"):
        write_project("tea", tmp_path)
    for name in ("polars", "features", "class", "tests"):
        with pytest.raises(HomeError, match=f"{name}_flywheel"):
            write_project(name, tmp_path)
    with pytest.raises(DeclarationError, match=r"lower-case.*for example 'tea_shop'"):
        write_project("Tea Shop", tmp_path)
    with pytest.raises(HomeError, match=r"can be written at .*name another with --in"):
        write_project("coffee", tmp_path / "tea" / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["tea"]
