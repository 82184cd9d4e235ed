"""organize/fct_<name> and organize/dim_<name>."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import (
    Build,
    before,
    check_specs,
    chunks,
    counts,
    report,
    span,
    worst,
)
from flywheel_assets.dagster_assets.collect import DECISION_SCHEMA
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import observation_schema
from flywheel_assets.stages.organize import changes, dimension_schema, fact_schema, facts


def organize_fact(build: Build, fact: Fact) -> dg.AssetsDefinition:
    """Compile a fact."""
    key, source = f"organize/fct_{fact.name}", f"collect/{fact.observation.name}"
    schema, given = fact_schema(fact), observation_schema(fact.observation)
    retracts = fact.cancellation is not None and fact.cancellation.becomes == "retraction"

    @dg.multi_asset(
        name=f"organize_fct_{fact.name}",
        specs=[
            build.spec(
                key,
                stage="organize",
                owners=fact.owners,
                description=fact.description,
                schema=schema,
                columns=fact.descriptions,
                version=fingerprint(fact),
                deps=[before(source)],
            )
        ],
        check_specs=check_specs(key, "organize"),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=key.replace("/", "_"),
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require(context, source, first, last)
        rows: Counter[date] = Counter()
        found: list[list[checks.Check]] = []
        for start, end in chunks(first, last):
            observations = build.tables.read(source, given, start, end).collect()
            earlier = pl.DataFrame(schema=schema)
            if retracts:
                earlier = build.tables.read(key, schema, None, start - DAY).collect()
            frame = facts(observations, earlier, fact)
            build.tables.replace(key, frame, schema, start, end, empty=False)
            rows.update(counts(frame))
            found.append(checks.organize(frame))
        yield report(context, build, key, rows, worst(found))

    return body


def organize_dimension(build: Build, dimension: Dimension) -> dg.AssetsDefinition:
    """Compile a dimension."""
    key, source = f"organize/dim_{dimension.name}", f"collect/{dimension.observation.name}"
    schema, given = dimension_schema(dimension), observation_schema(dimension.observation)

    @dg.multi_asset(
        name=f"organize_dim_{dimension.name}",
        specs=[
            build.spec(
                key,
                stage="organize",
                owners=dimension.owners,
                description=dimension.description,
                schema=schema,
                columns=dimension.observation.descriptions,
                version=fingerprint(dimension),
                deps=[before(source)],
            )
        ],
        check_specs=check_specs(key, "dimension"),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=key.replace("/", "_"),
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require(context, source, build.settings.start, last)
        observations = build.tables.read(source, given, first, last).collect()
        earlier = build.tables.read(key, schema, None, first - DAY).collect()
        frame = changes(observations, earlier, dimension)
        build.tables.replace(key, frame, schema, first, last)
        yield report(context, build, key, counts(frame), checks.dimension(frame))

    return body


def organize_decisions(build: Build, flywheels: tuple[Flywheel, ...]) -> dg.AssetsDefinition:
    """Compile the fact of published decisions."""
    key, source = "organize/fct_decision", "collect/decision"

    @dg.multi_asset(
        name="organize_fct_decision",
        specs=[
            build.spec(
                key,
                stage="organize",
                owners=sorted({o for f in flywheels for o in f.policy.owners}),
                description="Every decision of every flywheel, as the product got it.",
                schema=DECISION_SCHEMA,
                columns={},
                version="1",
                deps=[before(source)],
            )
        ],
        check_specs=check_specs(key, "organize"),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="organize_fct_decision",
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require(context, source, first, last)
        frame = build.tables.read(source, DECISION_SCHEMA, first, last).collect()
        frame = frame.sort("partition_date", "observation_id")
        build.tables.replace(key, frame, DECISION_SCHEMA, first, last, empty=False)
        yield report(context, build, key, counts(frame), checks.organize(frame))

    return body
