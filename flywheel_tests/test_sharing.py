"""Two flywheels in one home, turned one after the other over the same days."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_assets import FlywheelError, FrequencyCap
from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.coming_back import not_back, require_back
from flywheel_assets.dagster_assets.turn import Run, Turner, replay
from flywheel_assets.errors import MissingPartitionError
from flywheel_assets.flywheels.repurchase import (
    contact_policy,
    order_probability,
    ordered_again,
    repurchase,
)
from flywheel_assets.stages.decisions import decision_schema
from flywheel_assets.stores.home import Home
from flywheel_tests.conftest import FIRST, LAST, contents

DAY = timedelta(days=1)
soon = replace(
    repurchase,
    name="soon",
    api=None,
    training_set=replace(ordered_again, horizon=DAY),
    model=replace(order_probability, name="order_soon", retrain="sunday"),
)

capped = replace(
    repurchase,
    name="capped",
    api=None,
    model=replace(order_probability, name="order_capped"),
    decisions=replace(contact_policy, filters=(FrequencyCap(times=1, within=DAY),)),
)


def test_one_turns_over_days_that_another_has_closed(orders: Path, tmp_path: Path) -> None:
    """The decisions of each come back, and until they do nothing is learnt from a part of them."""
    last = FIRST + 3 * DAY
    home = Home(tmp_path)
    home.extend(FIRST, LAST, {"order_line": str(orders)}, ongoing=False, demo=False)
    turner = Turner(home, [repurchase, soon])
    turner.turn(list(replay(repurchase, FIRST, last)), lambda _: None)
    loop = Run(("collect/decision", "organize/fct_decision"), FIRST, last)
    assert turner.done(loop)
    turner._execute(Run(("soon/model", "soon/decisions"), FIRST, FIRST))
    build = build_for(home)
    assert not_back(build, soon, FIRST, FIRST) == [FIRST]
    assert not turner.done(loop)
    with pytest.raises(MissingPartitionError, match=f"from {FIRST + DAY}"):
        require_back(build, soon, FIRST, FIRST)
    turner.turn(list(replay(soon, FIRST, last)), lambda _: None)
    assert turner.done(loop)
    tables = contents(tmp_path)
    back = tables["organize/fct_decision"].group_by("flywheel", "partition_date").len()
    for flywheel in (repurchase, soon):
        made = tables[f"{flywheel.name}/decisions"].group_by("partition_date").len()
        for day, rows in made.filter(made["partition_date"] < last).iter_rows():
            found = back.filter(flywheel=flywheel.name, partition_date=day + DAY)
            assert found["len"].to_list() == [rows]
    assert tables["soon/training_set"].height > 0
    # Replaced decisions, as many of them as before, have to come back again.
    first = build.tables.read("soon/decisions", decision_schema(soon), FIRST, FIRST).collect()
    for change in (
        pl.col("action").replace({"contact": "hold", "hold": "contact"}),
        pl.col("propensity") / 2,
        pl.format("again:{}", "decision_id").alias("decision_id"),
    ):
        made_again = first.with_columns(change)
        build.tables.replace("soon/decisions", made_again, decision_schema(soon), FIRST, FIRST)
        assert not_back(build, soon, FIRST, last - DAY) == [FIRST]
        assert not turner.done(loop)
        turner.turn([loop], lambda _: None)
        assert turner.done(loop)


def test_a_cap_counts_decisions_that_have_come_back(orders: Path, tmp_path: Path) -> None:
    """Where another flywheel closed the loop first, a cap refuses to count nothing."""
    last = FIRST + 2 * DAY
    home = Home(tmp_path)
    home.extend(FIRST, LAST, {"order_line": str(orders)}, ongoing=False, demo=False)
    turner = Turner(home, [repurchase, capped])
    turner.turn(list(replay(repurchase, FIRST, last)), lambda _: None)
    decides = ("capped/training_set", "capped/model", "capped/decisions")
    with pytest.raises(FlywheelError, match="a day at a time"):
        turner.force(Run(decides[-1:], FIRST, last))
    turner.force(Run(decides, FIRST, FIRST))
    with pytest.raises(
        FlywheelError, match=f"1 day whose decisions are not there as published, {FIRST}"
    ):
        turner.force(Run(decides, FIRST + DAY, FIRST + DAY))
    turner.turn(list(replay(capped, FIRST, last)), lambda _: None)
    made = contents(tmp_path)["capped/decisions"]
    before = made.filter(action="contact").select("customer_id", pl.col("partition_date"))
    for gap in (1, 2):
        next_days = made.select("customer_id", pl.col("partition_date") - gap * DAY)
        again = next_days.join(before, on=next_days.columns)
        assert again.is_empty() == (gap == 1), gap
    assert made["partition_date"].n_unique() == 3
