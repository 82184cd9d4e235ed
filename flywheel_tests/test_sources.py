"""Sources other than daily files: every record once, on the day on which it was known."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from flywheel_assets import (
    Aggregation,
    DeltaSource,
    Entity,
    Fact,
    FeatureView,
    Field,
    Flywheel,
    Model,
    Observation,
    Outcome,
    Policy,
    TableFile,
    TopK,
)
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.compile import compile_flywheels
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox, Received
from flywheel_assets.stores.tables import Tables

START = date(2026, 1, 5)
OWNERS = ["team:web"]


def clicks(source: TableFile | DeltaSource | None) -> Flywheel:
    """Declare a small flywheel on clicks."""
    visitor = Entity(name="visitor", keys=("visitor_id",), owners=OWNERS, description="A browser.")
    click = Observation(
        name="click",
        entity=visitor,
        owners=OWNERS,
        description="A click.",
        source=source,
        fields=(Field(name="visitor_id", dtype=pl.Int64, description="Who."),),
    )
    fact = Fact(name="click", observation=click, owners=OWNERS, description="Clicks.")
    count = Aggregation(
        name="clicks_3d",
        function="count",
        window=timedelta(days=3),
        description="Clicks in 3 days.",
    )
    return Flywheel(
        name="greeting",
        owners=OWNERS,
        description="Who is greeted?",
        features=FeatureView(
            name="clicks",
            entity=visitor,
            fact=fact,
            aggregations=(count,),
            owners=OWNERS,
            description="How much somebody clicks.",
        ),
        training_set=Outcome(
            fact=fact, horizon=timedelta(days=1), owners=OWNERS, description="A click next day."
        ),
        model=Model(
            name="click_probability",
            estimator=lambda: None,
            features=("clicks_3d",),
            training_window=timedelta(days=30),
            owners=OWNERS,
            description="The probability of a click.",
        ),
        decisions=Policy(
            candidates=pl.col("clicks_3d") > 0,
            bootstrap=pl.col("clicks_3d"),
            allocation=TopK(capacity=1, action="greet"),
            owners=OWNERS,
            description="Greet one.",
        ),
    )


def records() -> pl.DataFrame:
    """Give clicks that became known later than they happened, one undated, one before the start."""
    at = [datetime(2026, 1, d, 12, tzinfo=UTC) for d in (1, 5, 5, 6)]
    known = [at[0], at[1], at[3], at[3]]
    return pl.DataFrame({"visitor_id": [1, 2, 3, 4], "at": at, "known": known})


def as_csv(folder: Path) -> TableFile:
    """Write them as text, with a record between the last two that nothing dates."""
    frame = records().with_columns(pl.col("at", "known").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    undated = pl.DataFrame({"visitor_id": [9], "at": ["soon"], "known": ["later"]})
    frame = pl.concat([frame.head(3), undated, frame.tail(1)])
    frame.write_csv(folder / "clicks.csv")
    return TableFile(path=str(folder / "*.csv"), event_time="at", known_at="known")


def as_parquet(folder: Path) -> TableFile:
    """Write them typed."""
    records().write_parquet(folder / "clicks.parquet")
    return TableFile(path=str(folder / "clicks.parquet"), event_time="at", known_at="known")


def as_delta(folder: Path) -> DeltaSource:
    """Write them as a table of the lakehouse that a team already has."""
    records().write_delta(str(folder / "clicks"))
    return DeltaSource(path=str(folder / "clicks"), event_time="at", known_at="known")


def materialize(home: Home, flywheel: Flywheel) -> None:
    """Collect, organize and compute the features of three days."""
    settings = Settings(start=START, end=START + timedelta(days=2))
    home.save(settings)
    defs = compile_flywheels(Build(home=home, settings=settings), [flywheel])
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={
            dg.AssetKey(key.split("/"))
            for key in (
                "collect/click",
                "collect/click_rejected",
                "organize/fct_click",
                "features/clicks",
            )
        }
    )
    with dg.DagsterInstance.ephemeral() as instance:
        for day in ("2026-01-05", "2026-01-06", "2026-01-07"):
            job.execute_in_process(instance=instance, partition_key=day)


@pytest.mark.parametrize("write", [as_csv, as_parquet, as_delta])
def test_each_record_is_in_the_partition_of_the_day_it_was_known(
    tmp_path: Path, write: Callable[[Path], TableFile | DeltaSource]
) -> None:
    """Late news is of the day it came, older news of the first day, undated news is rejected."""
    home = Home(tmp_path / "home")
    materialize(home, clicks(write(tmp_path)))
    tables = Tables(home.lakehouse)
    schema = {"partition_date": pl.Date(), "visitor_id": pl.Int64()}
    found = tables.read("organize/fct_click", schema).sort("visitor_id").collect()
    assert found["visitor_id"].to_list() == [1, 2, 3, 4]
    assert [d.day for d in found["partition_date"]] == [5, 5, 6, 6]
    wanted = {**schema, "clicks_3d": pl.Int64()}
    seen = tables.read("features/clicks", wanted).sort("partition_date", "visitor_id").collect()
    first = seen.filter(partition_date=START)["visitor_id"].to_list()
    assert first == [2]
    assert seen.filter(partition_date=date(2026, 1, 6))["visitor_id"].to_list() == [2, 3, 4]
    rejected = pl.read_delta(str(tables.path("collect/click_rejected")))
    assert rejected.height == (1 if write is as_csv else 0)
    if rejected.height:
        assert "at: expected a time, found soon" in rejected["reason"][0]


def test_what_is_logged_reaches_the_features_as_it_was_known(tmp_path: Path) -> None:
    """A click counts from the day it was logged, a correction and a retraction from theirs."""
    home = Home(tmp_path / "home")

    def log(day: int, own: str, visitor: int, links: str = "") -> None:
        at = int(datetime(2026, 1, day, 12, tzinfo=UTC).timestamp()) * 1_000_000
        inbox = Inbox(home.inbox, clock=lambda: at)
        payload = "" if "retracts" in links else ', "payload": {}'
        record = f'{{"entity": {{"visitor_id": {visitor}}}{payload}{links}}}'
        inbox.put([Received("click", own, at, record.encode())])
        inbox.close()

    for own, visitor in (("a", 1), ("b", 1), ("c", 2)):
        log(5, own, visitor)
    log(6, "d", 2, ', "corrects": "a"')
    log(7, "e", 1, ', "retracts": "b"')
    materialize(home, clicks(None))
    features = Tables(home.lakehouse).read(
        "features/clicks",
        {"partition_date": pl.Date(), "visitor_id": pl.Int64(), "clicks_3d": pl.Int64()},
    )
    found = features.sort("partition_date", "visitor_id").collect()
    counted = [(d.day, who, n) for d, who, n in found.iter_rows() if n]
    assert counted == [(5, 1, 2), (5, 2, 1), (6, 1, 1), (6, 2, 2), (7, 2, 2)]
