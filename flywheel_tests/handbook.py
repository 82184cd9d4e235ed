"""The fraud handbook's transactions, and its way of measuring: who is tested, and on what."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from flywheel_tests.conftest import shared_data

DAY = timedelta(days=1)
TRAINED_FROM = date(2018, 7, 25)
TESTED_FROM = TRAINED_FROM + 14 * DAY
TRAINED = [TRAINED_FROM + i * DAY for i in range(7)]
TESTED = [TESTED_FROM + i * DAY for i in range(7)]
LOOKS_BACK = 67 * DAY
"""The longest window over verdicts, which are a week late."""
CARDS = 100


def transactions(folder: Path, first: date, last: date, *, one_card_in: int = 1) -> Path:
    """Write the transactions of a range of days, of some cards or of all."""
    whole = shared_data() / "fraud_handbook_sim" / "transactions.parquet"
    if not whole.exists():
        pytest.skip(f"the handbook's transactions are not at {whole}")
    path = folder / "transactions.parquet"
    day = pl.col("TX_DATETIME").dt.date()
    pl.scan_parquet(whole).filter(
        day.is_between(first, last), pl.col("CUSTOMER_ID") % one_card_in == 0
    ).sink_parquet(path)
    return path


def population(path: Path) -> pl.DataFrame:
    """Give the transactions that the handbook tests on.

    Left out are, on each day, those of cards of which a fraud since the first day of training was
    known the day before, a week after it happened.
    """
    rows = pl.read_parquet(path).select(
        pl.col("TX_DATETIME").dt.date().alias("day"),
        pl.col("TRANSACTION_ID").alias("transaction_id"),
        pl.col("CUSTOMER_ID").cast(pl.Int64).alias("card_id"),
        pl.col("TX_FRAUD").cast(pl.Int64).alias("is_fraud"),
    )
    frauds = rows.filter(pl.col("is_fraud") == 1)
    found = []
    for day in TESTED:
        known = frauds.filter(pl.col("day").is_between(TRAINED_FROM, day - 8 * DAY))
        found.append(rows.filter(pl.col("day") == day).join(known, on="card_id", how="anti"))
    return pl.concat(found)


def card_precision(scored: pl.DataFrame, days: Sequence[date] = TESTED) -> float:
    """Give the handbook's card precision@100.

    Cards rank by their highest score of the day; those found are not looked at on later days.

    Parameters
    ----------
    scored : DataFrame
        ``day``, ``card_id``, ``is_fraud``, ``score``.
    """
    found: set[int] = set()
    hits = 0
    for day in days:
        cards = (
            scored.filter(pl.col("day") == day, ~pl.col("card_id").is_in(list(found)))
            .group_by("card_id")
            .agg(pl.col("score").max(), pl.col("is_fraud").max())
            .sort("score", "card_id", descending=[True, False])
            .head(CARDS)
        )
        compromised = cards.filter(pl.col("is_fraud") == 1)["card_id"].to_list()
        found.update(compromised)
        hits += len(compromised)
    return hits / (CARDS * len(days))
