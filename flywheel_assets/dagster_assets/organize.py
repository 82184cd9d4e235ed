"""organize/fct_<name> and organize/dim_<name>."""

from datetime import date

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.collect import DECISION_SCHEMA
from flywheel_assets.dagster_assets.constraints import column_rules
from flywheel_assets.dagster_assets.table_asset import Contract, table_asset
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.stages import checks, contract
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import dump_schema, observation_schema
from flywheel_assets.stages.organize import changes, dimension_schema, fact_schema, facts


def organize_fact(build: Build, fact: Fact) -> dg.AssetsDefinition:
    """Compile a fact."""
    key, source = f"organize/fct_{fact.name}", f"collect/{fact.observation.name}"
    schema, given = fact_schema(fact), observation_schema(fact.observation)
    retracts = fact.cancellation is not None and fact.cancellation.becomes == "retraction"

    def make(first: date, last: date) -> pl.DataFrame:
        observations = build.tables.read(source, given, first, last).collect()
        earlier = pl.DataFrame(schema=schema)
        if retracts:
            earlier = build.tables.read(key, schema, None, first - DAY).collect()
        return facts(observations, earlier, fact)

    return table_asset(
        build,
        build.spec(
            key,
            stage="organize",
            owners=fact.owners,
            description=fact.description,
            schema=schema,
            columns=fact.descriptions,
            # Dimensions that it refers to come first, so that the check sees those of its day.
            deps=[before(source), *(before(r.table) for r in fact.references)],
            rules=column_rules(fact),
        ),
        schema,
        stage="organize",
        needs=lambda first, last: [(source, first, last)],
        make=make,
        check=checks.organize,
        contract=_contract(build, fact),
    )


def _contract(build: Build, fact: Fact) -> Contract:
    schema = fact_schema(fact)
    looked_at = {name: schema[name] for name in contract.needed(fact)}

    def check(last: date) -> list[checks.Check]:
        if not contract.declared(fact):
            return []
        rows = build.tables.read(f"organize/fct_{fact.name}", looked_at)
        dimensions = {
            r.table: build.tables.read(r.table, dimension_schema(r.dimension))
            for r in fact.references
        }
        return contract.check(rows, dimensions, fact, last)

    return Contract(contract.declared(fact), check)


def organize_dimension(build: Build, dimension: Dimension) -> dg.AssetsDefinition:
    """Compile a dimension."""
    key, source = f"organize/dim_{dimension.name}", f"collect/{dimension.observation.name}"
    schema, given = dimension_schema(dimension), observation_schema(dimension.observation)
    who = dump_schema(dimension.observation)

    def make(first: date, last: date) -> pl.DataFrame:
        observations = build.tables.read(source, given, first, last).collect()
        earlier = build.tables.read(key, schema, None, first - DAY).collect()
        told = build.tables.read(source, given, None, first - DAY)
        dump = None
        if dimension.observation.is_full_dump:
            dump = build.tables.read(f"{source}_in_dump", who, first, last).collect()
        return changes(observations, earlier, dimension, told, dump)

    return table_asset(
        build,
        build.spec(
            key,
            stage="organize",
            owners=dimension.owners,
            description=dimension.description,
            schema=schema,
            columns=dimension.observation.descriptions,
            deps=[before(source)],
            rules=column_rules(dimension),
        ),
        schema,
        stage="dimension",
        needs=lambda _, last: [(source, build.settings.start, last)],
        make=make,
        check=checks.dimension,
        empty=True,
    )


def organize_decisions(build: Build, flywheels: tuple[Flywheel, ...]) -> dg.AssetsDefinition:
    """Compile the fact of published decisions."""
    key, source = "organize/fct_decision", "collect/decision"

    def make(first: date, last: date) -> pl.DataFrame:
        collected = build.tables.read(source, DECISION_SCHEMA, first, last)
        return collected.sort("partition_date", "observation_id").collect()

    return table_asset(
        build,
        build.spec(
            key,
            stage="organize",
            owners=sorted({o for f in flywheels for o in f.policy.owners}),
            description="Every decision of every flywheel, as the product got it.",
            schema=DECISION_SCHEMA,
            columns={},
            deps=[before(source)],
        ),
        DECISION_SCHEMA,
        stage="organize",
        needs=lambda first, last: [(source, first, last)],
        make=make,
        check=checks.organize,
        empty=True,
    )
