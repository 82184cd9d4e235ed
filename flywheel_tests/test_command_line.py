"""The command line: it reads as the loop, fails in words, and speaks JSON to scripts."""

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from flywheel_assets.changes.plan import Change, Grade
from flywheel_assets.cli import app
from flywheel_assets.cli.app import PANELS, TRACEBACK, print_json
from flywheel_assets.cli.forgetting import _show as show_receipt
from flywheel_assets.cli.planned import show
from flywheel_assets.dagster_assets.planning import Step
from flywheel_assets.dagster_assets.status import TableStatus
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.stores.forgetting.receipts import Receipt
from flywheel_assets.stores.home import Home, Settings
from flywheel_tests.conftest import FIRST
from flywheel_tests.serving import record

Run = Callable[..., Result]


@pytest.fixture
def run(spun: Turner, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the home in which the bundled flywheel has turned."""
    monkeypatch.setenv("FLYWHEEL_HOME", str(spun.home.root))
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, arguments, env=environment)

    return invoke


def test_the_help_reads_as_the_loop() -> None:
    """Every command is under a heading, the headings in their order; exit statuses are told."""
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "160"}).output
    places = [said.index(f" {panel} ") for panel in PANELS]
    assert places == sorted(places)
    assert "Commands" not in said, "a command has no rich_help_panel"
    assert "130 ended by Ctrl-C" in said
    for name in ("new", "run", "status", "promote", "plan", "doctor", "api"):
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("trace", "repurchase:{day}:{customer}"), 0),
        (("run", "repurchase", "--from", "{day}", "--to", "{day}"), 0),
        (("performance", "repurchase", "--from", "{day}", "--to", "{day}"), 0),
        (("owners",), 0),
        (("rejected",), 0),
        (("decided", "repurchase", "--rows", "2"), 0),
        (("impact", "collect/order_line.unit_price"), 0),
        (("status",), 1),
        (("doctor",), 0),
        (("vacuum", "--dry-run"), 0),
        (("keys", "list"), 0),
    ],
)
def test_what_scripts_ask_comes_as_json(
    run: Run, spun: Turner, arguments: tuple[str, ...], status: int
) -> None:
    """One JSON value on standard output and nothing else, with the status that belongs to it."""
    row = pl.read_delta(str(spun.home.lakehouse / "repurchase" / "decisions")).filter(
        partition_date=FIRST
    )
    names = {"day": str(FIRST), "customer": str(row["customer_id"][0])}
    said = run(*(text.format(**names) for text in arguments), "--json")
    assert said.exit_code == status, said.output
    assert isinstance(json.loads(said.stdout), list | dict)


def test_an_error_is_words_and_a_traceback_only_if_asked(run: Run) -> None:
    """What was expected, what was found, what to do: on standard error, status 1."""
    said = run("performance", "repurchases", "--from", str(FIRST), "--to", str(FIRST))
    assert said.exit_code == 1
    assert "did you mean 'repurchase'?" in said.stderr
    assert "Traceback" not in said.output
    assert said.stdout == ""
    for asked in (
        run("--traceback", "trace", "nothing"),
        run("trace", "nothing", **{TRACEBACK: "1"}),
    ):
        assert type(asked.exception).__name__ == "HomeError"


@pytest.mark.parametrize("text", [None, "", "[]", '{"collect/order_line": {"shape": 1}}'])
def test_a_plan_against_what_is_none_is_refused(text: str | None, tmp_path: Path) -> None:
    """Another branch's file that is not there, cut off, or of something else: how to write it."""
    file = tmp_path / "before.json"
    if text is not None:
        file.write_text(text)
    said = CliRunner().invoke(app, ["plan", "--against", str(file)])
    assert said.exit_code == 1
    assert f"error: expected what flywheel plan --save wrote, by this release, in {file}" in (
        said.output
    )
    assert "flywheel plan --save FILE" in said.output


def test_a_mistake_of_ours_is_one_message_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody raised on purpose says its type, and how to see where."""

    def fail(*_: object) -> None:
        raise KeyError("[bold]")

    monkeypatch.setattr("flywheel_assets.api.trace.trace", fail)
    said = run("trace", "x")
    assert said.exit_code == 1
    assert "unexpected KeyError: '[bold]'" in said.stderr
    assert f"{TRACEBACK}=1" in said.stderr


def write_without_room(*_: object) -> None:
    """Write where there never is room."""
    with Path("/dev/full").open("w") as file:
        file.write("x")
        file.flush()


def commit_without_room(*_: object) -> None:
    """Write a database that may not grow, as one on a full disk may not."""
    with sqlite3.connect(":memory:") as database:
        database.execute("pragma max_page_count = 1")
        database.execute("create table full (n)")


def journal_without_room(*_: object) -> None:
    """Fail as SQLite does where its journal finds no room."""
    raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize(
    "fail",
    [write_without_room, commit_without_room, journal_without_room],
    ids=lambda f: f.__name__,
)
def test_a_full_disk_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None]
) -> None:
    """Which, how much is free, and what to do; not that it is a mistake of ours."""
    monkeypatch.setattr("flywheel_assets.api.trace.trace", fail)
    if fail is journal_without_room:  # of a disk that has room it is what it says
        assert "unexpected OperationalError: disk I/O error" in run("trace", "x").stderr
        monkeypatch.setattr("flywheel_assets.stores.home._NO_ROOM", 1 << 60)
    said = run("trace", "x")
    assert said.exit_code == 1
    assert "error: expected room on the disk of" in said.stderr
    assert "MB are free" in said.stderr
    assert "make room there" in said.stderr
    assert "unexpected" not in said.stderr


def test_a_mistake_in_the_command_line_is_another_status(run: Run) -> None:
    """Status 2, and what is valid."""
    said = run("performance", "--frm", "2026-01-05")
    assert said.exit_code == 2
    assert "--from" in said.stderr


@pytest.mark.parametrize(
    ("words", "number", "wanted"),
    [("flywheel sta", "1", "status"), ("flywheel run re", "2", "repurchase")],
)
def test_the_shell_completes_commands_and_flywheels(words: str, number: str, wanted: str) -> None:
    """As bash asks for it: names of commands, then of flywheels."""
    asked = {"_FLYWHEEL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
    said = CliRunner().invoke(app, [], env=asked, prog_name="flywheel")
    assert wanted in said.output.split()


def test_the_docs_name_every_command_that_speaks_json() -> None:
    """And none that does not."""
    page = (Path(__file__).parents[1] / "docs" / "command_line.md").read_text(encoding="utf-8")
    told = re.search(r"and nothing else: (.*?)\.\n", page, re.DOTALL)
    assert told is not None
    commands = vars(typer.main.get_command(app))["commands"]
    commands |= {f"keys {n}": c for n, c in vars(commands["keys"])["commands"].items()}
    speak = {n for n, c in commands.items() if any("--json" in p.opts for p in c.params)}
    assert set(re.findall(r"`([a-z -]+)`", told[1])) == speak


def test_json_is_json_whatever_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not finite is null, which every reader knows."""
    print_json({"a": [float("nan"), 1.5], "b": {"c": float("inf")}, "day": FIRST})
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert said == {"a": [None, 1.5], "b": {"c": None}, "day": str(FIRST)}


def test_no_sentence_is_broken_where_the_terminal_is_narrow(run: Run) -> None:
    """It goes on in the next line where the terminal says so, and is copied whole."""
    said = run("run", "repurchase", "--from", str(FIRST), "--to", str(FIRST), COLUMNS="40")
    lines = said.output.splitlines()
    assert "Look at it: flywheel report repurchase, a page; flywheel ui, all of it." in lines
    nothing = r"Nothing to do: \d+ runs done before\. To make them again: flywheel run --again\."
    assert any(re.fullmatch(nothing, x) for x in lines)


def test_impact_keeps_its_names_whole(run: Run) -> None:
    """Where the terminal is too narrow for a table, each cell stands whole after its header."""
    said = run("impact", "collect/order_line.unit_price", COLUMNS="80").output
    assert "table:    features/customer_orders\n" in said
    assert re.search(r"^columns:  .*revenue_30d, ", said, re.MULTILINE)


def test_a_plan_keeps_its_names_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table where there is room, else a list; one day is a day."""
    change = Change(
        "features/customer_orders",
        Grade.ADDITIVE,
        added=("orders_14d", "days_since_the_last_order"),
        owners=("team:growth", "mlops@example.com"),
    )
    step = Step(change, ((FIRST, FIRST),), 1, 9.6, at_most=True)
    for columns, together in (("80", "columns:          + orders_14d\n"), ("160", "│ additive │")):
        monkeypatch.setenv("COLUMNS", columns)
        show([step])
        said = capsys.readouterr().out
        assert together in said
        for whole in (change.table, *change.added, *change.owners):
            assert whole in said
        assert f" {FIRST}: 1 day, 1 row, at most 10 s" in said
        assert "To be made again: 1 partition, 1 row, at most 10 s." in said


def test_who_is_forgotten_is_shown_as_data_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets in names of files and in what could not be read are no markup."""
    receipt = Receipt("none", "customer", {}, "me", "2026-01-05")
    receipt.elsewhere["dagster/[/red].log"] = 1
    receipt.sources += [
        {"path": "in[/a].csv", "observation": "order", "records": 1},
        {"path": "b.csv", "observation": "order", "unread": "found [bold]"},
    ]
    receipt.left += ["mlflow/[/x]"]
    show_receipt(receipt, dry_run=False)
    said = capsys.readouterr().out
    for text in ("dagster/[/red].log", "in[/a].csv (order): 1 record.", "[bold]", "mlflow/[/x]:"):
        assert text in said


def test_what_data_say_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brackets in values are no markup: neither an error nor left out."""
    message = "unique_key: two rows share code=[/A12], one of [a, b]"
    one = TableStatus("organize/fct_x", ("team:x",), FIRST, 0, (), (message,), ())
    monkeypatch.setattr("flywheel_assets.dagster_assets.status.status", lambda *_: [one])
    monkeypatch.setattr("flywheel_assets.cli.changing.opened", lambda: None)
    said = CliRunner().invoke(app, ["status"], env={"COLUMNS": "160"})
    assert said.exit_code == 1, said.output
    assert "[/A12]" in said.output
    assert "[a, b]" in said.output


def test_owners_are_looked_up_by_flywheel_and_by_owner(run: Run) -> None:
    """Of one flywheel, of one owner, of both; who owns nothing is answered with the nearest."""
    every = json.loads(run("owners", "--json").stdout)
    fraud = json.loads(run("owners", "fraud", "--json").stdout)
    assert {"collect/decision", "fraud/model"} <= fraud.keys() < every.keys()
    assert not any(table.startswith("repurchase/") for table in fraud)
    assert all(every[table] == told for table, told in fraud.items())
    growth = json.loads(run("owners", "--of", "team:growth", "--json").stdout)
    assert growth == {t: told for t, told in every.items() if "team:growth" in told["owners"]}
    both = json.loads(run("owners", "fraud", "--of", "team:growth", "--json").stdout)
    assert both == {t: told for t, told in fraud.items() if t in growth}
    wrong = run("owners", "--of", "team:grwth")
    assert wrong.exit_code == 1
    assert "did you mean 'team:growth'" in wrong.output


def test_a_demo_is_as_long_as_its_home(tmp_path: Path) -> None:
    """As many days as are asked for, up to yesterday; more than have passed are refused."""
    home = {"FLYWHEEL_HOME": str(tmp_path)}
    made = CliRunner().invoke(app, ["demo", "--days", "2"], env=home)
    assert made.exit_code == 0, made.output
    assert "The bootstrap rule decided on every day" in made.output
    settings = Home(tmp_path).settings()
    assert settings is not None
    decided = pl.read_delta(str(tmp_path / "lakehouse" / "repurchase" / "decisions"))
    days = decided["partition_date"].unique().sort().to_list()
    assert days == [settings.start, settings.start + timedelta(days=1)]
    again = CliRunner().invoke(app, ["demo"], env=home)
    assert "Nothing to do: 2 runs done before" in again.output
    longer = CliRunner().invoke(app, ["demo", "--days", "3"], env=home)
    assert longer.exit_code == 1
    assert "expected at most 2 days" in longer.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("doctor",),
        ("performance",),
        ("trace", "x"),
        ("decided", "repurchase"),
        ("rejected",),
        ("report",),
        ("vacuum",),
        ("replay-rejected",),
        ("promote", "repurchase", "1", "--why", "x"),
        ("rollback", "repurchase", "--why", "x"),
        ("reproduce", "repurchase", "1"),
        ("forget", "customer_id=1"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_where_there_is_no_home_all_say_so_alike(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Whoever mistyped its name learns it from any command, and none begins a home."""
    home = tmp_path / "mistyped"
    said = CliRunner().invoke(app, arguments, env={"FLYWHEEL_HOME": str(home)})
    assert said.exit_code == 1
    assert f"expected a home at {home}; found none; run `flywheel run`" in said.stderr
    assert not home.exists()


def test_what_is_received_before_the_first_run_is_said_to_wait(tmp_path: Path) -> None:
    """It is kept, since products may log before; the warning names the home, once it ran none."""
    line, home = json.dumps(record(1)), Home(tmp_path / "new")
    for warned in (True, False):
        said = CliRunner().invoke(
            app, ["log", "-"], input=line, env={"FLYWHEEL_HOME": str(home.root)}
        )
        assert said.exit_code == 0
        assert (f"warning: there is no home at {home.root} yet" in said.stderr) is warned
        home.save(Settings(start=FIRST))
    assert said.stdout == "0 accepted, 1 duplicate, 0 conflict, 0 rejected\n"
