"""What decisions earned, day by day, and what other policies would have."""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import PARTITION
from flywheel_assets.stages.alternatives import (
    ALTERNATIVES_SCHEMA,
    BOOTSTRAP,
    GREEDY,
    LOGGED,
    PREVIOUS,
)
from flywheel_assets.stages.performance import PERFORMANCE_SCHEMA, SCORE
from flywheel_assets.stores.tables import Tables

POOLED = timedelta(days=28)
"""Over how many matured days figures are pooled."""
NAMES = {
    LOGGED: "as decided",
    BOOTSTRAP: "the bootstrap rule",
    PREVIOUS: "the champion before",
    GREEDY: "no exploration",
}


@dataclass(frozen=True)
class Alternative:
    """A policy, pooled over the newest matured days of which its value is known.

    Parameters
    ----------
    value, lower, upper : float, optional
        Reward per decision and its 90% interval; None where no day supports an estimate. Days of
        which only the value is known are taken to be as uncertain as the others.
    logged : float, optional
        What was earned per decision on the same days.
    n_days, n_refused : int
        Days of which the value is known, and those of which it is not.
    why : str, optional
        What the newest refusal says.
    share : float, optional
        The smallest of the days' effective sample sizes, over their rows.
    """

    policy: str
    value: float | None
    lower: float | None
    upper: float | None
    logged: float | None
    n_days: int
    n_refused: int
    why: str | None
    share: float | None

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return NAMES.get(self.policy, self.policy)

    @property
    def difference(self) -> str:
        """Say whether it is better than what was done, as far as the interval tells."""
        if self.value is None or self.logged is None or self.policy == LOGGED:
            return ""
        if self.lower is not None and self.lower > self.logged:
            return "better than what was decided"
        if self.upper is not None and self.upper < self.logged:
            return "worse than what was decided"
        return "cannot be told from what was decided"


@dataclass(frozen=True)
class Worth:
    """What a flywheel earned.

    Parameters
    ----------
    daily : DataFrame
        ``day`` (of the decision), ``n_decisions``, ``acted``, ``outcome_rate``, ``roc_auc``,
        ``reward`` of what was acted on, ``version``.
    per_decision : DataFrame
        ``day``, ``policy``, ``value``, ``lower``, ``upper``: days of which the value is known.
    alternatives : list of Alternative
    rankings : DataFrame
        ``ranking``, ``roc_auc``, ``precision_at_capacity``: means of the newest matured days.
    """

    daily: pl.DataFrame
    per_decision: pl.DataFrame
    alternatives: list[Alternative]
    rankings: pl.DataFrame

    @property
    def last(self) -> date | None:
        """The newest day whose decisions have matured."""
        newest = self.daily["day"].max()
        return newest if isinstance(newest, date) else None

    @property
    def pooled(self) -> dict[str, Alternative]:
        """The alternatives by their policy."""
        return {one.policy: one for one in self.alternatives}


def worth(tables: Tables, flywheel: Flywheel, last: date) -> Worth:
    """Read what was earned by all that had matured when a partition closed."""
    wait = flywheel.outcome.matures_after
    day = (pl.col(PARTITION) - wait).alias("day")
    measured = tables.read(f"{flywheel.name}/performance", PERFORMANCE_SCHEMA, None, last)
    rows = measured.with_columns(day).sort("day", "ranking").collect()
    daily = rows.filter(ranking=SCORE).select(
        "day",
        "n_decisions",
        "acted",
        "outcome_rate",
        "roc_auc",
        "reward",
        pl.col("model_version").alias("version"),
    )
    beside = tables.read(f"{flywheel.name}/alternatives", ALTERNATIVES_SCHEMA, None, last)
    others = beside.with_columns(day).sort("day", "policy").collect()
    told = others.filter(pl.col("supported"), pl.col("value").is_finite())
    newest = _newest(rows).group_by("ranking", maintain_order=True)
    weight = pl.col("n_decisions")
    return Worth(
        daily=daily,
        per_decision=told.select("day", "policy", "value", "lower", "upper"),
        alternatives=_pooled(_newest(others)),
        rankings=newest.agg(
            _mean(pl.col("roc_auc"), weight),
            _mean(pl.col("precision_at_capacity"), weight),
            weight.sum(),
        ),
    )


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("day") > pl.col("day").max() - POOLED)


def _mean(value: pl.Expr, weight: pl.Expr) -> pl.Expr:
    """Average over rows, the days without a value left out; null where that leaves none."""
    return ((value * weight).sum() / weight.filter(value.is_not_null()).sum()).fill_nan(None)


def _end(column: str) -> pl.Expr:
    """Take a day without an interval to be as uncertain as the others: its rewards are no surer."""
    end, value = pl.col(column), pl.col("value")
    return end.fill_null(value + _mean(end - value, pl.col("n_rows")))


def _pooled(rows: pl.DataFrame) -> list[Alternative]:
    found = []
    logged = rows.filter(pl.col("policy") == LOGGED).select("day", pl.col("value").alias("logged"))
    order = [*NAMES, *sorted(set(rows["policy"]) - set(NAMES))]
    for name in order:
        mine = rows.filter(policy=name).join(logged, on="day", how="left").sort("day")
        if mine.is_empty():
            continue
        told = mine.filter(pl.col("supported"), pl.col("value").is_finite())
        refused = mine.filter(~pl.col("supported"))
        # The mean of the ends holds however much the days have in common: entities come again.
        mean = told.with_columns(map(_end, ("lower", "upper"))).select(
            _mean(pl.col(column), pl.col("n_rows"))
            for column in ("value", "lower", "upper", "logged")
        )
        share = told.select((pl.col("effective_sample_size") / pl.col("n_rows")).min()).item()
        found.append(
            Alternative(
                policy=name,
                **mean.row(0, named=True),
                n_days=told.height,
                n_refused=refused.height,
                why=refused["diagnosis"].item(-1) if refused.height else None,
                share=share,
            )
        )
    return found
