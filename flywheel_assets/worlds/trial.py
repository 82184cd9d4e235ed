"""A randomised trial, replayed: what a policy would have brought, had it decided.

A trial gave each of its customers one of several offers by lot. Where a policy decides what the
trial gave, the trial says what came of it, and since the lot did not look at the customer, these
rows are an unbiased run of the policy (Li et al. 2011). The trial does not react: it tells all that
it did, and what the flywheel decided otherwise it finds was not carried out.

Of Kevin Hillstrom's e-mail trial (2008): 64,000 customers, three offers, visits within two weeks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

UTC_TIME = pl.Datetime("us", "UTC")
ASKED_AT, SENT_AT, VISITED_AT = time(20), time(8), time(12)
"""When a day's audience is named, and when the next day's e-mails and visits are (UTC)."""
OFFERS = {
    "Mens E-Mail": "mens_email",
    "Womens E-Mail": "womens_email",
    "No E-Mail": "no_email",
}
TRIAL_TYPES = {
    "recency": pl.Int64,
    "history": pl.Float64,
    "mens": pl.Int64,
    "womens": pl.Int64,
    "zip_code": pl.String,
    "newbie": pl.Int64,
    "channel": pl.String,
    "segment": pl.String,
    "visit": pl.Int64,
    "conversion": pl.Int64,
    "spend": pl.Float64,
}
PROFILE = ("recency", "history", "mens", "womens", "newbie", "zip_code", "channel")


def read_trial(file: Path) -> pl.DataFrame:
    """Read the trial's file.

    Returns
    -------
    DataFrame
        One row for each customer: ``customer_id`` (the row's number, from 1: the file has no ids,
        and thousands of its rows have a twin that is another customer), what was known of them,
        ``offer``, ``visit`` (0 or 1) and ``spend`` (dollars).
    """
    rows = pl.read_csv(file, schema_overrides=TRIAL_TYPES, columns=list(TRIAL_TYPES))
    return rows.with_row_index("customer_id", offset=1).select(
        pl.col("customer_id").cast(pl.Int64),
        *(pl.col(n).cast(pl.Boolean) if n in {"mens", "womens", "newbie"} else n for n in PROFILE),
        pl.col("segment").replace_strict(OFFERS).alias("offer"),
        "visit",
        "spend",
    )


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """In which order, and from when on, the trial's customers come.

    Parameters
    ----------
    start : date
        The day of the first batch.
    batch : int
        Customers a day.
    seed : int
        Of the order in which they come.
    flywheel : str
        Whose decisions the e-mails answer.
    """

    start: date
    batch: int = 3_200
    seed: int = 0
    flywheel: str = "offer"


class Trial:
    """A trial whose customers come in batches, a day each.

    On each day it tells the ``audience`` that is to be decided about when the day closes, and of
    the audience of the day before every ``email`` and every ``visit``.

    Parameters
    ----------
    rows : DataFrame
        As `read_trial` gives them. What is left over after the last whole batch does not come.
    config : TrialConfig

    Examples
    --------
    >>> rows = pl.DataFrame({"customer_id": [1, 2, 3], "offer": ["no_email"] * 3, "visit": [1] * 3,
    ...                      "spend": [0.0] * 3})
    >>> trial = Trial(rows, TrialConfig(start=date(2026, 1, 5), batch=1))
    >>> trial.n_batches, [len(told) for told in trial.day(date(2026, 1, 6)).values()]
    (3, [1, 1, 1])
    """

    def __init__(self, rows: pl.DataFrame, config: TrialConfig) -> None:
        self.config = config
        self.n_batches = rows.height // config.batch
        order = np.random.default_rng(config.seed).permutation(rows.height)
        coming = order[: self.n_batches * config.batch]
        number = pl.Series("batch", np.arange(coming.size) // config.batch)
        self._rows = rows[coming].with_columns(number)

    @property
    def last(self) -> date:
        """The day on which the last batch's visits are told."""
        return self.config.start + timedelta(days=self.n_batches)

    def history(self) -> Iterator[tuple[date, Mapping[str, pl.DataFrame]]]:
        """Give the days before the first decision: none."""
        return iter(())

    def day(
        self,
        day: date,
        decisions: pl.DataFrame | None = None,  # noqa: ARG002  a trial does not react
    ) -> Mapping[str, pl.DataFrame]:
        """Tell a day: of each observation its fields, ``event_time``, and what it answers."""
        number = (day - self.config.start).days
        decided = f"{self.config.flywheel}:{day - timedelta(days=1)}:"
        coming, answered = self._batch(number), self._batch(number - 1)
        return {
            "audience": coming.select(
                _at(day, ASKED_AT), pl.exclude("batch", "offer", "visit", "spend")
            ),
            "email": answered.select(
                _at(day, SENT_AT),
                "customer_id",
                pl.col("offer").alias("action"),
                pl.format("{}{}", pl.lit(decided), "customer_id").alias("decision_id"),
            ),
            "visit": answered.filter(pl.col("visit") == 1).select(
                _at(day, VISITED_AT), "customer_id", "spend"
            ),
        }

    def write(self, folder: Path) -> None:
        """Write every day as CSV files, in a folder for each observation."""
        for number in range(self.n_batches + 1):
            day = self.config.start + timedelta(days=number)
            for name, rows in self.day(day).items():
                (folder / name).mkdir(parents=True, exist_ok=True)
                rows.rename({"event_time": TIMES[name]}).write_csv(folder / name / f"{day}.csv")

    def answered(self, decisions: pl.DataFrame) -> pl.DataFrame:
        """Add what the trial did about each decision's customer, and what came of that.

        Parameters
        ----------
        decisions : DataFrame, (n_rows, ...)
            With ``customer_id``.

        Returns
        -------
        DataFrame, (n_rows, ...)
            With ``offer``, ``visit`` and ``spend``, in the order of the rows.
        """
        log = self._rows.select("customer_id", "offer", "visit", "spend")
        return decisions.join(log, on="customer_id", how="left", maintain_order="left")

    def replayed(self, decisions: pl.DataFrame) -> pl.DataFrame:
        """Keep the decisions that came true, `answered`: those of which the trial did the same."""
        return self.answered(decisions).filter(pl.col("action") == pl.col("offer"))

    def _batch(self, number: int) -> pl.DataFrame:
        return self._rows.filter(batch=number)


TIMES = {"audience": "asked_at", "email": "sent_at", "visit": "visited_at"}
"""What the files call the time of each observation."""


def _at(day: date, when: time) -> pl.Expr:
    moment = pl.lit(datetime.combine(day, when)).dt.replace_time_zone("UTC")
    return moment.cast(UTC_TIME).alias("event_time")
