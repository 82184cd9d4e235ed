"""A home in which the bundled flywheel has turned over ten weeks of a simulated shop."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_assets.dagster_assets.turn import Turner, replay
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.stores.home import Home
from flywheel_assets.worlds.shop import Shop, ShopConfig, write_day
from flywheel_tests.serving import DAY, publish, serving
from flywheel_tests.web import Web, spun_web

# Where other work keeps the cores busy OpenMP's threads would mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Consoles keep the width and the wish for colours that they find when they are imported: what
# pytest's workers set is no test's.
for variable in ("COLUMNS", "PY_COLORS"):
    os.environ.pop(variable, None)

FIRST = date(2026, 1, 5)
LAST = FIRST + timedelta(days=71)
"""Outcomes take thirty days: after sixty there is training apart from what is judged."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep in one process what shares fixtures: a file, or all that needs a home that turned."""
    homes = {"spun", "web"}.intersection(getattr(item, "fixturenames", ()))
    item.add_marker(pytest.mark.xdist_group(min(homes, default=item.path.name)))


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the daily order files of a shop that contacts nobody."""
    folder = tmp_path_factory.mktemp("orders")
    shop = Shop(ShopConfig(start=FIRST, n_customers=400, history=timedelta(days=40)))
    for day, lines in shop.history_files():
        write_day(folder, day, lines)
    for i in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=i)
        write_day(folder, day, shop.day(day, []))
    return folder


def spin(root: Path, orders: Path, last: date = LAST, first: date = FIRST) -> Turner:
    """Turn the bundled flywheel in a home over files that do not react."""
    home = Home(root)
    home.extend(first, LAST, {"order_line": str(orders)}, ongoing=False, demo=False)
    turner = Turner(home, FLYWHEELS)
    turner.turn(list(replay(repurchase, first, last)), lambda _: None)
    return turner


@pytest.fixture(scope="session")
def spun(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Turner:
    """Turn the bundled flywheel over the whole range."""
    return spin(tmp_path_factory.mktemp("home"), orders)


def contents(root: Path) -> dict[str, pl.DataFrame]:
    """Read every table of a home, sorted."""
    found = {}
    for log in sorted(root.glob("lakehouse/*/*/_delta_log")):
        frame = pl.read_delta(str(log.parent))
        found[log.parent.relative_to(root / "lakehouse").as_posix()] = frame.sort(frame.columns)
    return found


def shared_data() -> Path:
    """Find the real data; tests that need it skip with a reason where it is not."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("FLYWHEEL_SHARED_DATA", default))


@pytest.fixture(scope="session")
def api_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Make a home with two days of decisions."""
    made = Home(tmp_path_factory.mktemp("api"))
    publish(made, DAY, {7: "contact", 8: "hold"})
    publish(made, DAY + timedelta(days=1), {7: "hold", 9: "contact"})
    return made


@pytest.fixture(scope="session")
def api_log(api_home: Home) -> Path:
    """Say where the service writes its log."""
    return api_home.root / "log"


@pytest.fixture(scope="session")
def url(api_home: Home, api_log: Path) -> Iterator[str]:
    """Serve the home without keys."""
    with serving(api_home, api_log) as made:
        yield made


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Web:
    """Turn two flywheels that share one observation; who changes the home comes after who reads."""
    return spun_web(tmp_path_factory.mktemp("web"))
