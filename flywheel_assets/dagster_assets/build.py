"""What every asset is built with: where things are, its partitions, its spec."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

import dagster as dg

from flywheel_assets.changes.graph import Lineage
from flywheel_assets.changes.meaning import Meaning
from flywheel_assets.declare.columns import SYSTEM
from flywheel_assets.errors import MissingPartitionError, many
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stores.declared import Declared, way_back
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.models import Models
from flywheel_assets.stores.promotions import Ledger
from flywheel_assets.stores.registry import Registry
from flywheel_assets.stores.tables import Tables

NO_RULES: Mapping[str, dg.TableColumnConstraints] = MappingProxyType({})


@dataclass(frozen=True)
class Build:
    """The home that assets are compiled for, and what its tables mean and are made of."""

    home: Home
    settings: Settings
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    graph: Lineage = field(default_factory=lambda: Lineage([]))

    @property
    def tables(self) -> Tables:
        """The lakehouse."""
        return Tables(self.home.lakehouse)

    @property
    def declared(self) -> Declared:
        """By which declaration each partition was made."""
        return Declared(self.home.declared)

    @property
    def models(self) -> Models:
        """Trained models."""
        return Models(self.home.mlflow)

    @property
    def registry(self) -> Registry:
        """What is registered about them."""
        return Registry(self.models)

    @property
    def partitions(self) -> dg.DailyPartitionsDefinition:
        """The one partitions definition that all assets share: days, closed at midnight UTC."""
        end = self.settings.end
        return dg.DailyPartitionsDefinition(
            start_date=self.settings.start.isoformat(),
            end_date=(end + DAY).isoformat() if end else None,
        )

    def spec(  # noqa: PLR0913  what the UI shows of an asset
        self,
        key: str,
        *,
        stage: str,
        owners: Sequence[str],
        description: str,
        schema: Mapping[str, Any],
        columns: Mapping[str, str],
        deps: Iterable[dg.AssetDep] = (),
        kinds: Iterable[str] = (),
        rules: Mapping[str, dg.TableColumnConstraints] = NO_RULES,
    ) -> dg.AssetSpec:
        """Describe an asset as the UI will show it; ``rules`` are its columns' constraints."""
        return dg.AssetSpec(
            key.split("/"),
            deps=list(deps),
            group_name=stage,
            owners=list(owners),
            description=description,
            kinds={"deltalake", "polars", *kinds},
            code_version=self._version(key),
            partitions_def=self.partitions,
            freshness_policy=dg.FreshnessPolicy.time_window(
                fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)
            ),
            metadata={
                "dagster/column_schema": column_schema(schema, columns, rules),
                "dagster/uri": self.tables.path(key).as_uri(),
                "dagster/table_name": key.replace("/", "."),
                **_made_of(key, self.graph),
            },
        )

    def _version(self, key: str) -> str:
        """Give a table the version by which a plan compares it, too."""
        meaning = self.meanings.get(key.removesuffix("_rejected"))
        return meaning.digest if meaning else "1"

    def require(self, context: dg.AssetExecutionContext, key: str, first: date, last: date) -> None:
        """Refuse to go on where days that a stage reads have not been materialized.

        Raises
        ------
        MissingPartitionError
        """
        self.require_table(key)
        first = max(first, self.settings.start)
        there = context.instance.get_materialized_partitions(dg.AssetKey(key.split("/")))
        missing = [d.isoformat() for d in days(first, last) if d.isoformat() not in there]
        if missing:
            raise MissingPartitionError(
                expected=f"{key} from {first} to {last}",
                found=f"{many(len(missing), 'day')} without it, {', '.join(missing[:3])} first",
                remedy=f"materialize them: flywheel run --from {missing[0]} --to {missing[-1]}",
            )

    def require_table(self, key: str) -> None:
        """Refuse to go on where a table that runs have made is not there any more.

        Raises
        ------
        MissingPartitionError
        """
        made = self.lost(key)
        if made:
            raise MissingPartitionError(
                expected=f"{key}, which runs made from {made[0]} to {made[1]}",
                found=f"no table at {self.tables.path(key)}",
                remedy=way_back(key),
            )

    def lost(self, key: str) -> tuple[date, date] | None:
        """Give the first and last day that runs made of a table that is not there any more."""
        flywheel, _, stage = key.rpartition("/")
        if stage == "promotions":  # no asset, of which runs would say what they made
            return Ledger(self.tables, flywheel).lost()
        made = self.declared.lost(key, self.tables)
        return (made[0].first, made[-1].last) if made else None


def column_lineage(key: str, graph: Lineage) -> dg.TableColumnLineage:
    """Give the columns of other tables that each column is made of."""
    return dg.TableColumnLineage(
        {
            name: [
                dg.TableColumnDep(dg.AssetKey(source.table.split("/")), source.name)
                for source in sources
            ]
            for name, sources in graph.sources(key).items()
        }
    )


def _made_of(key: str, graph: Lineage) -> dict[str, dg.MarkdownMetadataValue]:
    """Show a table's column lineage as a table: the open-source pages do not draw it."""
    lines = [
        f"| {name} | {', '.join(f'`{source}`' for source in sources)} |"
        for name, sources in graph.sources(key).items()
    ]
    head = "| column | made of |\n|---|---|\n"
    return {"column_lineage": dg.MetadataValue.md(head + "\n".join(lines))} if lines else {}


def column_schema(
    schema: Mapping[str, Any],
    columns: Mapping[str, str],
    rules: Mapping[str, dg.TableColumnConstraints] = NO_RULES,
) -> dg.TableSchema:
    """Show a table's columns with what they mean and what they must be."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=str(dtype),
                description=columns.get(name, SYSTEM.get(name)),
                constraints=rules.get(name),
            )
            for name, dtype in schema.items()
        ]
    )


def before(key: str, back: timedelta | None = None, until: timedelta = timedelta(0)) -> dg.AssetDep:
    """Depend on a table's partitions from so long before to so long before."""
    if not back and not until:
        return dg.AssetDep(key.split("/"))
    start = back if back is not None else timedelta(days=3650)
    with warnings.catch_warnings():
        # In beta, and needed: without it the first days of a home, whose windows reach back before
        # it, are silently left out of backfills.
        warnings.simplefilter("ignore", dg.BetaWarning)
        mapping = dg.TimeWindowPartitionMapping(
            start_offset=-start.days,
            end_offset=-until.days,
            allow_nonexistent_upstream_partitions=True,
        )
    return dg.AssetDep(key.split("/"), partition_mapping=mapping)


def today() -> date:
    """Give the day that has not closed yet (UTC)."""
    return datetime.now(UTC).date()


def build_for(home: Home) -> Build:
    """Compile for a home; one that nothing has run in yet starts with the day that closed last."""
    return Build(home=home, settings=home.settings() or Settings(start=today() - DAY))
