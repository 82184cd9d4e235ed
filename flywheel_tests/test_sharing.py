"""Two flywheels in one home, turned one after the other over the same days."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.coming_back import not_back, require_back
from flywheel_assets.dagster_assets.turn import Run, Turner, replay
from flywheel_assets.errors import MissingPartitionError
from flywheel_assets.flywheels.repurchase import order_probability, ordered_again, repurchase
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
