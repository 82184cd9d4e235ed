"""What MLflow's registry says of the versions of a model: their aliases, what they came from."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Self

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError
from flywheel_assets.stores.models import PARTITION_TAG, Models

_LONGEST = 5_000
"""Characters of a description that MLflow keeps."""
JUDGED, SOURCE = "flywheel.judged_version", "flywheel.training_rows"
FORGOTTEN = "flywheel.forgotten"
"""The receipts of the people who were forgotten after a version had been trained on them."""


def registered_name(flywheel: Flywheel) -> str:
    """Name a flywheel's model in the registry.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> registered_name(repurchase)
    'repurchase.order_probability'
    """
    return f"{flywheel.name}.{flywheel.model.name}"


@dataclass(frozen=True)
class Version:
    """A registered version.

    Parameters
    ----------
    trained : date
        The partition that trained it.
    judged : int
        The version that the gate looked at in its stead: itself, unless it was trained again.
    """

    trained: date
    judged: int


@dataclass(frozen=True)
class TrainingRows:
    """Where the rows that a version was trained on are, for good.

    Parameters
    ----------
    table : str
    delta_version : int
        Of the table, when they were read.
    first, last : date
        Their partitions, both ends included.
    n_rows : int
    sha256 : str
        Of what the training read of them.
    declaration : str
        The fingerprint of the model's declaration.
    """

    table: str
    delta_version: int
    first: date
    last: date
    n_rows: int
    sha256: str
    declaration: str

    def text(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` wrote."""
        found = json.loads(text)
        days = {name: date.fromisoformat(found[name]) for name in ("first", "last")}
        return cls(**found | days)


@dataclass(frozen=True)
class Registry:
    """The registry of one home."""

    models: Models

    def versions(self, name: str) -> dict[int, Version]:
        """Find the registered versions of a model, oldest first."""
        found = {
            int(v.version): Version(
                date.fromisoformat(v.tags[PARTITION_TAG]), int(v.tags.get(JUDGED, v.version))
            )
            for v in self.models.client().search_model_versions(f"name = '{name}'")
            if PARTITION_TAG in v.tags
        }
        return dict(sorted(found.items()))

    def describe(self, name: str, version: int, rows: TrainingRows, judged: int | None) -> None:
        """Record on a version, and on its MLflow run, what it was trained on."""
        client = self.models.client()
        made = client.get_model_version(name, str(version))
        if SOURCE in made.tags:  # the same training again, of a table that may have gone on
            return
        run = str(made.run_id)
        if judged is not None:
            client.set_model_version_tag(name, str(version), JUDGED, str(judged))
        client.set_tag(run, SOURCE, rows.text())
        self._log_input(run, rows)
        # Last: it says that the others are there.
        client.set_model_version_tag(name, str(version), SOURCE, rows.text())

    def describe_in_words(self, name: str, version: int, of_model: str, of_version: str) -> None:
        """Say what a model is for, and of a version what it was trained on and how judged."""
        client, of_version = self.models.client(), of_version[:_LONGEST]
        client.update_registered_model(name, of_model[:_LONGEST])
        made = client.update_model_version(name, str(version), of_version)
        client.set_tag(str(made.run_id), "mlflow.note.content", of_version)

    def run_page(self, name: str, version: int) -> str:
        """Say where a version's run is on MLflow's pages: a path."""
        client = self.models.client()
        run = client.get_run(str(client.get_model_version(name, str(version)).run_id))
        return f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"

    def log_steps(
        self, name: str, version: int, metrics: Mapping[str, Mapping[int, float]], moment: datetime
    ) -> None:
        """Log metrics by step; said again, they are the same.

        Parameters
        ----------
        metrics : mapping of str to mapping of int to float
            Of each metric, its value at each step.
        moment : datetime
            From which on a step is a day later: not when it was logged, so that it is not said
            twice.
        """
        from mlflow.entities import Metric

        client = self.models.client()
        run = str(client.get_model_version(name, str(version)).run_id)
        start = int(moment.timestamp() * 1000)
        said = [
            Metric(key, value, start + step * 86_400_000, step)
            for key, values in metrics.items()
            for step, value in values.items()
        ]
        if said:
            client.log_batch(run, metrics=said)

    def log_metrics(self, name: str, version: int, metrics: Mapping[str, float | None]) -> None:
        """Log on a version's run what was found out about it later."""
        from mlflow.entities import Metric

        client = self.models.client()
        run = str(client.get_model_version(name, str(version)).run_id)
        now = int(time.time() * 1000)
        found = [Metric(key, v, now, 0) for key, v in metrics.items() if v is not None]
        client.log_batch(run, metrics=found)  # one commit, however many they are

    def log_file(self, name: str, version: int, text: str, file: str) -> None:
        """Keep a text among the artifacts of a version's run."""
        client = self.models.client()
        run = str(client.get_model_version(name, str(version)).run_id)
        client.log_text(run, text, file)

    def rows_of(self, name: str, version: int) -> TrainingRows:
        """Say what a version was trained on, by its MLflow run.

        Raises
        ------
        HomeError
            For a version that is not there, or whose run does not say.
        """
        from mlflow.exceptions import MlflowException

        client = self.models.client()
        try:
            run = str(client.get_model_version(name, str(version)).run_id)
            text = client.get_run(run).data.tags.get(SOURCE)
        except MlflowException as error:
            raise HomeError(
                expected=f"a registered version of {name} with its run",
                found=f"version {version}: {error.message}",
                remedy=f"registered are {', '.join(map(str, self.versions(name))) or 'none'}",
            ) from error
        if text is None:
            raise HomeError(
                expected=f"{name} version {version} with its training rows on its run",
                found=f"no {SOURCE}",
                remedy="name a version that this release trained",
            )
        return TrainingRows.parse(text)

    def needed(self) -> dict[str, set[int]]:
        """Find which versions of which tables registered models were trained on.

        All models of the registry count, whoever declared them.
        """
        found: dict[str, set[int]] = {}
        for _, _, rows in self.trained():
            found.setdefault(rows.table, set()).add(rows.delta_version)
        return found

    def trained(self) -> Iterator[tuple[str, int, TrainingRows]]:
        """List every registered version that says what it was trained on: name, version, rows."""
        token = None
        client = self.models.client()
        while True:
            page = client.search_model_versions("", page_token=token)
            for v in page:
                if SOURCE in v.tags:
                    yield v.name, int(v.version), TrainingRows.parse(v.tags[SOURCE])
            token = page.token
            if not token:
                return

    def flag(self, name: str, version: int, receipt: str) -> None:
        """Note that a version was trained on somebody who is being forgotten."""
        noted = self.forgot(name, version)
        if receipt not in noted:
            text = ",".join([*noted, receipt])
            self.models.client().set_model_version_tag(name, str(version), FORGOTTEN, text)

    def forgot(self, name: str, version: int) -> list[str]:
        """Give the receipts of those whom a version was trained on and who were forgotten since."""
        tags = self.models.client().get_model_version(name, str(version)).tags
        return [one for one in tags.get(FORGOTTEN, "").split(",") if one]

    def alias(self, name: str, alias: str) -> int | None:
        """Give the version that an alias names, if any."""
        from mlflow.exceptions import MlflowException

        try:
            return int(self.models.client().get_model_version_by_alias(name, alias).version)
        except MlflowException:
            return None

    def has(self, name: str, version: int) -> bool:
        """Say whether a version is registered."""
        from mlflow.exceptions import MlflowException

        try:
            self.models.client().get_model_version(name, str(version))
        except MlflowException:
            return False
        return True

    def point(self, name: str, alias: str, version: int | None) -> None:
        """Let an alias name a version, or none."""
        client = self.models.client()
        if version is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, str(version))

    def _log_input(self, run: str, rows: TrainingRows) -> None:
        from mlflow.data.delta_dataset_source import DeltaDatasetSource
        from mlflow.entities import Dataset, DatasetInput, InputTag

        path = str(self.models.root.parent / "lakehouse" / rows.table)
        source = DeltaDatasetSource(path=path, delta_table_version=rows.delta_version)
        profile = json.dumps(
            {"num_rows": rows.n_rows, "first": str(rows.first), "last": str(rows.last)}
        )
        made = Dataset(
            rows.table, rows.sha256[:8], "delta_table", source.to_json(), profile=profile
        )
        context = InputTag("mlflow.data.context", "training")
        self.models.client().log_inputs(run, [DatasetInput(made, [context])])
