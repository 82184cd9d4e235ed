"""What goes wrong on ordinary days is seen in ``status``, and mended by the command it names."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import Result

from flywheel_assets import Flywheel, Observation
from flywheel_assets.project import declared
from flywheel_tests.conftest import contents
from flywheel_tests.test_starting import inside, project  # noqa: F401  fixtures

FIRST = date(2026, 1, 5)
DAY = timedelta(days=1)
N_DAYS = 12


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """Write twelve days of visits, some on each, one file in all."""
    rows = [
        (f"{FIRST + n * DAY} {9 + who:02}:00:00", who, 1 + (n * who) % 5, "web")
        for n in range(N_DAYS)
        for who in range(1, 6)
        if (n + who) % 3 or who == 1
    ]
    names = ["visited at", "customer_id", "n_pages", "channel"]
    file = tmp_path / "visits.csv"
    pl.DataFrame(rows, schema=names, orient="row").write_csv(file)
    return file


@pytest.fixture
def turn(inside: Callable[..., Result], visits: Path) -> Callable[..., Result]:  # noqa: F811
    """Turn the project's flywheel from one day to another, counted from the first."""

    def run(first: int, last: int, *options: str) -> Result:
        ends = ("--from", str(FIRST + first * DAY), "--to", str(FIRST + last * DAY))
        return inside("run", *ends, "--source", str(visits), *options)

    return run


def observing(wheel: Flywheel, observation: Observation) -> Flywheel:
    """Let a flywheel of one view and one fact be made of another observation."""
    [view] = wheel.views
    fact = replace(view.fact, observation=observation)
    outcome = replace(wheel.training_set, fact=fact)
    return replace(wheel, features=replace(view, fact=fact), training_set=outcome)


def needs(inside: Callable[..., Result], table: str) -> str:  # noqa: F811
    """Say what `status` says of a table."""
    found = json.loads(inside("status", "--json").output)
    [one] = [one for one in found if one["table"] == table]
    return "\n".join([*one["failed"], *one["warned"]])


def rows(tmp_path: Path, table: str, day: date) -> int:
    """Count the rows of a day."""
    found = pl.read_delta(str(tmp_path / "home" / "lakehouse" / table))
    return found.filter(partition_date=day).height


def test_a_source_that_was_cut_off_is_said_and_its_day_made_again(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    visits: Path,
    tmp_path: Path,
) -> None:
    """No record of a day warns; with the whole file back, the day is made and decided again."""
    last = N_DAYS - 1
    whole = visits.read_text()
    assert turn(0, last - 1).exit_code == 0
    assert not needs(inside, "collect/visit")
    visits.write_text("".join(whole.splitlines(keepends=True)[:20]))
    day = FIRST + last * DAY
    assert turn(last, last).exit_code == 0
    said = needs(inside, "collect/visit")
    assert f"no record since {day}, and some on each of the {last} days before" in said
    assert f"its source ends on {FIRST + 5 * DAY}, and was collected up to {day - DAY}" in said
    assert "flywheel run --again" in said

    visits.write_text(whole)
    assert "Nothing to do: 3 runs done before" in turn(last, last).output
    assert rows(tmp_path, "collect/visit", day) == 0
    refused = turn(last, last, "--again")
    assert refused.exit_code == 1
    assert "--decide-again" in refused.output
    assert rows(tmp_path, "collect/visit", day) > 0
    assert "its newest run failed: PublishedError: expected" in needs(inside, "tea_shop/decisions")
    again = turn(last, last, "--decide-again")
    assert again.exit_code == 0, again.output
    assert not needs(inside, "collect/visit")
    assert not needs(inside, "tea_shop/decisions")
    assert turn(0, last, "--again").exit_code == 0


def test_a_day_without_a_record_among_others_is_seen(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    visits: Path,
) -> None:
    """In the run that collects it, and in those of the days after it, though records come again."""
    hole = FIRST + 8 * DAY
    kept = [line for line in visits.read_text().splitlines() if not line.startswith(str(hole))]
    visits.write_text("\n".join(kept) + "\n")
    assert turn(0, 10).exit_code == 0
    said = f"no record on {hole}, and some on each of the 8 days before"
    assert said in needs(inside, "collect/visit")
    assert turn(11, 11).exit_code == 0
    assert said in needs(inside, "collect/visit")


def test_who_is_often_silent_is_not_complained_of(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    visits: Path,
) -> None:
    """Where there were days without a record before, another is none of note."""
    kept = [line for line in visits.read_text().splitlines() if not line.startswith("2026-01-08")]
    visits.write_text("\n".join(kept) + "\n")
    assert turn(0, N_DAYS).exit_code == 0
    assert not needs(inside, "collect/visit")


@pytest.mark.parametrize("table", ["organize/fct_visit", "tea_shop/training_set"])
def test_a_table_that_is_gone_is_found_and_made_again(
    table: str,
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """By the doctor, by status and by performance, and mended as they say."""
    assert turn(0, N_DAYS - 1).exit_code == 0
    before = rows(tmp_path, table, FIRST + 10 * DAY)
    shutil.rmtree(tmp_path / "home" / "lakehouse" / table)
    said = inside("doctor")
    assert said.exit_code == 1
    assert f"{table}: the table is gone; runs made it from {FIRST}" in said.output
    assert "make it again: flywheel apply" in said.output
    assert "the table is gone" in needs(inside, table)
    later = ("--from", str(FIRST + 20 * DAY), "--to", str(FIRST + 21 * DAY))
    worth = inside("performance", *later)
    assert worth.exit_code == 1
    assert f"{table}, which runs made" in worth.output
    assert inside("apply").exit_code == 0
    assert rows(tmp_path, table, FIRST + 10 * DAY) == before
    assert inside("doctor").output == "Nothing is wrong.\n"
    assert "is gone" not in needs(inside, table)


def test_a_home_whose_settings_are_gone_is_not_begun_anew(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """Whoever is asked says what is gone; written anew as they say, the home goes on."""
    assert turn(0, 1).exit_code == 0
    file = tmp_path / "home" / "home.json"
    file.unlink()
    said = inside("doctor")
    assert said.exit_code == 1
    assert "home.json: is gone" in said.output
    for refused in (turn(2, 2), inside("status"), inside("plan"), inside("apply")):
        assert refused.exit_code == 1
        assert f"expected {file}, by which the tables of this home were made" in refused.output
        assert "A new home" not in refused.output
    assert not file.exists()
    file.write_text(said.output.strip().rpartition("shop: ")[2])
    assert json.loads(file.read_text())["start"] == str(FIRST)
    assert inside("doctor").output == "Nothing is wrong.\n"
    assert turn(2, 2).exit_code == 0


def test_damaged_settings_are_said_and_written_anew(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """A file that a disk tore is named by every command, with what to write in its place."""
    assert turn(0, 1).exit_code == 0
    file = tmp_path / "home" / "home.json"
    for torn in ("", file.read_text()[:30], '{"start": "2026-01-05"}'):
        file.write_text(torn)
        for refused in (turn(2, 2), inside("status"), inside("plan"), inside("decided")):
            assert refused.exit_code == 1
            assert f"expected the settings of this home in {file}; found that" in refused.output
        said = inside("doctor")
        assert said.exit_code == 1
        assert "home.json: cannot be read as such" in said.output
    file.write_text(said.output.strip().rpartition("shop: ")[2])
    assert inside("doctor").output == "Nothing is wrong.\n"
    assert turn(2, 2).exit_code == 0


def test_a_lost_record_of_what_was_made_is_begun_anew(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """Without Dagster's folder nothing goes on; mended, the days are made again as they were."""
    assert turn(0, 1).exit_code == 0
    before = contents(tmp_path / "home")
    folder = tmp_path / "home" / "dagster"
    shutil.rmtree(folder)
    for refused in (turn(2, 2), inside("status"), inside("report", "tea_shop")):
        assert refused.exit_code == 1
        assert f"error: expected {folder}" in refused.output
        assert "flywheel doctor --mend" in refused.output
    said = inside("doctor")
    assert said.exit_code == 1
    assert "dagster: is gone" in said.output
    assert inside("doctor", "--mend").exit_code == 0
    assert inside("doctor").output == "Nothing is wrong.\n"
    assert turn(0, 1).exit_code == 0
    after = contents(tmp_path / "home")
    assert before.keys() == after.keys()
    assert all(frame.equals(after[name]) for name, frame in before.items())


def test_lost_decisions_are_said_to_be_history(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """No command is named that would not bring them back."""
    assert turn(0, 1).exit_code == 0
    shutil.rmtree(tmp_path / "home" / "lakehouse" / "tea_shop" / "decisions")
    assert "from a backup: it is history" in inside("doctor").output
    assert "from a backup: it is history" in needs(inside, "tea_shop/decisions")
    lost = turn(2, 3)
    assert lost.exit_code == 1
    assert "expected tea_shop/decisions, which runs made" in lost.output
    assert "put its folder back from a backup: it is history" in lost.output
    applied = inside("apply")
    assert applied.exit_code == 1
    assert "tea_shop/decisions: the table is gone" in applied.output
    assert "expected tea_shop/decisions, which runs made" in inside("decided").output


def test_a_lost_ledger_is_missed_and_no_day_is_decided_without_it(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bootstrap rule does not come back by itself; a person may begin another ledger."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    outcome = replace(wheel.training_set, horizon=DAY)
    gate = replace(wheel.model.gate, minimum=0, holdout=2 * DAY)
    model = replace(wheel.model, gate=gate, retrain="daily")
    wheel = replace(wheel, training_set=outcome, model=model)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))
    assert turn(0, 8).exit_code == 0
    ledger = "tea_shop/promotions"
    first = pl.read_delta(str(tmp_path / "home" / "lakehouse" / ledger))["partition_date"].sort()[0]
    shutil.rmtree(tmp_path / "home" / "lakehouse" / ledger)
    gone = f"the table is gone; runs made it from {first} to {FIRST + 8 * DAY}"
    said = inside("doctor")
    assert said.exit_code == 1
    assert f"{ledger}: {gone}" in said.output
    assert gone in needs(inside, ledger)
    before = contents(tmp_path / "home")
    refused = turn(9, 9)
    assert refused.exit_code == 1
    assert f"expected {ledger}, which runs made from {first}" in refused.output
    assert "from a backup: it is history" in refused.output
    after = contents(tmp_path / "home")
    assert before.keys() == after.keys()
    assert all(frame.equals(after[name]) for name, frame in before.items())
    assert inside("promote", "tea_shop", "1", "--why", "the ledger was lost").exit_code == 0
    assert turn(9, 9).exit_code == 0
    assert inside("doctor").output == "Nothing is wrong.\n"
    decided = contents(tmp_path / "home")["tea_shop/decisions"]
    newest = decided.filter(partition_date=FIRST + 9 * DAY)
    assert newest["model_version"].unique().to_list() == [1]


def test_nobody_to_decide_on_is_said(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Candidates that match nobody, since a day and ever."""
    assert turn(0, 3).exit_code == 0
    assert not needs(inside, "tea_shop/decisions")
    [wheel] = declared()
    nobody = replace(wheel.policy, candidates=pl.col("pages_30d") < 0)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, decisions=nobody),))
    assert turn(4, 5).exit_code == 0
    said = needs(inside, "tea_shop/decisions")
    assert f"no decision since {FIRST + 4 * DAY}, and 5 on the day before; of 5 that are" in said
    assert "look at candidates=" in said


def test_candidates_that_never_matched_are_said(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the first day on on which there is anybody to choose from."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    nobody = replace(wheel.policy, candidates=pl.col("pages_30d") < 0)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, decisions=nobody),))
    assert turn(0, 1).exit_code == 0
    assert "no decision on any day so far; of" in needs(inside, "tea_shop/decisions")


def boom() -> Any:
    """Build nothing."""
    raise RuntimeError("boom")


def test_a_training_that_fails_is_said_until_one_comes_to_a_verdict(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    visits: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An estimator that raises is no verdict of the gate; days that do not train hide nothing."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    gate = replace(wheel.model.gate, holdout=2 * DAY)
    sound = replace(wheel.model, gate=gate)
    broken = replace(sound, estimator=boom)
    outcome = replace(wheel.training_set, horizon=DAY)
    wheel = replace(wheel, training_set=outcome)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, model=broken),))
    failed = turn(0, 9)
    assert failed.exit_code == 0
    assert "To be looked at: tea_shop/model" in failed.output
    said = needs(inside, "tea_shop/model")
    monday = FIRST + 7 * DAY
    assert f"the training of {monday}: refused: it cannot be trained: RuntimeError: boom" in said
    assert f"so it is since {monday}: mend the estimator" in said
    whole = visits.read_text()
    visits.write_text("nothing of the kind\n")
    assert turn(9, 9, "--again").exit_code == 1
    assert needs(inside, "tea_shop/model") == said, "a run that came to no verdict takes none back"
    visits.write_text(whole)

    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, model=sound),))
    # Whoever is promoted decides all days that follow: they are decided again, or nothing is.
    refused = turn(7, 8, "--decide-again")
    assert refused.exit_code == 1
    assert f"--from {monday} --to {FIRST + 9 * DAY} --decide-again" in refused.output
    again = turn(7, 9, "--decide-again")
    assert again.exit_code == 0, again.output
    assert not needs(inside, "tea_shop/model")


def test_trainings_from_before_they_said_whether_they_failed_still_read(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A table without the column goes on; of its days nobody knows, and none is made up."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    outcome = replace(wheel.training_set, horizon=DAY)
    gate = replace(wheel.model.gate, holdout=2 * DAY)
    broken = replace(wheel.model, gate=gate, estimator=boom, retrain="daily")
    wheel = replace(wheel, training_set=outcome, model=broken)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))
    assert turn(0, 8).exit_code == 0
    table = str(tmp_path / "home" / "lakehouse" / "tea_shop" / "model")
    options = {"partition_by": ["partition_date"], "schema_mode": "overwrite"}
    kept = pl.read_delta(table).drop("failed")
    kept.write_delta(table, mode="overwrite", delta_write_options=options)
    assert turn(9, 9).exit_code == 0
    told = pl.read_delta(table).sort("partition_date")
    assert told["failed"].to_list() == [None] * 9 + [True]
    said = needs(inside, "tea_shop/model")
    assert "refused: it cannot be trained: RuntimeError: boom" in said
    assert f"so it is since {FIRST + 9 * DAY}" in said


@pytest.mark.parametrize("how", ["--again", "--decide-again"])
def test_days_are_made_again_up_to_the_newest_or_not_at_all(
    how: str,
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    visits: Path,
    tmp_path: Path,
) -> None:
    """Later days, whose windows saw them, are not left as they were; the remedy works."""
    assert turn(0, 3).exit_code == 0
    kept = [n for n in visits.read_text().splitlines() if not n.startswith(f"{FIRST + DAY} 12")]
    visits.write_text("\n".join(kept) + "\n")
    before = contents(tmp_path / "home")
    refused = turn(1, 2, how)
    assert refused.exit_code == 1
    assert f"up to {FIRST + 3 * DAY}, the newest of tea_shop" in refused.output
    remedy = f"flywheel run tea_shop --from {FIRST + DAY} --to {FIRST + 3 * DAY} {how}"
    assert remedy in refused.output
    after = contents(tmp_path / "home")
    assert all(frame.equals(after[name]) for name, frame in before.items())
    if how == "--decide-again":
        done = inside(*remedy.split()[1:])
        assert done.exit_code == 0, done.output
        seen = pl.col("customer_id") == 3
        visited = contents(tmp_path / "home")["features/customer_visits"].filter(seen)
        assert not visited.equals(before["features/customer_visits"].filter(seen))


def test_days_made_again_without_the_later_ones_are_named_and_mended(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    visits: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by an earlier release: the check says from which day on all is to be decided again."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    wheel = replace(wheel, training_set=replace(wheel.training_set, horizon=2 * DAY))
    monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))
    assert turn(0, 3).exit_code == 0
    kept = [n for n in visits.read_text().splitlines() if not n.startswith(f"{FIRST + DAY} 12")]
    visits.write_text("\n".join(kept) + "\n")
    with monkeypatch.context() as earlier:
        earlier.setattr("flywheel_assets.dagster_assets.joined.require_rest", lambda *_: None)
        assert turn(1, 2, "--decide-again").exit_code == 0
    stopped = turn(4, 5)
    assert stopped.exit_code == 1
    assert f"decided on {FIRST + 3 * DAY} first" in stopped.output
    assert turn(3, 5, "--decide-again").exit_code == 0


def test_a_range_that_leaves_a_gap_is_refused_before_anything_is_written(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],
    tmp_path: Path,
) -> None:
    """What the days between are yet to bring is not taken for nothing; the remedy works."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    assert turn(0, 3).exit_code == 0
    before = contents(tmp_path / "home")
    refused = turn(6, 8)
    assert refused.exit_code == 1
    assert "2 days before it without organize/fct_visit" in refused.output
    assert f"flywheel run {wheel.name} --from {FIRST + 4 * DAY} --to {FIRST + 8 * DAY}" in (
        refused.output
    )
    after = contents(tmp_path / "home")
    assert all(frame.equals(after[name]) for name, frame in before.items())
    assert turn(4, 8).exit_code == 0
