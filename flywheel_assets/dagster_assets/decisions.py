"""<flywheel>/decisions, and the product that reads them."""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, before
from flywheel_assets.dagster_assets.collect import DECISION_SCHEMA
from flywheel_assets.dagster_assets.coming_back import require_back
from flywheel_assets.dagster_assets.features import read_snapshots
from flywheel_assets.dagster_assets.model import DecideConfig, ledger_scorer
from flywheel_assets.dagster_assets.pages import run_url
from flywheel_assets.dagster_assets.plots import WIDTH, draws, plot
from flywheel_assets.dagster_assets.promotions import champion_as_of, ledger_of
from flywheel_assets.dagster_assets.table_asset import counts, report, span, stage_asset, worst
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.organize import Fact
from flywheel_assets.declare.rules import DECISION_ID, PARTITION
from flywheel_assets.errors import MissingPartitionError, PublishedError, UnfitModelError
from flywheel_assets.report import figures
from flywheel_assets.report.ranking import propensities
from flywheel_assets.stages import checks
from flywheel_assets.stages.answers import answering, answers
from flywheel_assets.stages.candidates import candidates, counts_back, reaches
from flywheel_assets.stages.clock import DAY, days
from flywheel_assets.stages.contract import linking
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.policy import decide
from flywheel_assets.stages.seen import Snapshots
from flywheel_assets.stages.silence import LOOKED_BACK
from flywheel_assets.stores.forgetting.receipts import Receipts
from flywheel_assets.stores.registry import registered_name


def shown(flywheel: Flywheel) -> dg.AssetSpec:
    """Stand for what the product does with decisions, below them."""
    return dg.AssetSpec(
        ["product", flywheel.name],
        deps=[[flywheel.name, "decisions"]],
        group_name="product",
        owners=list(flywheel.owners),
        description=f"What the product does with it. {flywheel.description}",
    )


def decisions_asset(
    build: Build, flywheel: Flywheel, others: Collection[str] = ()
) -> dg.AssetsDefinition:
    """Compile a policy; ``others`` are the flywheels beside it."""
    key, schema = f"{flywheel.name}/decisions", decision_schema(flywheel)
    sources = [f"features/{view.name}" for view in flywheel.views]
    sources.append(f"{flywheel.name}/model")

    @stage_asset(
        [
            build.spec(
                key,
                stage="decisions",
                owners=flywheel.policy.owners,
                description=flywheel.policy.description,
                schema=schema,
                columns={**flywheel.outcome.fact.descriptions, **flywheel.descriptions},
                deps=[*map(before, sources), *_history(flywheel)],
            )
        ],
        "decisions",
    )
    def body(
        context: dg.AssetExecutionContext, config: DecideConfig
    ) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        for table in (key, ledger_of(build, flywheel).key):
            build.require_table(table)
        _require_counted(build, flywheel, first, last)
        for source in sources:
            build.require(context, source, first, last)
        for source, back in _looked_back(flywheel):
            oldest = build.settings.start if back is None else first - back
            build.require(context, source, oldest, last)
        snapshots = read_snapshots(build, flywheel, first, last)
        rows: Counter[date] = Counter()
        actions: Counter[str] = Counter()
        by_day: dict[date, dict[str, float]] = {}
        unscored = 0
        replaced: dict[str, str] = {}
        found: list[list[checks.Check]] = []
        for day in days(first, last):
            today = {view: rows.filter(partition_date=day) for view, rows in snapshots.items()}
            # Nobody is promoted for a day while it is being decided.
            with ledger_of(build, flywheel).held():
                frame = _decide(build, flywheel, today, day)
                found.append(checks.decisions(frame, flywheel))
                if all(check.passed for check in found[-1]):
                    differs = _publish(build, flywheel, frame, day, again=config.decide_again)
                    replaced |= {str(day): differs} if differs else {}
            rows.update(counts(frame))
            by_day[day] = _numbers(frame, flywheel)
            unscored += frame["score"].null_count()
            actions.update(dict(frame.group_by("action").len().iter_rows()))
        counted = build.tables.count_days(key, last - LOOKED_BACK, last)
        known = max(rows.filter(partition_date=last).height for rows in snapshots.values())
        decides = checks.decides(counted, build.settings.start, last, known)
        found.append([decides, _answers(build, flywheel, others, last)])
        version = champion_as_of(build, flywheel, last)
        shown: dict[str, Any] = {}
        if version is not None:
            shown["champion_page"] = dg.MetadataValue.url(
                run_url(build.registry.run_page(registered_name(flywheel), version))
            )
        if replaced:
            shown["decided_again"] = replaced
        if draws(first, last):
            shown |= _chances(build, flywheel, last)
        yield report(
            context,
            build,
            key,
            rows,
            worst(found),
            champion=version if version is not None else "none: the bootstrap rule decided",
            unscored=unscored,
            by_day=by_day,
            **shown,
            **actions,
        )

    return body


def _answers(build: Build, flywheel: Flywheel, others: Collection[str], last: date) -> checks.Check:
    """Check what came in up to a day against the decisions that there are by then."""
    told = {}
    for fact in answering(flywheel):
        schema = fact_schema(fact)
        columns = {name: schema[name] for name in (*linking(fact), DECISION_ID)}
        told[fact] = build.tables.read(f"organize/fct_{fact.name}", columns)
    named = {name: decision_schema(flywheel)[name] for name in (PARTITION, DECISION_ID)}
    made = build.tables.read(f"{flywheel.name}/decisions", named)
    return answers(told, made, flywheel, others, last)


def _numbers(frame: pl.DataFrame, flywheel: Flywheel) -> dict[str, float]:
    if frame.is_empty():
        return {}
    acts = frame["action"] != flywheel.policy.actions[-1]
    told = {
        "share_acted_on": acts.mean(),
        "share_explored": frame["explored"].mean(),
        "mean_propensity": frame["propensity"].mean(),
        "mean_score": frame["score"].mean(),
    }
    return {name: value for name, value in told.items() if isinstance(value, float)}


def _chances(build: Build, flywheel: Flywheel, last: date) -> dict[str, dg.MarkdownMetadataValue]:
    """Draw by what chance the decisions of a week were made."""
    found = propensities(build.tables, flywheel, last)
    if found.is_empty():
        return {}
    actions = [a for a in flywheel.policy.actions if a in set(found["action"])]
    picture = figures.propensity(found, actions, WIDTH)
    return {"propensity_of_the_week": plot(picture, "Propensity of the actions taken")}


def _decide(build: Build, flywheel: Flywheel, snapshots: Snapshots, day: date) -> pl.DataFrame:
    considered = candidates(snapshots, flywheel, *_read_history(build, flywheel, day))
    champion = ledger_of(build, flywheel).champion(day)
    version = None if champion is None else champion.version
    predicted = None
    try:
        if champion is not None and considered.height:
            score = ledger_scorer(build, flywheel, champion.version, champion.since)
            predicted = score(considered)
        return decide(considered, predicted, flywheel, day, version)
    except UnfitModelError as error:
        name = flywheel.name
        raise UnfitModelError(
            expected=f"a champion of {name!r} that can decide {day} as is declared by now: "
            f"{error.expected}",
            found=f"version {version}: {error.found}",
            remedy=f"{error.remedy}; {name}/model trains again: {flywheel.model.retrain}, and a "
            "champion that does not fit is not in its way; or let another version decide: flywheel "
            f"promote {name} VERSION --why ..., or flywheel rollback {name} --why ...",
        ) from error


def _looked_back(flywheel: Flywheel) -> Iterator[tuple[str, timedelta | None]]:
    """Say what generators and filters look at, and how many partitions back; None for all."""
    for fact, back in reaches(flywheel.policy).items():
        yield f"organize/fct_{fact.name}", back
    counted = counts_back(flywheel.policy)
    if counted is not None:
        # The decisions of a day are in the partition after it.
        yield "organize/fct_decision", counted - DAY


def _require_counted(build: Build, flywheel: Flywheel, first: date, last: date) -> None:
    """Refuse to count, for a frequency cap, less than was decided."""
    counted = counts_back(flywheel.policy)
    if counted is None:
        return
    if first != last:
        raise MissingPartitionError(
            expected=f"one day of {flywheel.name}/decisions in a run: its frequency cap counts the "
            "decisions of the day before, which come back between two days",
            found=f"{first} to {last}",
            remedy="run a day at a time, each with collect/decision and organize/fct_decision: "
            f"flywheel run {flywheel.name} does",
        )
    require_back(build, flywheel, first - counted, first - DAY)


def _history(flywheel: Flywheel) -> Iterator[dg.AssetDep]:
    return (before(source, back) for source, back in _looked_back(flywheel))


def _read_history(
    build: Build, flywheel: Flywheel, day: date
) -> tuple[dict[Fact, pl.DataFrame], pl.DataFrame | None]:
    """Read what a day's candidates are generated and filtered by, and no other partitions."""
    facts = {
        fact: build.tables.read(
            f"organize/fct_{fact.name}",
            fact_schema(fact),
            None if back is None else day - back,
            day,
        ).collect()
        for fact, back in reaches(flywheel.policy).items()
    }
    counted = counts_back(flywheel.policy)
    if counted is None:
        return facts, None
    published = build.tables.read(
        "organize/fct_decision", DECISION_SCHEMA, day - counted + DAY, day
    )
    return facts, published.filter(flywheel=flywheel.name).collect()


def _publish(
    build: Build, flywheel: Flywheel, frame: pl.DataFrame, day: date, *, again: bool
) -> str | None:
    """Publish a day; says how it differs from what was published before, if it does."""
    key, schema = f"{flywheel.name}/decisions", decision_schema(flywheel)
    published = build.tables.read(key, schema, day, day).collect().sort("decision_id")
    changed = _difference(published, frame.sort("decision_id"))
    decided = build.tables.days(key)
    if day in decided and changed and not again:
        # What was decided since is made of it: of its observations, outcomes and champion.
        newest = max(decided)
        who = "; somebody was forgotten, and whoever was below them moves up"
        forgot = who if Receipts.of(build.home).all() else ""
        raise PublishedError(
            expected=f"the decisions of {day} as {flywheel.name} published them",
            found=changed,
            remedy=f"find out what changed upstream{forgot}; to publish anew: flywheel run "
            f"{flywheel.name} --from {day} --to {newest} --decide-again (in a run of Dagster's, "
            "decide_again: true)",
        )
    # A day on which nobody is acted on is decided, too.
    build.tables.replace(key, frame, schema, day, day, keep_empty=True)
    return changed if day in decided else None


def _difference(published: pl.DataFrame, frame: pl.DataFrame) -> str | None:
    """Say how many decisions differ, and in what one of them does; None where none does."""
    if published.equals(frame):
        return None
    gone = published.join(frame, on="decision_id", how="anti").height
    more = frame.join(published, on="decision_id", how="anti").height
    both = published.join(frame, on="decision_id", suffix="_new")
    columns = [c for c in frame.columns if c != "decision_id"]
    differs = (pl.col(c).ne_missing(pl.col(f"{c}_new")) for c in columns)
    other = both.filter(pl.any_horizontal(differs))
    said = [f"{n:,} {how}" for n, how in ((gone, "gone"), (more, "more")) if n]
    if other.height:
        [row] = other.head(1).to_dicts()
        moved = [f"{c} {row[c]}, now {row[n]}" for c in columns if row[c] != row[n := f"{c}_new"]]
        said += [f"{other.height:,} that differ, such as {row['decision_id']}: {'; '.join(moved)}"]
    return f"of {published.height:,}, {', and '.join(said)}"
