"""Pairs, filters and slates through the whole loop, on real Delta tables."""

from pathlib import Path

from flywheel_assets import Flywheel
from flywheel_assets.dagster_assets.turn import Turner, replay
from flywheel_assets.stores.home import Home
from flywheel_tests.conftest import contents
from flywheel_tests.shelf import DAY, START, bought, shelf, stored

N_DAYS = 9


def turned(root: Path, flywheel: Flywheel, n_days: int = N_DAYS) -> Turner:
    """Turn a flywheel over days that do not react."""
    home = Home(root)
    last = START + (n_days - 1) * DAY
    home.extend(START, last, {}, ongoing=False, demo=False)
    turner = Turner(home, [flywheel])
    turner.turn(list(replay(flywheel, START, last)), lambda _: None)
    return turner


def test_pairs_flow_from_candidates_to_training_rows(tmp_path: Path) -> None:
    turner = turned(tmp_path / "home", shelf(stored(tmp_path, bought(N_DAYS))))
    found = contents(turner.home.root)
    print({k: v.height for k, v in found.items()})
    print(found["shelf/decisions"].filter(action="show").head(10))
    print(found["shelf/training_set"].head(10), found["shelf/model"])
