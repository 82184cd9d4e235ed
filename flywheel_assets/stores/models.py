"""Models: tracked and registered in MLflow, loaded through skops from types that we trust."""

import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from flywheel_assets.errors import HomeError, UnfitModelError
from flywheel_assets.stores.moved import require_here

if TYPE_CHECKING:
    from mlflow import MlflowClient

FINGERPRINT, PARTITION_TAG, DIGEST = "flywheel.fingerprint", "flywheel.partition", "flywheel.sha256"
PAGE = "flywheel.dagster_page"
TRUSTED_TYPES = (
    # Our own.
    *(
        f"flywheel_assets.stages.learners.{name}"
        for name in ("SLearner", "TLearner", "Trained", "Weighted", "XLearner")
    ),
    # What imputers, calibration, gradient boosted trees and skrub's table vectorizer are made of.
    "functools.partial",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
    "skrub._apply_to_each_col.ApplyToEachCol",
    "skrub._check_input.CheckInputDataFrame",
    "skrub._clean_categories.CleanCategories",
    "skrub._clean_null_strings.CleanNullStrings",
    "skrub._dataframe._common.is_any_date",
    "skrub._dataframe._common.is_categorical",
    "skrub._dataframe._common.is_numeric",
    "skrub._datetime_encoder.DatetimeEncoder",
    "skrub._drop_uninformative.DropUninformative",
    "skrub._duration_to_float.DurationToFloat",
    "skrub._string_encoder.StringEncoder",
    "skrub._table_vectorizer.PassThrough",
    "skrub._table_vectorizer.ShortReprDict",
    "skrub._table_vectorizer.TableVectorizer",
    "skrub._table_vectorizer._created_by_predicate",
    "skrub._to_categorical.ToCategorical",
    "skrub._to_datetime.ToDatetime",
    "skrub._to_float.ToFloat",
    "skrub._to_str.ToStr",
    "skrub.selectors._base.All",
    "skrub.selectors._base.And",
    "skrub.selectors._base.Cols",
    "skrub.selectors._base.Filter",
    "skrub.selectors._base.Sub",
    "skrub.selectors._selectors._cardinality_below",
)
_LOADED: dict[tuple[str, str, int], Any] = {}


@dataclass(frozen=True)
class Models:
    """The registry of one home: a SQLite database and a folder of artifacts.

    Parameters
    ----------
    root : Path
        Absolute.
    """

    root: Path

    @property
    def uri(self) -> str:
        """What MLflow's own tools take as tracking and registry address."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def client(self) -> "MlflowClient":
        """Open the registry, creating its database once."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        import mlflow
        from mlflow import MlflowClient

        self.root.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        return MlflowClient(self.uri, self.uri)

    def register(  # noqa: PLR0913  each is one fact about the model
        self,
        name: str,
        estimator: Any,
        *,
        experiment: str,
        day: str,
        fingerprint: str,
        formerly: str | None = None,
        metrics: Mapping[str, float],
        params: Mapping[str, Any],
        trusted: tuple[str, ...],
        features: pl.DataFrame | None = None,
        page: str | None = None,
    ) -> int:
        """Track a training and register its model; the same training again is the same version.

        Parameters
        ----------
        formerly : str, optional
            The fingerprint that earlier releases gave the same training.
        features : DataFrame, (n_rows, n_features), optional
            That it was trained on: its signature, and a made-up row to try it with.
        page : str, optional
            Where the training is on Dagster's pages: a path.

        Returns
        -------
        int
            The version.

        Raises
        ------
        HomeError
            In a copied home, of which MLflow would write into the one that it was copied from.
        """
        require_here(self.root)
        client = self.client()
        found = self.find(name, day, fingerprint)
        if found is None and formerly is not None:
            found = self.find(name, day, formerly)
        if found is not None:
            return found
        import mlflow.sklearn
        import sklearn

        from flywheel_assets.stores.signature import example, signature

        shape: dict[str, Any] = {}
        if features is not None:
            n_outputs = max(len(estimator.actions), 1)
            shape = {
                "signature": signature(features, n_outputs),
                "input_example": example(features),
            }
        with mlflow.start_run(
            experiment_id=self._experiment(client, experiment), run_name=f"{name} {day}"
        ) as run:
            mlflow.log_params({k: str(v) for k, v in params.items()})
            mlflow.log_metrics(dict(metrics))
            mlflow.set_tags({PARTITION_TAG: day, FINGERPRINT: fingerprint, PAGE: page or ""})
            info = _quietly(
                mlflow.sklearn.log_model,
                estimator,
                name="model",
                serialization_format="skops",
                skops_trusted_types=[*TRUSTED_TYPES, *trusted],
                pip_requirements=[
                    f"flywheel-assets=={metadata.version('flywheel-assets')}",
                    f"scikit-learn=={sklearn.__version__}",
                ],
                **shape,
            )
        version = self._version(client, name, info.model_uri, run.info.run_id)
        digest = hashlib.sha256(self._file(client, name, version).read_bytes()).hexdigest()
        for key, value in ((DIGEST, digest), (PARTITION_TAG, day), (FINGERPRINT, fingerprint)):
            client.set_model_version_tag(name, str(version), key, value)
        return version

    def find(self, name: str, day: str, fingerprint: str) -> int | None:
        """Give the version that this training of this day made before, if any."""
        versions = self.client().search_model_versions(f"name = '{name}'")
        same = [
            int(v.version)
            for v in versions
            if (v.tags.get(PARTITION_TAG), v.tags.get(FINGERPRINT)) == (day, fingerprint)
        ]
        return min(same, default=None)

    def load(self, name: str, version: int, trusted: tuple[str, ...]) -> Any:
        """Load a version as it was registered.

        Parameters
        ----------
        trusted : tuple of str
            Types that it may contain beside scikit-learn's own and `TRUSTED_TYPES`.

        Raises
        ------
        HomeError
            When the saved file is not the one that was registered.
        UnfitModelError
            When it is of types that are not trusted, or that are not there any more.
        """
        key = (self.uri, name, version)
        if key not in _LOADED:
            client = self.client()
            file = self._file(client, name, version)
            registered = client.get_model_version(name, str(version)).tags.get(DIGEST)
            if not file.exists():
                raise HomeError(
                    expected=f"the file of {name} version {version}",
                    found=f"nothing at {file}",
                    remedy="restore it from a backup; flywheel doctor says what else is missing",
                )
            found = hashlib.sha256(file.read_bytes()).hexdigest()
            if found != registered:
                raise HomeError(
                    expected=f"{name} version {version} with sha256 {registered}",
                    found=found,
                    remedy=f"restore {file} from a backup, or train again",
                )
            import skops.io

            try:
                _LOADED[key] = skops.io.load(file, trusted=[*TRUSTED_TYPES, *trusted])
            except Exception as error:
                raise UnfitModelError(
                    expected=f"{name} version {version} of types that are trusted and there",
                    found=f"{type(error).__name__}: {error}",
                    remedy="name them in the Model's trusted_types, or train again",
                ) from error
        return _LOADED[key]

    def _version(self, client: "MlflowClient", name: str, source: str, run_id: str) -> int:
        from mlflow.exceptions import MlflowException

        try:
            client.get_registered_model(name)
        except MlflowException:
            client.create_registered_model(name)
        return int(client.create_model_version(name, source, run_id).version)

    def _experiment(self, client: "MlflowClient", name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = (self.root / "artifacts" / name).as_uri()
        return str(client.create_experiment(name, artifact_location=location))

    def _file(self, client: "MlflowClient", name: str, version: int) -> Path:
        from urllib.parse import urlparse

        uri = client.get_model_version_download_uri(name, str(version))
        return Path(urlparse(uri).path) / "model.skops"


def _quietly(log_model: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Log without what mlflow 3.17 provokes in pandas when it looks at an example's columns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Operation with range is deprecated")
        return log_model(*args, **kwargs)
