"""Permutation importance: which features a model uses, and how much."""

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from flywheel_assets import Flywheel
from flywheel_assets.cli import app
from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.importance import newest_importance
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.flywheels.lead_scoring import lead_scoring
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stages.importance import importance
from flywheel_assets.stages.predicted import Predicted
from flywheel_assets.stages.training_set import training_schema
from flywheel_assets.stores.registry import registered_name

DAY = date(2026, 3, 2)
N_ROWS = 300


def judged() -> pl.DataFrame:
    """Make judged leads whose outcome follows from a text and, less, from a number."""
    chance = np.random.default_rng(0)
    schema = training_schema(lead_scoring)
    rows = pl.DataFrame({name: pl.Series([None] * N_ROWS, dtype=t) for name, t in schema.items()})
    job, age = chance.integers(2, size=N_ROWS), chance.random(N_ROWS)
    return rows.with_columns(
        pl.lit(DAY).alias("partition_date"),
        pl.Series("decision_id", [f"d{n}" for n in range(N_ROWS)]),
        pl.Series("known_job", np.where(job, "retired", "student")),
        pl.Series("age", age),
        pl.Series(
            "outcome", (0.6 * job + 0.5 * age + chance.random(N_ROWS) / 2 > 0.8).astype(np.int8)
        ),
        pl.lit("call_first").alias("action"),
    )


def by_job_and_age(rows: pl.DataFrame) -> Predicted:
    """Score by the text and the number alone."""
    score = (rows["known_job"] == "retired").cast(pl.Float64) + 0.5 * rows["age"]
    return Predicted(score.to_numpy()[:, None])


def test_what_a_model_looks_at_is_what_is_important() -> None:
    """The text counts most, the number some, and what is not looked at exactly nothing."""
    found = importance(judged(), by_job_and_age, lead_scoring, 3, DAY)
    assert found["feature"][:2].to_list() == ["known_job", "age"]
    assert found["importance"][0] > 3 * found["importance"][1] > 0
    assert set(found["importance"][2:]) == {0.0}
    assert set(found["feature"]) == set(lead_scoring.model.features)
    shuffled = judged().sample(fraction=1.0, shuffle=True, seed=7)
    assert importance(shuffled, by_job_and_age, lead_scoring, 3, DAY).equals(found)


def test_nothing_is_said_where_the_metric_is_not_defined() -> None:
    """With one outcome only there is no area under a curve to lose."""
    rows = judged().with_columns(outcome=pl.lit(1, dtype=pl.Int8))
    assert importance(rows, by_job_and_age, lead_scoring, 3, DAY).is_empty()


def test_a_shuffle_without_a_figure_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that is not defined on some shuffles counts on the others; nowhere, it is null."""
    asked = {"n": 0}

    def sometimes(metric: str, rows: pl.DataFrame, scored: Predicted, wheel: Flywheel) -> float:
        asked["n"] += 1
        moved = not rows["known_job"].equals(judged_rows["known_job"])
        if moved or not rows["age"].equals(judged_rows["age"]):
            return float("nan") if moved or asked["n"] % 2 else 0.1
        return 0.5

    judged_rows = judged().sort("partition_date", "decision_id")
    judged_rows = judged_rows.sample(judged_rows.height, seed=DAY.toordinal())
    monkeypatch.setattr("flywheel_assets.stages.importance.measure", sometimes)
    found = importance(judged(), by_job_and_age, lead_scoring, 3, DAY)
    by_name = dict(found.select("feature", "importance").iter_rows())
    assert by_name["known_job"] is None
    assert by_name["age"] == pytest.approx(0.4)
    assert found["feature"][0] == "age"
    assert found["feature"][-1] == "known_job"


def test_it_is_kept_beside_the_model(spun: Turner, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a table, on the MLflow run of the judged version, on the page, and in impact's answer."""
    build = build_for(spun.home)
    found = newest_importance(build.home, repurchase)
    assert set(found["feature"]) == set(repurchase.model.features)
    version = found["version"][0]
    client = build.models.client()
    known = client.get_model_version(registered_name(repurchase), str(version))
    run = client.get_run(str(known.run_id))
    best = found["feature"][0]
    assert run.data.metrics[f"importance_{best}"] == found["importance"][0]
    kept = {f.path for at in (None, "plots") for f in client.list_artifacts(run.info.run_id, at)}
    assert {"permutation_importance.csv", "plots/permutation_importance.svg"} <= kept
    monkeypatch.setenv("FLYWHEEL_HOME", str(build.home.root))
    asked = CliRunner().invoke(app, ["impact", best, "--json"])
    told = json.loads(asked.output)["repurchase/model"]
    assert told["version"] == version
    assert told["importance"] == {best: found["importance"][0]}
    shown = CliRunner().invoke(app, ["impact", "order_probability", "--upstream"])
    assert "roc_auc" in shown.output
