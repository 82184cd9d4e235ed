"""What a trained version leaves in MLflow, and how its page and Dagster's lead to each other."""

import dagster as dg
import numpy as np
import polars as pl

from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.promotions import ledger_of
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stores.registry import registered_name
from flywheel_tests.conftest import LAST

NAME = registered_name(repurchase)


def test_three_lines_of_mlflow_score_what_decided(spun: Turner) -> None:
    """The champion, loaded without us, gives the feature view the scores that were logged."""
    import mlflow

    lakehouse, uri = spun.home.lakehouse, build_for(spun.home).models.uri
    view = pl.read_delta(str(lakehouse / "features" / "customer_orders")).filter(
        partition_date=LAST
    )

    # In a process that has opened other homes the registry is theirs; one's own has no other.
    mlflow.set_registry_uri(uri)

    mlflow.set_tracking_uri(uri)
    model = mlflow.sklearn.load_model(f"models:/{NAME}@champion")
    scored = model.predict(view)

    decided = pl.read_delta(str(lakehouse / "repurchase" / "decisions")).filter(partition_date=LAST)
    ours = view.select("customer_id", pl.Series("theirs", scored[:, 0]))
    both = decided.join(ours, on="customer_id")
    assert both.height == decided.height > 0
    assert np.array_equal(both["score"].to_numpy(), both["theirs"].to_numpy())
    whole = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(view.to_pandas())
    assert np.array_equal(whole, scored)


def test_a_run_tells_its_story(spun: Turner) -> None:
    """Parameters, the rows it learnt from, pictures, a card in words, nobody in the example."""
    build = build_for(spun.home)
    client, champion = build.models.client(), ledger_of(build, repurchase).champion(LAST)
    assert champion is not None
    version = client.get_model_version(NAME, str(champion.judged_version))
    run = client.get_run(str(version.run_id))
    assert {"estimator", "n_features", "learner", "metric", "holdout"} <= run.data.params.keys()
    assert run.data.metrics["roc_auc"] > 0.5
    assert run.inputs is not None
    (learnt,) = run.inputs.dataset_inputs
    source = build.registry.rows_of(NAME, champion.judged_version)
    assert learnt.dataset.name == "repurchase/training_set"
    assert f'"delta_table_version": {source.delta_version}' in learnt.dataset.source
    assert f'"num_rows": {source.n_rows}' in str(learnt.dataset.profile)
    assert {tag.key: tag.value for tag in learnt.tags} == {"mlflow.data.context": "training"}
    assert {f.path for f in client.list_artifacts(str(version.run_id), "plots")} == {
        "plots/calibration.svg",
        "plots/permutation_importance.svg",
        "plots/roc_curve.svg",
    }
    words = str(version.description)
    assert f"{source.n_rows:,} matured decisions" in words
    for title in ("What it is for", "Trained on", "Judged", "Limits", "Owners"):
        assert f"**{title}.**" in words
    assert repurchase.description in str(client.get_registered_model(NAME).description)


def test_the_pages_lead_to_each_other(spun: Turner) -> None:
    """From the model and from decisions to the run that decides, and from there back."""
    build = build_for(spun.home)
    champion = ledger_of(build, repurchase).champion(LAST)
    assert champion is not None
    path = build.registry.run_page(NAME, champion.version)
    for table, label in (("model", "champion_run"), ("decisions", "champion_page")):
        # Of the last day: others that share the home make older ones again.
        asked = dg.AssetRecordsFilter(dg.AssetKey(["repurchase", table]), [LAST.isoformat()])
        [record] = spun.instance.fetch_materializations(asked, limit=1).records
        told = record.asset_materialization
        assert told is not None
        assert told.metadata[label].value == "http://127.0.0.1:5000" + path
    client = build.models.client()
    run = client.get_run(path.rsplit("/", maxsplit=1)[-1])
    trained = build.registry.versions(NAME)[champion.version].trained
    back = f"/assets/repurchase/model?view=partitions&partition={trained}"
    assert run.data.tags["flywheel.dagster_page"] == back
