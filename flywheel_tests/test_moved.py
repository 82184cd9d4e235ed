"""A home that was copied: what it writes stays in it, and the one it was copied from is left."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flywheel_assets.cli import app
from flywheel_assets.dagster_assets.turn import Turner
from flywheel_assets.errors import HomeError
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.stages.model import train
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.models import Models
from flywheel_assets.stores.moved import elsewhere
from flywheel_tests.conftest import FIRST
from flywheel_tests.logged import flywheel, log
from flywheel_tests.serving import publish
from flywheel_tests.test_models import quick, register

NAME = "repurchase.m"


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Home, Home]:
    """Register the model of a flywheel that has decided in a home, and copy it."""
    home, copy = Home(tmp_path / "data"), Home(tmp_path / "data_v1")
    home.save(Settings(start=FIRST))
    register(Models(home.mlflow), train(log(100), flywheel(estimator=quick)))
    publish(home, FIRST, {7: "contact"})
    shutil.copytree(home.root, copy.root)
    return home, copy


def on(home: Home, *arguments: str) -> Result:
    """Run a command on a home."""
    return CliRunner().invoke(app, arguments, env={"FLYWHEEL_HOME": str(home.root)})


def files(home: Home) -> dict[Path, bytes]:
    """Read all that MLflow keeps of a home."""
    return {file: file.read_bytes() for file in home.mlflow.rglob("*") if file.is_file()}


def test_a_copy_is_not_turned_while_it_leads_to_another_home(homes: tuple[Home, Home]) -> None:
    """Runs and trainings are refused, status and doctor say so; nothing is written there."""
    home, copy = homes
    before = files(home)
    for refused in (lambda: Turner(copy, FLYWHEELS), lambda: register(Models(copy.mlflow), None)):
        with pytest.raises(HomeError, match=rf"found {home.mlflow}: .*doctor --mend"):
            refused()
    for command in ("status", "doctor"):
        said = on(copy, command)
        assert said.exit_code == 1
        assert f"leads to {home.mlflow.as_uri()}" in said.output
    assert files(home) == before
    assert not elsewhere(home.mlflow)
    Turner(home, FLYWHEELS)


def test_a_copy_that_is_mended_is_a_home_of_its_own(homes: tuple[Home, Home]) -> None:
    """What it loads and what it trains is below it, and the home that it was copied from stays."""
    home, copy = homes
    before, models = files(home), Models(copy.mlflow)
    assert "mended: let its paths lead here" in on(copy, "doctor", "--mend").output
    assert on(copy, "doctor").output == "Nothing is wrong.\n"
    Turner(copy, FLYWHEELS)
    wheel = flywheel(estimator=quick)
    register(models, train(log(100, seed=1), wheel), features=log(10)[list(wheel.model.features)])
    for version in models.client().search_model_versions(f"name = '{NAME}'"):
        number = int(version.version)
        assert models._file(models.client(), NAME, number).is_relative_to(copy.root)
        assert models.load(NAME, number, ())
    assert files(home) == before


def test_a_copy_without_its_files_is_not_mended(homes: tuple[Home, Home]) -> None:
    """Its models would be found nowhere: what has to be copied first is named."""
    home, copy = homes
    shutil.rmtree(copy.mlflow / "artifacts")
    said = on(copy, "doctor", "--mend")
    assert said.exit_code == 1
    assert f"copy what is there to {copy.mlflow / 'artifacts'}" in said.output
    assert set(elsewhere(copy.mlflow).values()) == {home.mlflow.as_uri()}
