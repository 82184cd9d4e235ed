"""What the simulated shop promises: determinism, shared noise, quirks, and room to learn."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flywheel_assets.worlds.shop import Shock, Shop, ShopConfig, simulate, write_day

START = date(2011, 3, 1)
SMALL = ShopConfig(start=START, n_customers=600, seed=7)


def after(days: int) -> date:
    """Return the day so many days after the start."""
    return START + timedelta(days=days)


def run(shop: Shop, days: int, capacity: int) -> list[pl.DataFrame]:
    """Let days happen under the recency policy and return their lines."""
    return [shop.day(after(number), shop.recent(capacity)) for number in range(days)]


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    """Return 90 days of the default world."""
    return pl.concat(lines for _, lines in Shop(ShopConfig(start=START)).history_files())


def test_a_fresh_shop_replays_the_same_days() -> None:
    """Same seed and same contacts give the same lines and the same totals, history included."""
    one, other = Shop(SMALL), Shop(SMALL)
    for (day, lines), (same_day, same) in zip(
        one.history_files(), other.history_files(), strict=True
    ):
        assert day == same_day
        assert_frame_equal(lines, same)
    for lines, same in zip(run(one, 20, 40), run(other, 20, 40), strict=True):
        assert_frame_equal(lines, same)
    assert (one.revenue, one.orders) == (other.revenue, other.orders)


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Nothing depends on the process: a file written elsewhere is byte-identical."""
    here = write_day(tmp_path / "here", START, Shop(SMALL).day(START, [12_350, 12_360]))
    script = (
        "import sys; from datetime import date; from pathlib import Path\n"
        "from flywheel_assets.worlds.shop import Shop, ShopConfig, write_day\n"
        "start = date(2011, 3, 1); shop = Shop(ShopConfig(start=start, n_customers=600, seed=7))\n"
        "write_day(Path(sys.argv[1]), start, shop.day(start, [12_360, 12_350]))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", script, str(tmp_path / "there")]
    subprocess.run(command, env=environment, check=True)
    assert (tmp_path / "there" / here.name).read_bytes() == here.read_bytes()


def test_another_seed_is_another_world() -> None:
    """The seed matters."""
    other = ShopConfig(start=START, n_customers=600, seed=8)
    assert not Shop(SMALL).day(START, []).equals(Shop(other).day(START, []))


def test_asking_changes_nothing() -> None:
    """The reference policies only look: asking them does not disturb the world."""
    asked, left_alone = Shop(SMALL), Shop(SMALL)
    for choose in (asked.recent, asked.likeliest, asked.best):
        choose(50)
    assert_frame_equal(asked.day(START, []), left_alone.day(START, []))


def test_contacts_touch_only_the_contacted() -> None:
    """Two runs differ from the contact on, and only in lines of contacted customers."""
    contacted, alone = Shop(SMALL), Shop(SMALL)
    chosen = contacted.best(100)
    first = [shop.day(START, []) for shop in (contacted, alone)]
    assert_frame_equal(*first)
    with_contacts = pl.concat(contacted.day(after(n), chosen) for n in range(1, 15))
    without = pl.concat(alone.day(after(n), []) for n in range(1, 15))
    known = pl.col("CustomerID").is_not_null()
    touched = pl.col("CustomerID").is_in(chosen.astype(np.float64).tolist())
    assert_frame_equal(with_contacts.filter(known & ~touched), without.filter(known & ~touched))
    assert not with_contacts.filter(touched).equals(without.filter(touched))


@pytest.mark.parametrize("seed", [0, 1])
def test_better_choices_earn_more(seed: int) -> None:
    """Nobody < most recent < likeliest < oracle over 60 days, with differences worth learning."""
    config = ShopConfig(start=START, seed=seed)
    shops = [
        simulate(config, 60, lambda shop, day: []),
        simulate(config, 60, lambda shop, day: shop.recent(200)),
        simulate(config, 60, lambda shop, day: shop.likeliest(200)),
        simulate(config, 60, lambda shop, day: shop.best(200)),
    ]
    revenue = [shop.revenue for shop in shops]
    for worse, better in pairwise(revenue):
        assert better > worse + 0.01 * revenue[0]
    assert revenue[-1] > 1.08 * revenue[0]


def test_contacts_can_do_harm() -> None:
    """Some customers are annoyed: contacting the worst choices earns less than contacting none."""

    def worst(shop: Shop, day: date) -> np.ndarray:
        wanted = shop.best(len(shop.ids))
        return np.setdiff1d(shop.recent(len(shop.ids)), wanted)

    config = ShopConfig(start=START)
    nobody = simulate(config, 30, lambda shop, day: [])
    assert simulate(config, 30, worst).revenue < 0.99 * nobody.revenue


@pytest.mark.parametrize("wrong", [after(-1), after(0), after(2)])
def test_days_come_in_order(wrong: date) -> None:
    """Going back, repeating or skipping a day raises and leaves the shop as it was."""
    shop = Shop(SMALL)
    shop.day(START, [])
    with pytest.raises(ValueError, match="the next day is 2011-03-02"):
        shop.day(wrong, [])
    assert shop.day(after(1), []).height > 0


def test_strangers_cannot_be_contacted() -> None:
    """An id that is no customer is a mistake of the caller, not a contact without effect."""
    with pytest.raises(ValueError, match="no such customers"):
        Shop(SMALL).day(START, [1])


def test_history_is_every_day_before_start() -> None:
    """History covers its days without gaps, and its orders do not count as earned."""
    shop = Shop(SMALL)
    days = [day for day, _ in shop.history_files()]
    assert days == [after(number) for number in range(-90, 0)]
    assert (shop.revenue, shop.orders) == (0.0, 0)


def test_files_look_like_online_retail(tmp_path: Path) -> None:
    """The header, the way values are written, and one file per day without leftovers."""
    lines = Shop(ShopConfig(start=START)).day(START, [])
    path = write_day(tmp_path, START, lines)
    written = path.read_bytes()
    assert write_day(tmp_path, START, lines).read_bytes() == written
    assert [file.name for file in tmp_path.iterdir()] == ["2011-03-01.csv"]
    header, first, *_ = written.decode().split("\n")
    assert header == (
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    )
    fields = first.split(",")
    assert fields[4].startswith("2011-03-01 ")
    assert len(fields[4]) == len("2011-01-31 08:26:00")
    assert fields[6].endswith(".0")
    assert written.endswith(b"\n")


def test_an_empty_day_keeps_its_columns() -> None:
    """A day without any order is a frame of the same schema."""
    shop = Shop(ShopConfig(start=START, n_customers=1, history=timedelta(0)))
    day = shop.day(START, [])
    assert day.height == 0
    assert day.schema == Shop(SMALL).day(START, []).schema


def test_the_quirks_are_there(history: pl.DataFrame) -> None:
    """Cancellations, lines without a customer and exact duplicates occur about as often as said."""
    returned = pl.col("Quantity") < 0
    shares = history.select(
        misnumbered=(pl.col("InvoiceNo").str.starts_with("C") != returned).mean(),
        zero=(pl.col("Quantity") == 0).mean(),
        returned=returned.mean(),
        guests=pl.col("CustomerID").is_null().mean(),
        duplicates=1 - pl.struct(pl.all()).n_unique() / pl.len(),
    ).row(0, named=True)
    assert shares["misnumbered"] == shares["zero"] == 0
    assert 0.01 < shares["returned"] < 0.03
    assert 0.03 < shares["guests"] < 0.07
    assert 0.005 < shares["duplicates"] < 0.015


def test_the_shop_has_a_plausible_size(history: pl.DataFrame) -> None:
    """60 to 150 orders a day of 2 to 8 distinct lines; an invoice has one customer and time."""
    sold = history.filter(pl.col("Quantity") > 0).unique()
    invoices = sold.group_by("InvoiceNo").agg(
        pl.len().alias("lines"), pl.n_unique("StockCode", "CustomerID", "InvoiceDate")
    )
    assert 60 <= invoices.height / 90 <= 150
    assert invoices["lines"].is_between(2, 8).all()
    assert invoices["lines"].equals(invoices["StockCode"])
    assert invoices.select("CustomerID", "InvoiceDate").max().row(0) == (1, 1)


def test_totals_can_be_found_in_the_files() -> None:
    """Revenue and orders equal what a careful reader of the files computes."""
    shop = Shop(SMALL)
    lines = pl.concat(lines.unique() for lines in run(shop, 30, 40))
    known = lines.filter(pl.col("CustomerID").is_not_null())
    assert (known["Quantity"] * known["UnitPrice"]).sum() == pytest.approx(shop.revenue)
    assert known.filter(pl.col("Quantity") > 0)["InvoiceNo"].n_unique() == shop.orders


def test_a_shock_changes_nothing_before_its_day() -> None:
    """Lines are the same until the day of the shock, and fewer from then on."""
    shaken = replace(SMALL, shock=Shock(day=after(20), demand=0.5))
    calm, other = run(Shop(SMALL), 40, 0), run(Shop(shaken), 40, 0)
    for one, two in zip(calm[:20], other[:20], strict=True):
        assert_frame_equal(one, two)
    orders = [
        pl.concat(lines[20:]).filter(pl.col("Quantity") > 0)["InvoiceNo"].n_unique()
        for lines in (calm, other)
    ]
    assert 0.35 < orders[1] / orders[0] < 0.65


def test_a_shock_turns_round_whom_contacts_move() -> None:
    """What habit and spending add to the response is multiplied; what is peculiar stays."""
    shop = Shop(replace(SMALL, shock=Shock(day=after(1), demand=1.0, response=-1.0)))
    habit, spend, peculiar = (
        values.copy() for values in (shop._habit_response, shop._spend_response, shop._peculiar)
    )
    shop.day(START, [])
    assert np.array_equal(shop._habit_response, -habit)
    assert np.array_equal(shop._spend_response, -spend)
    assert np.array_equal(shop._peculiar, peculiar)


def test_the_best_have_the_largest_gain() -> None:
    """The oracle takes the largest true gains; without the peculiar part less, not little."""
    shop = Shop(SMALL)
    gain, there = shop.gain(), np.isfinite(shop._ordered)
    best, guessed = (np.isin(shop.ids, ids) for ids in (shop.best(50), shop.guess(50)))
    assert gain[best].min() >= gain[there & ~best].max()
    assert 0.5 * gain[best].sum() < gain[guessed].sum() < gain[best].sum()
