"""What was rejected is shown with its reason, and what is said to mend it does."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import Result

from flywheel_assets import Flywheel
from flywheel_assets.api.client import Local
from flywheel_assets.project import declared
from flywheel_assets.report.rejected import rejections
from flywheel_assets.stages.collect import CONFLICT
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.inbox import Inbox, Rejected
from flywheel_tests.test_report import words
from flywheel_tests.test_starting import inside, project  # noqa: F401  fixtures
from flywheel_tests.test_went_wrong import (  # noqa: F401  fixtures
    FIRST,
    needs,
    observing,
    turn,
    visits,
)

DAY = timedelta(days=1)


def told(inside: Callable[..., Result], *options: str) -> dict[str, Any]:  # noqa: F811
    """Give what is rejected of visits."""
    found: dict[str, Any] = json.loads(inside("rejected", *options, "--json").output)["visit"]
    return found


def refused(home: Path, channel: str) -> None:
    """Refuse a visit at the API, at noon of the first day."""
    noon = int(datetime.combine(FIRST, time(12), UTC).timestamp()) * 1_000_000
    record = {
        "kind": "visit",
        "observation_id": "refused",
        "event_time": f"{FIRST}T11:00:00Z",
        "entity": {"customer_id": 1},
        "payload": {"pages": 2, "channel": channel},
    }
    reason = f"$.payload.channel: expected one of app, web, found {channel}"
    with closing(Inbox(Home(home).inbox, clock=lambda: noon)) as inbox:
        inbox.reject([Rejected("visit", reason, json.dumps(record).encode())])


def test_a_file_with_rejected_records_is_mended_as_is_said(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Status, report and the command say the same; nothing of it is the API's to replay."""
    sound = visits.read_text()
    visits.write_text(sound.replace(f"{FIRST + DAY} 10:00:00,1,", f"{FIRST + DAY} 10:00:00,one,"))
    assert visits.read_text() != sound
    assert turn(0, 3).exit_code == 0
    one = told(inside)
    assert (one["rejected"], one["collected"], one["to"]) == (1, 14, str(FIRST + 3 * DAY))
    [record] = one["records"]
    assert "customer_id: expected Int64, found one" in record["reason"]
    assert record["file"] == "visits.csv"
    assert '"customer_id":"one"' in record["record"]
    assert one["to_do"] == (
        "mend the source, or widen the contract; then flywheel run tea_shop --again "
        f"--from {FIRST + DAY} --to {FIRST + 3 * DAY}"
    )
    shown = inside("rejected", "visit").output
    assert f"visits.csv:{record['line']}" in shown
    said = shown.partition(".\n")[0]
    assert said.startswith("6.7% of 15 records of visit, ")
    assert "flywheel replay-rejected" not in shown
    assert f"rejected: {said}: {one['to_do']}" in needs(inside, "collect/visit")
    assert inside("report", "tea_shop").exit_code == 0
    page = words((tmp_path / "home" / "reports" / "tea_shop.html").read_text())
    assert f"{said}. Mend the source, or widen the contract;" in page

    visits.write_text(sound)
    again = turn(1, 3, "--decide-again")
    assert again.exit_code == 0, again.output
    assert told(inside)["reasons"] == []
    assert "none of 15 records of visit" in inside("rejected").output.lower()
    assert not needs(inside, "collect/visit")


def test_what_the_api_refused_is_replayed_as_is_said(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it is a file's; which is left out of what is to be done."""
    assert inside("validate").exit_code == 0
    refused(tmp_path / "home", "fax")
    assert turn(0, 0).exit_code == 0
    one = told(inside)
    assert (one["rejected"], one["reasons"][0]["n_logged"]) == (1, 1)
    assert one["to_do"].endswith("widen the contract and run flywheel replay-rejected")
    assert "mend the source" not in one["to_do"]
    [wheel] = declared()
    [view] = wheel.views
    visit = view.fact.observation
    fields = tuple(
        replace(f, allowed=("app", "fax", "web")) if f.name == "channel" else f
        for f in visit.fields
    )
    monkeypatch.setattr("tea_shop.FLYWHEELS", (observing(wheel, replace(visit, fields=fields)),))
    assert json.loads(inside("replay-rejected", "--json").output)["visit"]["accepted"] == 1


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> Flywheel:
    """Let a customer's visit of one moment be one, however many pages it is said to have."""
    [wheel] = declared()
    [view] = wheel.views
    observing_once = replace(view.fact.observation, id_fields=("customer_id",))
    made = observing(wheel, observing_once)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (made,))
    return made


def told_again(visits: Path) -> str:  # noqa: F811
    """Tell a visit of the second day again with other pages; give the line told first."""
    sound = visits.read_text()
    first = next(line for line in sound.splitlines() if line.startswith(str(FIRST + DAY)))
    at, who, _, channel = first.split(",")
    visits.write_text(f"{sound}{at},{who},9,{channel}\n")
    return first


def test_what_a_file_tells_again_is_corrected_as_is_said(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
    tmp_path: Path,
    once: Flywheel,
) -> None:
    """Through the API, or in the record told first: a wider contract would change nothing."""
    first, home = told_again(visits), tmp_path / "home"
    assert turn(0, 3).exit_code == 0
    one = told(inside)
    assert [r["reason"] for r in one["reasons"]] == [CONFLICT]
    assert one["to_do"] == (
        "what has the id of another: mend the record that was collected, then flywheel run "
        f"tea_shop --again --from its day --to {FIRST + 3 * DAY}; or log a correction through the "
        "API: what it corrects, no source can say"
    )

    which = {"customer_id": int(first.split(",")[1]), "partition_date": FIRST + DAY}
    fact = pl.read_delta(str(home / "lakehouse" / "organize" / "fct_visit"))
    [row] = fact.filter(**which).to_dicts()
    noon = int(datetime.combine(FIRST + 4 * DAY, time(12), UTC).timestamp()) * 1_000_000
    with closing(Local(Home(home), [once], clock=lambda: noon)) as api:
        api.log_observation(
            "visit",
            {"customer_id": row["customer_id"]},
            row["event_time"],
            {"pages": 9, "channel": row["channel"]},
            observation_id="mended",
            corrects=row["observation_id"],
        )
    assert turn(4, 4).exit_code == 0
    fact = pl.read_delta(str(home / "lakehouse" / "organize" / "fct_visit"))
    [mended] = fact.filter(corrects=row["observation_id"]).to_dicts()
    assert (mended["pages"], mended["partition_date"]) == (9, FIRST + 4 * DAY)

    lines = visits.read_text().splitlines()
    visits.write_text("\n".join([*(x for x in lines if x != first), ""]))
    assert turn(1, 4, "--decide-again").exit_code == 0
    assert told(inside)["reasons"] == []


def test_what_is_logged_again_is_sent_as_is_said(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
) -> None:
    """With an id of its own; there is nothing that a replay could take."""
    noon = int(datetime.combine(FIRST, time(12), UTC).timestamp()) * 1_000_000
    at = datetime.combine(FIRST, time(11), UTC)
    assert inside("validate").exit_code == 0
    with closing(Local(Home(tmp_path / "home"), declared(), clock=lambda: noon)) as api:
        for pages in (2, 3):
            record = {"kind": "visit", "observation_id": "a", "event_time": at}
            payload = {"pages": pages, "channel": "web"}
            api.log_observations([{**record, "entity": {"customer_id": 1}, "payload": payload}])
    assert turn(0, 0).exit_code == 0
    one = told(inside)
    assert (one["rejected"], one["reasons"][0]["n_logged"]) == (1, 1)
    assert one["to_do"] == (
        "what was logged with the id of another: have it sent again with an id of its own, "
        "and with corrects where it is a correction"
    )


def test_days_and_observations_are_chosen(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
) -> None:
    """A span of days, so many records, one observation; one that is mistyped is named."""
    visits.write_text(visits.read_text().replace(",web\n", ",fax\n"))
    assert turn(0, 3).exit_code == 0
    one = told(inside, "--from", str(FIRST), "--to", str(FIRST + DAY), "--rows", "2")
    assert (one["from"], one["to"]) == (str(FIRST), str(FIRST + DAY))
    assert one["rejected"] < told(inside)["rejected"]
    assert [r["partition_date"] for r in one["records"]] == [str(FIRST + DAY)] * 2
    wrong = inside("rejected", "visits")
    assert wrong.exit_code == 1
    assert "did you mean 'visit'" in wrong.output


@pytest.mark.parametrize("since", [0, 2])
def test_what_was_always_rejected_is_not_complained_of(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
    tmp_path: Path,
    since: int,
) -> None:
    """Two days beside the two before: as many as ever, or none until then."""
    rejected_days = tuple(str(FIRST + k * DAY) for k in range(since, 4))
    lines = visits.read_text().splitlines()
    kept = [
        line.replace(",web", ",fax") if line.startswith(rejected_days) else line for line in lines
    ]
    visits.write_text("\n".join(kept) + "\n")
    assert turn(0, 3).exit_code == 0
    [found] = rejections(Home(tmp_path / "home"), declared(), FIRST + 2 * DAY, FIRST + 3 * DAY)
    assert found.share > 0.05
    assert found.need_attention == (since == 2)
