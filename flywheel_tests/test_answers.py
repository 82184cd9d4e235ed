"""What answers a decision that nobody made is kept, said, and mended as it says."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import Result

from flywheel_assets import TableFile
from flywheel_assets.flywheels.repurchase import order_lines, repurchase
from flywheel_assets.project import declared
from flywheel_assets.stages.answers import answers
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.policy import decide
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Inbox, Received
from flywheel_assets.stores.tables import Tables
from flywheel_tests.test_starting import inside, project  # noqa: F401  fixtures
from flywheel_tests.test_went_wrong import (  # noqa: F401  fixtures
    FIRST,
    needs,
    observing,
    turn,
    visits,
)

DAY = timedelta(days=1)
WRONG = "tea_shop:2026-01-05:77"


def answer(inside: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Declare that visits say which decision they answer, in a column of their file."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    [view] = wheel.views
    visit = view.fact.observation
    assert isinstance(visit.source, TableFile)
    source = replace(visit.source, decision_id="answers")
    monkeypatch.setattr("tea_shop.FLYWHEELS", (observing(wheel, replace(visit, source=source)),))


def answering(visits: Path, answers: dict[date, str]) -> None:  # noqa: F811
    """Let the first visit of some days answer a decision, and no other."""
    day = pl.col("visited at").str.slice(0, 10)
    rows = pl.read_csv(visits).select(pl.all().exclude("answers"))
    told = day.replace_strict({str(d): a for d, a in answers.items()}, default=None)
    first = pl.col("customer_id") == 1
    rows.with_columns(answers=pl.when(first).then(told)).write_csv(visits)


def log(home: Path, own: str, when: date, links: str) -> None:
    """Receive a visit of the first customer through the API, at noon of a day."""
    noon = int(datetime.combine(when, time(12), UTC).timestamp()) * 1_000_000
    record = (
        '{"entity": {"customer_id": 1}, "payload": {"pages": 2, "channel": "web"}, '
        f'"decision_id": {links}}}'
    )
    with closing(Inbox(Home(home).inbox, clock=lambda: noon)) as inbox:
        inbox.put([Received("visit", own, noon - 3_600_000_000, record.encode())])


def test_an_answer_to_no_decision_of_a_file_is_said_until_the_file_is_mended(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is dropped; one that names a decision which was made is in nobody's way."""
    answer(inside, monkeypatch)
    sound = f"tea_shop:{FIRST}:1"
    answering(visits, {FIRST + DAY: sound, FIRST + 2 * DAY: WRONG})
    assert turn(0, 1).exit_code == 0
    assert not needs(inside, "tea_shop/decisions")
    assert turn(2, 4).exit_code == 0
    said = needs(inside, "tea_shop/decisions")
    assert "1 row of organize/fct_visit names a decision that nobody made, since 2026-01-07" in said
    assert f"decision_id={WRONG} first: they stay" in said
    assert sound not in said
    found = inside("trace", said.partition("observation_id=")[2].partition(" ")[0], "--json")
    assert f"answers {WRONG}, a decision that nobody made" in found.output
    answering(visits, {FIRST + DAY: sound, FIRST + 2 * DAY: sound})
    again = turn(2, 4, "--decide-again")
    assert again.exit_code == 0, again.output
    assert not needs(inside, "tea_shop/decisions")


def test_an_answer_to_no_decision_that_was_logged_is_said_until_it_is_corrected(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Sent again with ``corrects`` and the right decision; it counts to that one."""
    home = tmp_path / "home"
    assert turn(0, 0).exit_code == 0
    log(home, "one", FIRST + DAY, f'"{WRONG}"')
    assert turn(1, 1).exit_code == 0
    said = needs(inside, "tea_shop/decisions")
    assert f"observation_id=one and decision_id={WRONG} first" in said
    assert "have team:tea_shop send each visit again" in said
    log(home, "two", FIRST + 2 * DAY, f'"tea_shop:{FIRST}:1", "corrects": "one"')
    assert turn(2, 2).exit_code == 0
    assert not needs(inside, "tea_shop/decisions")
    kept = pl.read_delta(str(home / "lakehouse" / "organize" / "fct_visit"))
    assert {"one", "two"} <= set(kept["observation_id"])


def test_an_answer_to_no_decision_is_said_while_a_correction_could_count(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
) -> None:
    """After as many days as outcomes take nothing can be done any more."""
    assert turn(0, 0).exit_code == 0
    [wheel] = declared()
    log(tmp_path / "home", "one", FIRST + DAY, f'"{WRONG}"')
    wait = wheel.outcome.matures_after.days
    assert turn(1, wait).exit_code == 0
    assert WRONG in needs(inside, "tea_shop/decisions")
    assert turn(1 + wait, 1 + wait).exit_code == 0
    assert not needs(inside, "tea_shop/decisions")


def test_only_decisions_of_the_days_that_are_named_are_read(tmp_path: Path) -> None:
    """The files of other days may be gone; what names no day names no decision."""
    tables, key, schema = Tables(tmp_path), "repurchase/decisions", decision_schema(repurchase)
    known = pl.DataFrame({"customer_id": [1, 2], "recency_days": [3.0, 4.0]})
    for n in range(3):
        day = FIRST + n * DAY
        made = decide(known, None, repurchase, day, None)
        tables.replace(key, made, schema, day, day)
    for file in tables.path(key).glob(f"partition_date={FIRST}/*"):
        file.unlink()
    sound = [f"repurchase:{FIRST + n * DAY}:{who}" for n in (1, 2) for who in (1, 2)]
    wrong = [f"repurchase:{FIRST + DAY}:3", "repurchase:2026-02-30:1", "1", ":", "", "x"]
    last = FIRST + 3 * DAY
    told = pl.DataFrame(
        {"observation_id": map(str, range(10)), "decision_id": sound + wrong},
    ).with_columns(pl.lit(last).alias("partition_date"))
    facts = fact_schema(order_lines)
    table = told.select(
        pl.col(c) if c in told.columns else pl.lit(None, t).alias(c) for c, t in facts.items()
    )
    found = answers({order_lines: table.lazy()}, tables.read(key, schema), repurchase, (), last)
    assert not found.passed
    assert "6 rows of organize/fct_order_line name a decision that nobody made" in found.message
    assert f"observation_id=4 and decision_id={wrong[0]}" in found.message
