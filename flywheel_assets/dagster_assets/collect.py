"""collect/<observation>, collect/<observation>_rejected, and the published decisions."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.collecting import Collecting
from flywheel_assets.dagster_assets.constraints import column_rules
from flywheel_assets.dagster_assets.plots import WIDTH, draws, plot
from flywheel_assets.dagster_assets.table_asset import (
    CHUNK,
    chunks,
    counts,
    report,
    span,
    stage_asset,
    table_asset,
    worst,
)
from flywheel_assets.declare.collect import DailyFiles, Observation, SqlSource
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import (
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
)
from flywheel_assets.report import figures
from flywheel_assets.report.rejected import told
from flywheel_assets.stages import checks
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import (
    ACCOUNT_SCHEMA,
    REJECTED_COLUMNS,
    REJECTED_SCHEMA,
    observation_schema,
)
from flywheel_assets.stages.decisions import (
    DECIDED_AT,
    DECISION_COLUMNS,
    candidate_type,
    decision_schema,
)

UTC_TIME = pl.Datetime("us", "UTC")
DECISION_SCHEMA: dict[str, Any] = {
    PARTITION: pl.Date(),
    OBSERVATION_ID: pl.String(),
    EVENT_TIME: UTC_TIME,
    KNOWN_AT: UTC_TIME,
    **DECISION_COLUMNS,
    "candidate": pl.String(),
}


_KINDS: dict[type[Any], set[str]] = {
    DailyFiles: {"csv"},
    SqlSource: {"sql"},
    type(None): {"json"},
}


def reported(observation: Observation) -> dg.AssetSpec:
    """Stand for what the product reports, above collect."""
    return dg.AssetSpec(
        ["product", observation.name],
        group_name="product_reports",
        owners=list(observation.owners),
        description=f"What the product reports of {observation.name}: {observation.description}",
        kinds=_KINDS.get(type(observation.source), {"file"}),
    )


def collect(build: Build, observation: Observation) -> dg.AssetsDefinition:
    """Compile an observation: what it reports, validated, exactly once."""
    key = f"collect/{observation.name}"
    rejected = f"{key}_rejected"
    common: dict[str, Any] = {
        "stage": "collect",
        "owners": observation.owners,
        "deps": [before(f"product/{observation.name}")],
    }

    @stage_asset(
        [
            build.spec(
                key,
                description=observation.description,
                schema=observation_schema(observation),
                columns=observation.descriptions,
                rules=column_rules(observation),
                **common,
            ),
            build.spec(
                rejected,
                description=f"What {observation.name} reported that breaks its contract, and why.",
                schema=REJECTED_SCHEMA,
                columns=REJECTED_COLUMNS,
                **common,
            ),
        ],
        "collect",
    )
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require_table(key)
        work = Collecting(observation, build.home, build.settings)
        length = min(CHUNK, max(observation.duplicates_within, DAY))
        totals: Counter[date] = Counter()
        refused: Counter[date] = Counter()
        sums: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        found: list[list[checks.Check]] = []
        for start, end in chunks(first, last, length):
            result, received = work.collect(start, end)
            totals.update(counts(result.observations))
            refused.update(counts(result.rejected))
            sums.update({c: int(result.accounts[c].sum()) for c in list(ACCOUNT_SCHEMA)[1:]})
            grouped = result.rejected.group_by("reason").len().sort("len", descending=True)
            reasons.update(dict(grouped.head(20).iter_rows()))
            required = [f.name for f in observation.fields if not f.nullable]
            found.append(checks.collect(result.observations, result.accounts, required, received))
        found.append([work.comes_in(first, last, result.ends)])
        told: dict[str, Any] = dict(sums)
        yield report(context, build, key, totals, worst(found), **told)
        table = "| records | reason |\n|---|---|\n" + "\n".join(
            f"| {n} | {_in_a_cell(reason)} |" for reason, n in reasons.most_common(20)
        )
        shown = _over_time(build, rejected, last) if draws(first, last) else {}
        yield report(context, build, rejected, refused, reasons=dg.MetadataValue.md(table), **shown)

    return body


def _in_a_cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _over_time(build: Build, key: str, last: date) -> dict[str, Any]:
    """Draw what was rejected in four weeks, by reason."""
    rows = build.tables.read(key, REJECTED_SCHEMA, last - 28 * DAY, last)
    reason = told(pl.col("reason"))
    counted = rows.group_by(pl.col(PARTITION).alias("day"), reason).agg(pl.len().alias("n"))
    found = counted.sort("day", "reason").collect()
    if found.is_empty():
        return {}
    return {"rejected_by_reason": plot(figures.stacked(found, "reason", WIDTH), "Rejected")}


def collect_decisions(build: Build, flywheels: tuple[Flywheel, ...]) -> dg.AssetsDefinition:
    """Compile the way back: what was published becomes an observation, one partition later."""

    def make(first: date, last: date) -> pl.DataFrame:
        for flywheel in flywheels:
            build.require_table(f"{flywheel.name}/decisions")
        published = pl.concat(_published(build, flywheel, first, last) for flywheel in flywheels)
        return (
            published.with_columns(
                pl.col(PARTITION) + pl.duration(days=1),
                pl.col(DECISION_ID).alias(OBSERVATION_ID),
                pl.col(DECIDED_AT).alias(EVENT_TIME),
                pl.col(DECIDED_AT).alias(KNOWN_AT),
            )
            .select(*DECISION_SCHEMA)
            .sort(PARTITION, OBSERVATION_ID)
            .collect()
        )

    return table_asset(
        build,
        build.spec(
            "collect/decision",
            stage="collect",
            owners=sorted({o for f in flywheels for o in f.policy.owners}),
            description="Decisions as they were published, known when the next day began.",
            schema=DECISION_SCHEMA,
            columns={},
            deps=[before("product/decision")],
        ),
        DECISION_SCHEMA,
        stage="organize",
        # Not every flywheel turns on every day; training sets require that their own came back.
        needs=lambda _first, _last: [],
        make=make,
        check=checks.organize,
        empty=True,  # published ones are replaced by none only where that was asked for
    )


def _published(build: Build, flywheel: Flywheel, first: date, last: date) -> pl.LazyFrame:
    rows = build.tables.read(
        f"{flywheel.name}/decisions", decision_schema(flywheel), first - DAY, last - DAY
    )
    candidate = pl.struct(f.name for f in candidate_type(flywheel).fields)
    return rows.select(
        PARTITION, *DECISION_COLUMNS, candidate.struct.json_encode().alias("candidate")
    )
