"""Promotion through the loop: gate, ledger, rollback, reproduction, vacuum, drift, alternatives."""

import json
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import flywheel_assets.flywheels
from flywheel_assets import Drift, Gate, Thompson
from flywheel_assets.cli import app
from flywheel_assets.dagster_assets.build import Build, build_for
from flywheel_assets.dagster_assets.decisions import _decide
from flywheel_assets.dagster_assets.drift import _references, over_time
from flywheel_assets.dagster_assets.features import read_snapshots
from flywheel_assets.dagster_assets.model import _train, version_scorer
from flywheel_assets.dagster_assets.performance import _alternatives
from flywheel_assets.dagster_assets.promotions import (
    alias_check,
    champion_as_of,
    ledger_of,
    promote,
    rollback,
)
from flywheel_assets.dagster_assets.reproducing import reproduce
from flywheel_assets.dagster_assets.status import _saw_forgotten
from flywheel_assets.dagster_assets.turn import Run, Turner, replay
from flywheel_assets.errors import HomeError, PublishedError, UnfitModelError
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stages.challenge import MODEL_SCHEMA, split, window
from flywheel_assets.stages.checks import WARNING
from flywheel_assets.stages.drift import PROFILE_SCHEMA, watched
from flywheel_assets.stages.model import buffers_digest, rows_digest
from flywheel_assets.stages.policy import draw
from flywheel_assets.stages.training_set import training_schema
from flywheel_assets.stores.forgetting.receipts import Receipts
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.models import FINGERPRINT
from flywheel_assets.stores.registry import FORGOTTEN, SOURCE, registered_name
from flywheel_assets.stores.vacuum import vacuum
from flywheel_assets.worlds.shop import Shop, ShopConfig, write_day
from flywheel_tests.conftest import FIRST, contents
from flywheel_tests.test_gate import Broken

DAY, DATE = timedelta(days=1), "partition_date"
LAST = FIRST + 22 * DAY
MONDAYS = (FIRST + 14 * DAY, FIRST + 21 * DAY)
"""The first on which decisions of five days before have matured apart from two days of holdout."""
ANYTHING = Gate(minimum=0.0, minimum_gain=-1.0, holdout=2 * DAY, refit=True)
STRICTER = replace(ANYTHING, minimum=0.99)
quick = replace(
    repurchase,
    training_set=replace(repurchase.outcome, horizon=5 * DAY),
    model=replace(repurchase.model, gate=ANYTHING),
)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Turner:
    """Turn a flywheel of a five-day outcome over two trainings."""
    root = tmp_path_factory.mktemp("promotion")
    shop = Shop(ShopConfig(start=FIRST, n_customers=300, history=timedelta(days=40)))
    (root / "orders").mkdir()
    for day, lines in shop.history_files():
        write_day(root / "orders", day, lines)
    for i in range((LAST - FIRST).days + 1):
        write_day(root / "orders", FIRST + i * DAY, shop.day(FIRST + i * DAY, []))
    home = Home(root / "home")
    sources = {"order_line": str(root / "orders")}
    home.extend(FIRST, LAST, sources, ongoing=False, demo=False)
    turner = Turner(home, [quick])
    turner.turn(list(replay(quick, FIRST, LAST)), lambda _: None)
    return turner


@pytest.fixture(scope="module")
def build(turned: Turner) -> Build:
    return build_for(turned.home)


@pytest.fixture(scope="module")
def command(turned: Turner) -> CliRunner:
    return CliRunner(env={"FLYWHEEL_HOME": str(turned.home.root), "COLUMNS": "200"})


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line find the flywheel of this file."""
    monkeypatch.setattr(flywheel_assets.flywheels, "FLYWHEELS", (quick,))


def test_the_gate_judges_apart_and_promotes_what_it_trains_again(build: Build) -> None:
    """Two versions a training: the judged one, on older rows, and the one that decides."""
    trained = (
        build.tables.read("repurchase/model", MODEL_SCHEMA).filter("trained").sort(DATE).collect()
    )
    assert trained[DATE].to_list() == list(MONDAYS)
    assert trained["version"].to_list() == [2, 4]
    assert trained["judged_version"].to_list() == [1, 3]
    assert trained["champion_version"].to_list() == [None, 2]
    assert trained["gain_lower"].to_list()[0] is None
    second = trained.row(1, named=True)
    assert second["gain_lower"] < second["gain"] < second["gain_upper"]
    entries = ledger_of(build, quick).entries()
    assert entries["version"].to_list() == [2, 4]
    assert entries["by"].unique().to_list() == ["gate"]
    judged = build.registry.rows_of(registered_name(quick), 3)
    final = build.registry.rows_of(registered_name(quick), 4)
    # Decisions of the 16th day mature on the 21st, the first that is judged: known by then was
    # what had matured on the day of the decision.
    assert judged.last == MONDAYS[1] - 6 * DAY
    assert final.last == MONDAYS[1]
    assert final.n_rows > judged.n_rows


def test_decisions_go_by_the_champion_of_their_day(turned: Turner) -> None:
    """The bootstrap rule, then the first champion, then the second."""
    decided = contents(turned.home.root)["repurchase/decisions"]
    by_day = dict(decided.select(DATE, "model_version").unique().iter_rows())
    for day, version in by_day.items():
        expected = None if day < MONDAYS[0] else 2 if day < MONDAYS[1] else 4
        assert version == expected


def test_drift_is_measured_from_the_first_champion_on(turned: Turner, build: Build) -> None:
    """Every feature, the score, and the outcome, with a level; the plot is a picture."""
    found = contents(turned.home.root)["repurchase/drift"]
    modelled = found.filter(pl.col("version").is_not_null(), measure="psi")
    assert modelled[DATE].min() == MONDAYS[0]
    columns = set(modelled["column"])
    assert columns == {*quick.model.features, "score", "outcome"}
    assert set(found["level"]) <= {"ok", "warn", "error"}
    assert str(over_time(found, quick).md_str).startswith("![PSI")
    latest = turned.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [
            dg.AssetCheckKey(dg.AssetKey(["repurchase", "drift"]), name)
            for name in ("feature_drift", "score_drift", "label_drift")
        ]
    )
    assert len(latest) == 3
    rows = build.tables.read("repurchase/profile", {DATE: pl.Date(), "column": pl.String()})
    assert rows.group_by(DATE, "column").len().collect()["len"].max() <= 2_000  # type: ignore[operator]


def drift_said(turner: Turner, first: date, last: date) -> dict[str, str]:
    """Measure the drift of a range, and give what each check says of it, without its days."""
    turner.force(Run(("repurchase/drift",), first, last))
    found = turner.instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(dg.AssetKey(["repurchase", "drift"]), c) for c in WARNING["drift"]]
    )
    told = [record.event.asset_check_evaluation for record in found.values() if record.event]
    return {one.check_name: str(one.description).split(": ", 1)[1] for one in told if one}


def test_drift_of_a_range_says_what_holds_on_its_newest_day(turned: Turner, build: Build) -> None:
    """However many days a run makes: since when it is off, and nothing of what is well again."""
    name, day = "repurchase/profile", MONDAYS[0]
    trained = build.tables.read(name, PROFILE_SCHEMA, day, day).collect()
    shifted = trained.with_columns(pl.col("value") + 1e6)
    build.tables.replace(name, shifted, PROFILE_SCHEMA, day, day)
    second = MONDAYS[1] - DAY
    off = drift_said(turned, FIRST, second)
    assert f"(error) since {day}" in off["feature_drift"]
    assert drift_said(turned, second, second) == off
    well = drift_said(turned, MONDAYS[1], MONDAYS[1])
    assert str(day) not in well["feature_drift"]
    assert drift_said(turned, FIRST, MONDAYS[1]) == well
    build.tables.replace(name, trained, PROFILE_SCHEMA, day, day)
    drift_said(turned, FIRST, LAST)


def test_performance_says_what_alternatives_would_have_earned(turned: Turner) -> None:
    """Each matured day: what was earned, and each alternative or why the log cannot say."""
    found = contents(turned.home.root)["repurchase/alternatives"]
    early = found.filter(pl.col(DATE) == MONDAYS[0])
    assert set(early["policy"]) == {"logged", "no_exploration"}
    late = found.filter(pl.col(DATE) == MONDAYS[0] + 5 * DAY)
    assert set(late["policy"]) == {"logged", "bootstrap", "no_exploration"}
    matured = contents(turned.home.root)["repurchase/training_set"]
    for day, value in found.filter(policy="logged").select(DATE, "value").iter_rows():
        assert value == pytest.approx(matured.filter(pl.col(DATE) == day)["reward"].mean())
    unsupported = found.filter(~pl.col("supported"))
    assert unsupported["value"].null_count() == unsupported.height
    assert unsupported["diagnosis"].null_count() == 0


def test_performance_goes_on_where_a_model_lacks_a_feature(turned: Turner, build: Build) -> None:
    """The figures of its alternatives are null, and say why; the others stand."""
    day = FIRST + 19 * DAY
    rows = contents(turned.home.root)["repurchase/training_set"].filter(pl.col(DATE) == day)
    assert rows["model_version"].unique().to_list() == [2]
    gone = quick.model.features[0]
    found = _alternatives(build, quick, rows.drop(gone))
    for policy, supported in (("logged", True), ("no_exploration", False)):
        assert found.filter(policy=policy)["supported"].to_list() == [supported]
    (why,) = found.filter(policy="no_exploration")["diagnosis"]
    assert f"found no {gone}; " in why
    assert found.filter(policy="no_exploration")["model_version"].to_list() == [2]


def test_what_does_not_train_makes_no_other_version(build: Build) -> None:
    """Another bar of drift or gate: the same version, which reproduces; another estimator fails."""
    name = registered_name(quick)
    before = set(build.registry.versions(name))
    watched = replace(quick, model=replace(quick.model, drift=Drift(psi_warn=0.2), gate=STRICTER))
    _train(build, watched, MONDAYS[1])
    assert set(build.registry.versions(name)) == before
    assert reproduce(build, watched, 4).differences == ()
    broken = replace(quick, model=replace(quick.model, estimator=Broken))
    assert reproduce(build, broken, 4).differences == (
        "the model is declared differently by now",
        "predictions cannot be compared: ValueError: no luck today",
    )


def test_a_promotion_cannot_reach_into_days_that_were_decided(build: Build) -> None:
    """The error names the rule, and the ledger stays; a wrong version names the valid ones."""
    before = ledger_of(build, quick).entries()
    with pytest.raises(PublishedError, match="first day that is not decided yet; found"):
        promote(build, quick, 2, "because", LAST)
    with pytest.raises(HomeError, match="valid: 1, 2, 3, 4"):
        promote(build, quick, 9, "because")
    with pytest.raises(HomeError, match="a reason"):
        promote(build, quick, 2, " ")
    assert ledger_of(build, quick).entries().equals(before)


def test_rolled_back_old_days_come_out_the_same(
    turned: Turner, build: Build, command: CliRunner
) -> None:
    """A rollback decides from the next day on; what was decided rematerializes unchanged."""
    before = contents(turned.home.root)
    said = command.invoke(app, ["rollback", "repurchase", "--why", "too many contacts"])
    assert said.exit_code == 0, said.output
    assert f"back to version 2, from {LAST + DAY} on" in said.output
    assert champion_as_of(build, quick, LAST) == 4
    assert champion_as_of(build, quick, LAST + DAY) == 2
    for day in (*MONDAYS, LAST):
        turned._execute(Run(("repurchase/model", "repurchase/decisions"), day, day))
    after = contents(turned.home.root)
    for name in ("repurchase/decisions", "repurchase/model"):
        assert after[name].equals(before[name]), name
    entry = ledger_of(build, quick).entries().row(-1, named=True)
    assert (entry["action"], entry["reason"]) == ("rollback", "too many contacts")
    assert (entry["judged_version"], entry["champion_version"]) == (1, 4)
    assert build.registry.alias(registered_name(quick), "champion") == 2
    assert build.registry.alias(registered_name(quick), "challenger") == 4


def test_a_second_rollback_goes_further_and_a_promotion_forward(
    build: Build, command: CliRunner
) -> None:
    """Nothing was champion before version 2; --to names any registered version."""
    with pytest.raises(HomeError, match="only version 2; name a registered version"):
        rollback(build, quick, None, "again")
    since = str(LAST + DAY)
    told = {"flywheel": "repurchase", "version": 1, "judged_version": 1, "since": since}
    said = command.invoke(
        app, ["rollback", "repurchase", "--to", "1", "--why", "the judged one", "--json"]
    )
    assert json.loads(said.stdout) == told
    said = command.invoke(
        app, ["promote", "repurchase", "4", "--why", "it was not the model", "--json"]
    )
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout) == told | {"version": 4, "judged_version": 3}
    assert champion_as_of(build, quick, LAST + DAY) == 4
    assert ledger_of(build, quick).line(LAST + DAY) == [2, 1, 4]


def test_an_alias_off_the_ledger_is_said_and_mended(turned: Turner, build: Build) -> None:
    """The check of the model asset names both versions; the run lets the alias follow."""
    name = registered_name(quick)
    assert alias_check(build, quick).passed
    build.registry.point(name, "champion", 1)
    found = alias_check(build, quick)
    assert not found.passed
    assert "champion is at version 1, the ledger at 4" in found.message
    turned._execute(Run(("repurchase/model",), LAST, LAST))
    assert alias_check(build, quick).passed


def test_a_score_is_held_against_what_its_version_did_not_learn_from(build: Build) -> None:
    """What the judged version gave what it was judged on: also of what was trained again."""
    table, (first, last) = "repurchase/training_set", window(quick, MONDAYS[1])
    rows = build.tables.read(table, training_schema(quick), first, last).collect()
    holdout = split(rows, quick, MONDAYS[1])[1]
    score = draw(holdout, version_scorer(build, quick, 3)(holdout), quick).score
    for version in (3, 4):
        known = _references(build, quick, version)
        assert known["score"].n_rows == holdout.height
        assert known["score"].value.tolist() == np.unique(score).tolist()
        learnt = build.registry.rows_of(registered_name(quick), version).n_rows
        assert {known[name].n_rows for name in (*watched(quick), "outcome")} == {learnt}


def test_a_version_is_reproduced_after_its_rows_were_replaced_and_vacuumed(
    turned: Turner, build: Build, command: CliRunner
) -> None:
    """Same rows and predictions, though the table has others by now and old files are gone."""
    for version in (3, 4):
        assert reproduce(build, quick, version).differences == ()
    schema = training_schema(quick)
    rows = build.tables.read("repurchase/training_set", schema, MONDAYS[0], MONDAYS[0]).collect()
    for weight in (3.0, 4.0):
        other = rows.with_columns(weight=pl.lit(weight))
        build.tables.replace("repurchase/training_set", other, schema, MONDAYS[0], MONDAYS[0])
    counted = vacuum(turned.home, 0, dry_run=True)
    assert counted == vacuum(turned.home, 0)
    freed = {f.table: f for f in counted}
    # The version in between, which no model was trained on, is gone.
    assert freed["repurchase/training_set"].files >= 1
    assert freed["repurchase/training_set"].kept_versions
    assert not vacuum(turned.home, 0)
    said = command.invoke(app, ["reproduce", "repurchase", "4"])
    assert said.exit_code == 0, said.output
    assert "the same rows, the same predictions" in said.output
    assert contents(turned.home.root)["repurchase/training_set"].filter(weight=4.0).height


def test_a_champion_that_does_not_fit_is_an_error_with_a_remedy(build: Build) -> None:
    """A renamed model, and replicates that Thompson sampling needs: decisions say what to do."""
    views = read_snapshots(build, quick, LAST, LAST)
    renamed = replace(quick, model=replace(quick.model, name="renamed"))
    drawing = replace(
        quick,
        model=replace(quick.model, replicates=5),
        decisions=replace(quick.policy, exploration=Thompson()),
    )
    for declared, said in ((renamed, "another name then"), (drawing, "a single number")):
        with pytest.raises(UnfitModelError, match=said) as error:
            _decide(build, declared, views, LAST)
        assert "version 4" in error.value.found
        assert "flywheel rollback repurchase --why ..." in error.value.remedy
        row, _ = _train(build, declared, MONDAYS[1])
        assert row["promoted"], row["verdict"]
        assert "the champion could not be compared" in row["verdict"]
        assert said in row["verdict"]


def test_a_version_of_an_earlier_release_is_known_again(build: Build) -> None:
    """Rows were digested with the buffers of long text: that alone is no other training."""
    texts = replace(
        quick,
        model=replace(
            quick.model, name="of_texts", features=("country",), estimator=None, trusted_types=()
        ),
    )
    name, client = registered_name(texts), build.models.client()
    trained, _ = _train(build, texts, MONDAYS[1])
    version = trained["version"]
    source = build.registry.rows_of(name, version)
    rows = build.tables.read(
        source.table,
        training_schema(texts),
        source.first,
        source.last,
        version=source.delta_version,
    ).collect()
    earlier = replace(source, sha256=buffers_digest(rows, texts))
    assert earlier != source
    assert buffers_digest(rows, quick) == rows_digest(rows, quick)
    run = str(client.get_model_version(name, str(version)).run_id)
    client.set_tag(run, SOURCE, earlier.text())
    told = f"{earlier.sha256}:{earlier.declaration}"
    client.set_model_version_tag(name, str(version), FINGERPRINT, told)
    assert reproduce(build, texts, version).differences == ()
    again, _ = _train(build, texts, MONDAYS[1])
    assert again["version"] == version


def test_status_names_no_version_that_the_gate_refused(turned: Turner, build: Build) -> None:
    """In place of a champion that saw somebody forgotten: one that was in the line, or none."""
    name, model = registered_name(quick), replace(quick.model, class_weight="balanced")
    refused, _ = _train(build, replace(quick, model=replace(model, gate=STRICTER)), MONDAYS[1])
    assert refused["verdict"].startswith("refused")
    receipts = Receipts.of(turned.home)
    receipt = receipts.begin("customer", {"customer_id": "a digest"}, "a test")
    receipts.keep(receipt, finished=True)
    line = ledger_of(build, quick).line(date.max)
    build.registry.flag(name, line[-1], receipt.id)
    ((table, said),) = _saw_forgotten(build, [quick])
    assert table == "repurchase/model"
    assert f"flywheel promote repurchase {line[-2]} --why" in said
    for version in line:
        build.registry.flag(name, version, receipt.id)
    ((_, said),) = _saw_forgotten(build, [quick])
    assert said.endswith("train again, monday; no version was trained without them and promoted")
    for version in line:
        build.models.client().delete_model_version_tag(name, str(version), FORGOTTEN)


def test_what_was_tampered_with_differs(turned: Turner, build: Build, command: CliRunner) -> None:
    """A changed outcome in an old data file: other rows, other predictions; a lost one is said."""
    source = build.registry.rows_of(registered_name(quick), 4)
    folder = turned.home.lakehouse / "repurchase" / "training_set"
    file = next((folder / f"partition_date={MONDAYS[1]}").glob("*.parquet"))
    size = file.stat().st_size
    pl.read_parquet(file).with_columns((1 - pl.col("outcome")).alias("outcome")).write_parquet(file)
    for entry in (folder / "_delta_log").glob("*.json"):
        text = entry.read_text()
        if file.name in text:
            entry.write_text(text.replace(f'"size":{size}', f'"size":{file.stat().st_size}'))
    said = command.invoke(app, ["reproduce", "repurchase", "4"])
    assert said.exit_code == 1
    assert "different: rows with sha256" in said.output
    assert "predictions differ" in said.output
    said = command.invoke(app, ["reproduce", "repurchase", "4", "--json"])
    assert said.exit_code == 1
    told = json.loads(said.stdout)
    assert told["source"]["sha256"] == source.sha256
    assert len(told["differences"]) == 2
    other = replace(quick, model=replace(quick.model, class_weight="balanced"))
    assert reproduce(build, other, 4).differences[0] == "the model is declared differently by now"
    file.unlink()
    (lost,) = reproduce(build, quick, 4).differences
    assert f"version {source.delta_version} of repurchase/training_set cannot be read" in lost
