"""What every table asset does: require its inputs, make a range of days, write, check, report."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import wraps
from types import MappingProxyType
from typing import Any

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import Build, column_lineage
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.checks import BLOCKING, WARNING, Check
from flywheel_assets.stages.clock import DAY, days, in_words
from flywheel_assets.stages.promises import promise
from flywheel_assets.stores.data_files import missing
from flywheel_assets.stores.home import current_home

CHUNK = timedelta(days=31)
"""How many days a stage holds in memory at once when it runs over a range."""

NO_CHECKS: Mapping[str, bool] = MappingProxyType({})

Needs = Iterable[tuple[str, date, date]]
"""Asset keys with the first and last day of each that must have been materialized."""


@dataclass(frozen=True)
class Contract:
    """Checks that a declaration adds to those of its stage.

    ``checks`` are their names -> whether each stops what is downstream; ``check`` runs them, up to
    a day.
    """

    checks: Mapping[str, bool]
    check: Callable[[date], list[Check]]


def table_asset(  # noqa: PLR0913  what differs from one table asset to the next
    build: Build,
    spec: dg.AssetSpec,
    schema: Mapping[str, Any],
    *,
    stage: str,
    needs: Callable[[date, date], Needs],
    make: Callable[[date, date], pl.DataFrame],
    check: Callable[[pl.DataFrame], list[Check]],
    empty: bool = False,
    chunk: timedelta = CHUNK,
    show: Callable[[pl.DataFrame], Mapping[str, Any]] = lambda _: {},
    contract: Contract | None = None,
) -> dg.AssetsDefinition:
    """Compile an asset that is one table, made a chunk of days at a time.

    Parameters
    ----------
    stage : str
        Whose checks it has, in `stages.checks`.
    needs, make : callable
        Of the first and the last day of a run, or of a chunk of it.
    empty : bool
        Whether an empty result may stand where there were rows.
    show : callable
        Metadata of the last chunk of a run.
    contract : Contract, optional
        What is checked across rows, once a run.
    """
    key = "/".join(spec.key.path)

    @stage_asset([spec], stage, contract.checks if contract else {})
    def body(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        first, last = span(context)
        build.require_table(key)
        for upstream, oldest, newest in needs(first, last):
            build.require(context, upstream, oldest, newest)
        rows: Counter[date] = Counter()
        found: list[list[Check]] = []
        for start, end in chunks(first, last, chunk):
            frame = make(start, end)
            build.tables.replace(key, frame, schema, start, end, empty=empty)
            if key in build.meanings:  # killed, a plan goes on from here
                build.declared.record(key, start, end, build.meanings[key])
            rows.update(counts(frame))
            found.append(check(frame))
        if contract is not None:
            found.append(contract.check(last))
        yield report(context, build, key, rows, worst(found), **show(frame))

    return body


def stage_asset(
    specs: Sequence[dg.AssetSpec], stage: str, further: Mapping[str, bool] = NO_CHECKS
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate the body of a stage: its checks, one run for a range, one writer at a time."""
    key = "/".join(specs[0].key.path)
    name = key.replace("/", "_")
    asset = dg.multi_asset(
        name=name,
        specs=specs,
        check_specs=check_specs(key, stage, further),
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=name,
    )
    return lambda body: asset(_naming_lost_files(body))


def _naming_lost_files(body: Callable[..., Any]) -> Callable[..., Any]:
    """Let a stage that reads a data file which is not there say whose it is."""

    @wraps(body)
    def named(*args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from body(*args, **kwargs)
        except FileNotFoundError as error:
            # Without a cause: of an error that has one a run tells the cause alone.
            raise missing(error, current_home().lakehouse) or error from None

    return named


def span(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """Give the first and last day of a run."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)


def chunks(first: date, last: date, length: timedelta = CHUNK) -> Iterator[tuple[date, date]]:
    """Part a range into shorter ones.

    Examples
    --------
    >>> [(a.day, b.day) for a, b in chunks(date(2026, 1, 1), date(2026, 1, 5), 2 * DAY)]
    [(1, 2), (3, 4), (5, 5)]
    """
    while first <= last:
        end = min(first + length - DAY, last)
        yield first, end
        first = end + DAY


def check_specs(
    key: str, stage: str, further: Mapping[str, bool] = NO_CHECKS
) -> list[dg.AssetCheckSpec]:
    """Declare the checks of a stage for one asset, and those that its declaration adds."""
    names = dict.fromkeys(BLOCKING.get(stage, ()), True)
    names |= dict.fromkeys(WARNING.get(stage, ()), False)
    return [
        dg.AssetCheckSpec(
            name, asset=key.split("/"), blocking=blocking, description=promise(name).holds
        )
        for name, blocking in {**names, **further}.items()
    ]


def report(  # noqa: PLR0913  what is known of what was written
    context: dg.AssetExecutionContext,
    build: Build,
    key: str,
    counts: Mapping[date, int],
    checks: Sequence[Check] = (),
    *,
    by_day: Mapping[date, Mapping[str, float]] | None = None,
    **metadata: Any,
) -> dg.MaterializeResult[Any]:
    """Report what was written: rows of each day, the table's version, what was checked.

    Parameters
    ----------
    by_day : mapping of date to mapping of str to float, optional
        Numbers of each day: the UI draws them over partitions.
    """
    first, last = span(context)
    asset = dg.AssetKey(key.split("/"))
    for day in days(first, last):
        told = {"dagster/partition_row_count": counts.get(day, 0), **(by_day or {}).get(day, {})}
        if first == last:
            metadata |= told
        else:
            context.add_asset_metadata(told, asset_key=asset, partition_key=day.isoformat())
    if key in build.meanings:
        build.declared.record(key, first, last, build.meanings[key])
        metadata["dagster/column_lineage"] = column_lineage(key, build.graph)
    severity = {True: dg.AssetCheckSeverity.WARN, False: dg.AssetCheckSeverity.ERROR}
    return dg.MaterializeResult(
        asset_key=asset,
        metadata={"delta_version": build.tables.version(key), **metadata},
        check_results=[
            dg.AssetCheckResult(
                asset_key=asset,
                check_name=c.name,
                passed=c.passed,
                severity=severity[c.warns],
                description=f"{in_words(first, last)}: {_told(c)}",
            )
            for c in checks
        ],
    )


def _told(check: Check) -> str:
    """Say what came of a check; of a failure, what to do."""
    remedy = "" if check.passed else promise(check.name).remedy
    return f"{check.message}: {remedy}" if remedy else check.message


def counts(frame: pl.DataFrame) -> dict[date, int]:
    """Count the rows of each day."""
    return dict(frame.group_by(PARTITION).len().iter_rows())


def worst(found: list[list[Check]]) -> list[Check]:
    """Of the same check over several chunks, keep the first that failed, else the last.

    What only warns says what holds by now, however many days a run makes: of it the last is kept.

    Examples
    --------
    >>> bad, well = Check("labels", False, "1 outcome"), Check("labels", True, "0 outcomes")
    >>> none, some = Check("label_rate", False, "0.0%", True), Check("label_rate", True, "9%", True)
    >>> [check.message for check in worst([[bad, none], [well, some]])]
    ['1 outcome', '9%']
    """
    kept: dict[str, Check] = {}
    for batch in found:
        for check in batch:
            if check.name not in kept or check.warns or kept[check.name].passed:
                kept[check.name] = check
    return list(kept.values())
