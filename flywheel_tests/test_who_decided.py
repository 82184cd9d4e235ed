"""Who decided is said wherever somebody may take a rule for a model, or one model for another."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import Result

from flywheel_assets import Gate
from flywheel_assets.project import declared
from flywheel_tests.test_starting import inside, project  # noqa: F401  fixtures
from flywheel_tests.test_went_wrong import FIRST, turn, visits  # noqa: F401  fixtures

DAY = timedelta(days=1)
MEASURED = ("--from", str(FIRST), "--to")


@pytest.fixture
def open_gate(
    inside: Callable[..., Result],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let outcomes take a day, and promote whatever is trained, each day."""
    assert inside("validate").exit_code == 0
    [wheel] = declared()
    gate = Gate(minimum=0.0, minimum_gain=-1.0, holdout=2 * DAY)
    model = replace(wheel.model, gate=gate, retrain="daily")
    outcome = replace(wheel.training_set, horizon=DAY)
    wheel = replace(wheel, training_set=outcome, model=model)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (wheel,))


def versions(tmp_path: Path) -> dict[str, int | None]:
    """Say which version decided on each day."""
    rows = pl.read_delta(str(tmp_path / "home" / "lakehouse" / "tea_shop" / "decisions"))
    day = pl.col("partition_date").cast(pl.String)
    return dict(rows.select(day, "model_version").unique().iter_rows())


@pytest.mark.usefixtures("open_gate")
def test_performance_says_where_the_rule_decided(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
) -> None:
    """On some of the days, on all of them, on none: in words and for scripts."""
    assert turn(0, 10).exit_code == 0
    by = versions(tmp_path)
    ruled = sorted(day for day, version in by.items() if version is None)
    first = min(day for day, version in by.items() if version is not None)
    last = str(FIRST + 8 * DAY)
    assert ruled[-1] < first < last
    some = inside("performance", *MEASURED, last)
    assert (
        f"The bootstrap rule decided on {len(ruled)} of 9 days, from {FIRST} to {ruled[-1]}"
        in some.output
    )
    [score, *_] = json.loads(inside("performance", *MEASURED, last, "--json").output)
    assert (score["n_days"], score["n_days_by_bootstrap_rule"]) == (9, len(ruled))
    every = inside("performance", *MEASURED, ruled[-1])
    assert f"The bootstrap rule decided on the {len(ruled)} days: the score is" in every.output
    every = inside("performance")
    assert f"on {len(ruled)} of 10 days, from {FIRST} to" in every.output, "all that has matured"
    none = inside("performance", "--from", first, "--to", last)
    assert "Models decided on each day: the score is theirs." in none.output


@pytest.mark.usefixtures("open_gate")
def test_impact_is_of_who_decides(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
) -> None:
    """Not of the version that was judged last, where that is another; and which it is, is said."""
    # As many visitors as a gate wants to tell two versions apart.
    visiting = [
        (f"{FIRST + n * DAY} 12:00:00", who, 1 + (n * who) % 5, "web")
        for n in range(12)
        for who in range(30)
        if (n + who) % 3
    ]
    names = ["visited at", "customer_id", "n_pages", "channel"]
    pl.DataFrame(visiting, schema=names, orient="row").write_csv(visits)
    assert turn(0, 10).exit_code == 0

    def told() -> dict[str, object]:
        found: dict[str, object] = json.loads(inside("impact", "pages_30d", "--json").output)[
            "tea_shop/model"
        ]
        return found

    newest = told()
    assert newest["version"] == newest["champion"] != 1
    assert inside("rollback", "tea_shop", "--to", "1", "--why", "to see").exit_code == 0
    back = told()
    assert (back["version"], back["champion"]) == (1, 1)
    assert back["importance"] != newest["importance"]
    assert "lost, version 1, the champion:" in inside("impact", "pages_30d").output


def coin() -> Any:
    """Build what expects the base rate of everybody."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


@pytest.mark.usefixtures("open_gate")
def test_a_trace_names_no_model_that_a_change_kept_from_learning_of_it(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    visits: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Days before the last change are cut: the trace says by whom a decision was learnt from."""
    n_days, changes = 18, 9
    visiting = [
        (f"{FIRST + n * DAY} 12:00:00", who, 1, "web")
        for n in range(n_days)
        for who in range(60)
        if n < changes or (n + who) % 10 == 0
    ]
    names = ["visited at", "customer_id", "n_pages", "channel"]
    pl.DataFrame(visiting, schema=names, orient="row").write_csv(visits)
    [wheel] = declared()
    model = replace(wheel.model, estimator=coin, from_last_change=True)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, model=model),))
    assert turn(0, n_days - 1).exit_code == 0

    def learnt(day: int) -> set[int]:
        """Read which versions the trace of a decision names."""
        steps = json.loads(inside("trace", f"tea_shop:{FIRST + day * DAY}:1", "--json").output)
        said = [step["what"] for step in steps if step["table"] == "tea_shop/model"]
        assert all(what.startswith("trained on by return_probability version ") for what in said)
        return {
            int(n) for what in said for n in re.findall(r"(\d+)(?: \(promoted\))?(?:,|$)", what)
        }

    early, late = learnt(2), learnt(changes + 4)
    assert early
    assert max(early) < max(late), "a version of after the change was not trained on days before"
    before, after = replace(model, from_last_change=False), max(late)
    monkeypatch.setattr("tea_shop.FLYWHEELS", (replace(wheel, model=before),))
    assert after in learnt(2), "its whole window would have it"


def test_whom_to_act_on_is_listed_best_first(
    inside: Callable[..., Result],  # noqa: F811
    turn: Callable[..., Result],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Of the newest day or another; who is held only where that is asked for."""
    assert inside("decided").exit_code == 1
    assert turn(0, 4).exit_code == 0
    made = pl.read_delta(str(tmp_path / "home" / "lakehouse" / "tea_shop" / "decisions"))
    [wheel] = declared()
    for options, day, action in (
        ((), 4, wheel.policy.action),
        (("--on", str(FIRST + 2 * DAY)), 2, wheel.policy.action),
        (("--action", wheel.policy.actions[-1]), 4, wheel.policy.actions[-1]),
    ):
        told = json.loads(inside("decided", *options, "--json").output)
        expected = made.filter(partition_date=FIRST + day * DAY, action=action)
        assert expected.height > 0
        ids = expected.sort("rank", "decision_id")["decision_id"]
        assert [row["decision_id"] for row in told] == ids.to_list()
    shown = inside("decided", "--rows", "1").output
    n_acted = len(json.loads(inside("decided", "--json").output))
    n_decided = made.filter(partition_date=FIRST + 4 * DAY).height
    assert f"1 of {n_acted}, of {n_decided} decisions of tea_shop on" in shown
    assert "did you mean" in inside("decided", "--action", wheel.policy.action[:-1]).output
    late = inside("decided", "--on", str(FIRST + 9 * DAY))
    assert f"choose one from {FIRST} to {FIRST + 4 * DAY}" in late.output
