"""A simulated market: products whose buyers' willingness to pay nobody knows, and which drifts.

Every random number of a day is drawn for every product, from a counter-based generator keyed by
(seed, day), whatever the prices are. Two pricing policies in the same market therefore share their
noise: what they earn differs only by the prices.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
REPORTED_AT = time(23)
"""When products' days are reported (UTC)."""
FIRST_PRODUCT = 10_001
LIST_PRICE_SPREAD = 0.6  # standard deviation of the logarithm of list prices
VIEWS, VIEWS_SPREAD = 25.0, 0.8  # median a day; standard deviation of their logarithm
WILLINGNESS, WILLINGNESS_SPREAD = 0.1, 0.3  # log of the price that half would pay, over list
WILLINGNESS_SWING, NARROWNESS_SWING = 0.3, 0.3  # how far each drifts, up and down
NARROWNESS = 0.15  # how far apart buyers are, in log price; elasticity is at most 1 over it
SHORTEST_CYCLE, LONGEST_CYCLE = 80.0, 240.0  # days


@dataclass(frozen=True, kw_only=True)
class MarketConfig:
    """Which market to simulate.

    Parameters
    ----------
    start : date
        The first day.
    prices : mapping of str to float
        Action -> price over the list price. What no decision prices stands at its list price.
    n_products : int
    seed : int
        Not negative.
    """

    start: date
    prices: Mapping[str, float]
    n_products: int = 200
    seed: int = 0


class Market:
    r"""The market, and everything hidden about its buyers.

    On day :math:`t` product :math:`i` is viewed :math:`V \sim \text{Poisson}(v_i)` times. Priced at
    :math:`f` times its list price, each view becomes a sale of one unit with probability

    .. math:: \sigma\left(\frac{w_i(t) - \log f}{s_i(t)}\right)

    where :math:`w_i(t)` is the logarithm of what half of the buyers would pay, over the list price,
    and :math:`s_i(t)` how far apart they are. The elasticity at a price where the share :math:`q`
    buys is :math:`-(1 - q) / s_i(t)`. Both drift in slow waves, each product's its own.

    Parameters
    ----------
    config : MarketConfig

    Attributes
    ----------
    products : DataFrame, (n_products, 2)
        ``product_id`` and ``list_price``, pounds.
    earned, best : list of float
        Of each day that happened, pounds: the expected revenue at the prices that stood, and at the
        best price of each product.

    Examples
    --------
    >>> prices = {"low": 0.8, "list": 1.0}
    >>> market = Market(MarketConfig(start=date(2026, 1, 1), prices=prices, n_products=3))
    >>> decisions = pl.DataFrame({"product_id": [10_001], "action": ["low"]})
    >>> told = market.day(date(2026, 1, 1), decisions)["product_day"]
    >>> told["price_factor"].to_list()
    [0.8, 1.0, 1.0]
    """

    def __init__(self, config: MarketConfig) -> None:
        self.config, n = config, config.n_products
        self._t = 0  # days since the start
        self.earned: list[float] = []
        self.best: list[float] = []
        rng = _generator(config.seed, 0)  # no date has the ordinal 0
        prices = np.exp(np.log(10.0) + LIST_PRICE_SPREAD * rng.standard_normal(n)).round(2)
        self.products = pl.DataFrame(
            {"product_id": FIRST_PRODUCT + np.arange(n), "list_price": prices}
        )
        self._prices: Floats = prices
        self._views: Floats = VIEWS * np.exp(VIEWS_SPREAD * rng.standard_normal(n))
        self._willing: Floats = WILLINGNESS + WILLINGNESS_SPREAD * rng.standard_normal(n)
        # waves of willingness and of narrowness
        self._cycle: Floats = rng.uniform(SHORTEST_CYCLE, LONGEST_CYCLE, (2, n))
        self._phase: Floats = rng.uniform(0.0, 2.0 * np.pi, (2, n))

    def history(self) -> Iterator[tuple[date, Mapping[str, pl.DataFrame]]]:
        """Give the days before the first: none."""
        return iter(())

    def day(self, day: date, decisions: pl.DataFrame) -> Mapping[str, pl.DataFrame]:
        """Let the next day happen at the prices that were decided, and tell what was sold.

        Parameters
        ----------
        day : date
            The config's start at first.
        decisions : DataFrame
            With ``product_id`` and ``action``.

        Returns
        -------
        mapping of str to DataFrame
            ``product_day``: its fields and ``event_time``, in the order of `products`.

        Raises
        ------
        ValueError
            If it is another day's turn.
        """
        if day != (expected := self.config.start + timedelta(days=self._t)):
            raise ValueError(f"the next day is {expected}, not {day}")
        factor = self._factors(decisions)
        revenue = self.expected_revenue()
        standing = (self._prices * self._views * factor * self._share(factor[:, None])[:, 0]).sum()
        self.earned.append(float(standing))
        self.best.append(float(revenue.max(axis=1).sum()))
        sold = self._sales(day, factor)
        self._t += 1
        at = pl.lit(datetime.combine(day, REPORTED_AT)).dt.replace_time_zone("UTC")
        when = at.cast(pl.Datetime("us", "UTC")).alias("event_time")
        return {"product_day": sold.with_columns(when)}

    def expected_revenue(self) -> Floats:
        """Give each product's expected revenue of the next day at each price.

        Returns
        -------
        ndarray of float64, (n_products, n_prices)
            Pounds, in the order of the config's prices.
        """
        factor = np.array(list(self.config.prices.values()))
        share = self._share(np.tile(factor, (self.config.n_products, 1)))
        revenue: Floats = (self._prices * self._views)[:, None] * factor * share
        return revenue

    def _factors(self, decisions: pl.DataFrame) -> Floats:
        prices = self.config.prices
        decided = decisions.select(
            "product_id",
            pl.col("action")
            .replace_strict(list(prices), list(prices.values()), return_dtype=pl.Float64)
            .alias("factor"),
        )
        joined = self.products.join(decided, on="product_id", how="left", maintain_order="left")
        return joined["factor"].fill_null(1.0).to_numpy()

    def _sales(self, day: date, factor: Floats) -> pl.DataFrame:
        from scipy.stats import poisson

        share = self._share(factor[:, None])[:, 0]
        bought, passed = _generator(self.config.seed, day.toordinal()).random((2, factor.size))
        units = poisson.ppf(bought, self._views * share).astype(np.int64)
        left = poisson.ppf(passed, self._views * (1.0 - share)).astype(np.int64)
        return self.products.with_columns(
            price_factor=pl.Series(factor), views=pl.Series(units + left), units=pl.Series(units)
        )

    def _share(self, factor: Floats) -> Floats:
        """Give the share of views that buy, at prices over list of (n_products, n_prices)."""
        wave: Floats = np.sin(2.0 * np.pi * self._t / self._cycle + self._phase)
        willing = self._willing + WILLINGNESS_SWING * wave[0]
        narrow = NARROWNESS * np.exp(NARROWNESS_SWING * wave[1])
        share: Floats = 1.0 / (1.0 + np.exp((np.log(factor) - willing[:, None]) / narrow[:, None]))
        return share


def _generator(seed: int, key: int) -> np.random.Generator:
    """Return the generator of one day of one market."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, key], dtype=np.uint64)))
