"""A simulated market: products whose buyers' willingness to pay nobody knows, and which drifts.

Every random number of a day is drawn for every product, from a counter-based generator keyed by
(seed, day), whatever the prices are. Two pricing policies in the same market therefore share their
noise: what they earn differs only by the prices.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
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
    n_products : int
    seed : int
        Not negative.
    """

    start: date
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

    Examples
    --------
    >>> market = Market(MarketConfig(start=date(2026, 1, 1), n_products=3))
    >>> market.expected_revenue([0.8, 1.0]).shape
    (3, 2)
    >>> market.day(date(2026, 1, 1), [1.0, 0.8, 1.2]).columns
    ['product_id', 'list_price', 'price_factor', 'views', 'units']
    """

    def __init__(self, config: MarketConfig) -> None:
        self.config, n = config, config.n_products
        self._t = 0  # days since the start
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

    @property
    def today(self) -> date:
        """The day that comes next."""
        return self.config.start + timedelta(days=self._t)

    def expected_revenue(self, factors: Any) -> Floats:
        """Give each product's expected revenue of the next day at each of some prices.

        Parameters
        ----------
        factors : array_like, (n_prices,)
            Prices over the list price.

        Returns
        -------
        ndarray of float64, (n_products, n_prices)
            Pounds.
        """
        factor = np.asarray(factors, dtype=np.float64)
        revenue: Floats = (self._prices * self._views)[:, None] * factor * self._share(factor)
        return revenue

    def day(self, day: date, factors: Any) -> pl.DataFrame:
        """Let the next day happen and return what each product showed and sold.

        Parameters
        ----------
        day : date
            The config's start at first.
        factors : array_like, (n_products,)
            Each product's price over its list price, in the order of `products`.

        Returns
        -------
        DataFrame, (n_products, 5)

        Raises
        ------
        ValueError
            If it is another day's turn.
        """
        from scipy.stats import poisson

        if day != self.today:
            raise ValueError(f"the next day is {self.today}, not {day}")
        factor: Floats = np.asarray(factors, dtype=np.float64)
        share = self._share(factor[:, None])[:, 0]
        sold, passed = _generator(self.config.seed, day.toordinal()).random((2, factor.size))
        units = poisson.ppf(sold, self._views * share).astype(np.int64)
        left = poisson.ppf(passed, self._views * (1.0 - share)).astype(np.int64)
        self._t += 1
        return self.products.with_columns(
            price_factor=pl.Series(factor), views=pl.Series(units + left), units=pl.Series(units)
        )

    def _share(self, factor: Floats) -> Floats:
        """Give the share of views that buy, (n_products, n_prices)."""
        wave: Floats = np.sin(2.0 * np.pi * self._t / self._cycle + self._phase)
        willing = self._willing + WILLINGNESS_SWING * wave[0]
        narrow = NARROWNESS * np.exp(NARROWNESS_SWING * wave[1])
        share: Floats = 1.0 / (1.0 + np.exp((np.log(factor) - willing[:, None]) / narrow[:, None]))
        return share


def _generator(seed: int, key: int) -> np.random.Generator:
    """Return the generator of one day of one market."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, key], dtype=np.uint64)))
