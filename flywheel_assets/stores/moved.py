"""A home that was copied or moved: MLflow keeps absolute paths, which lead to where it was."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from flywheel_assets.errors import HomeError

_PATHS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""By table of MLflow's database the column that keeps paths of artifacts."""


def elsewhere(mlflow: Path) -> dict[str, str]:
    """Give the experiments whose artifacts go to another home's folder, as its address.

    What was made in MLflow by others, or leads to no folder, is nobody's home.

    Parameters
    ----------
    mlflow : Path
        Where a home keeps MLflow's state.
    """
    query = "SELECT name, artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'"
    try:
        with closing(_opened(mlflow, "ro")) as database:
            locations = dict(database.execute(query))
    except sqlite3.DatabaseError:  # not there yet, or damaged: the doctor looks at that
        return {}
    homes = {
        name: location.removesuffix(f"/artifacts/{name}")
        for name, location in locations.items()
        if location.endswith(f"/artifacts/{name}")
    }
    here = mlflow.resolve()
    return {name: there for name, there in homes.items() if _path(there).resolve() != here}


def require_here(mlflow: Path) -> None:
    """Refuse to turn a copy of a home, which would write into the one that it was copied from.

    Raises
    ------
    HomeError
    """
    for there in elsewhere(mlflow).values():
        raise HomeError(
            expected=f"what MLflow keeps of this home to be in {mlflow}",
            found=f"{_path(there)}: the home was copied or moved, and MLflow keeps absolute paths",
            remedy="let them lead here by flywheel doctor --mend",
        )


def not_copied(mlflow: Path) -> list[Path]:
    """Name the folders of registered models that would not be there if paths led here."""
    query = "SELECT storage_location FROM model_versions"
    with closing(_opened(mlflow, "ro")) as database:
        kept = [row[0] for row in database.execute(query)]
    here = [
        _path(mlflow.as_uri() + location.removeprefix(there))
        for there in set(elsewhere(mlflow).values())
        for location in kept
        if location and location.startswith(f"{there}/")
    ]
    return [folder for folder in here if not folder.exists()]


def lead_here(mlflow: Path) -> None:
    """Let MLflow's paths into another home lead into this one."""
    with closing(_opened(mlflow, "rw")) as database, database:
        for there in set(elsewhere(mlflow).values()):
            for table, column in _PATHS.items():
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608  ours
                    f"WHERE substr({column}, 1, ?) = ?",
                    (mlflow.as_uri(), len(there) + 1, len(there) + 1, f"{there}/"),
                )


def _opened(mlflow: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{(mlflow / 'mlflow.db').as_uri()}?mode={mode}", uri=True)


def _path(address: str) -> Path:
    return Path(unquote(urlparse(address).path))
