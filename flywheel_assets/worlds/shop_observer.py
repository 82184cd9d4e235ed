"""What can be known of the simulated shop's customers from their orders: a ceiling for learners."""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flywheel_assets.worlds.shop import (
    EFFECT_DAYS,
    FIRST_CUSTOMER,
    GUEST_SHARE,
    HAZARD,
    MEAN_RATE,
    RATE_SHAPE,
    Floats,
    Ints,
    Shop,
    ShopConfig,
)

N_RATES, N_HAZARDS = 40, 5
_AT_ONCE = 3_000
"""How many customers are looked at together: some megabytes."""
Floats32 = NDArray[np.float32]


class WatchedShop(Shop):
    r"""The shop, and what somebody who knows its laws believes of each customer.

    All but two things about a customer are told: order value, spend level, phase, fatigue, when
    they joined, what a shock changes, and afterwards how each contact worked. Rate of orders and
    whether the customer has left are inferred from the orders, exactly: a forward filter over rates
    and hazards in equal parts of their distributions, where each day

    .. math::

        a \leftarrow a \, p \, e^{-h}, \quad
        d \leftarrow d \, [\text{no order}] + a \, p \, (1 - e^{-h})

    with :math:`a` and :math:`d` the probabilities of being there and of having left, :math:`p` that
    of what was seen that day, and :math:`h` the hazard. Who sees no more than orders and contacts
    cannot expect more of a contact than `believed` does.

    Examples
    --------
    >>> shop = WatchedShop(ShopConfig(start=date(2011, 1, 31), n_customers=500))
    >>> bool(abs(shop.there().sum() / (~shop.left & shop.joined).sum() - 1) < 0.1)
    True
    """

    def __init__(self, config: ShopConfig) -> None:
        from scipy import stats

        rates = stats.gamma(RATE_SHAPE, scale=MEAN_RATE / RATE_SHAPE).ppf(_middles(N_RATES))
        leaving = stats.beta(*HAZARD).ppf(_middles(N_HAZARDS))
        self._rates = np.repeat(rates, N_HAZARDS).astype(np.float32)
        self._hazards = (self._rates * np.tile(leaving, N_RATES)).astype(np.float32)
        self._habits = np.tanh(np.log(self._rates / MEAN_RATE))
        cells = (config.n_customers, self._rates.size)
        self._present: Floats32 = np.full(cells, 1.0 / cells[1], np.float32)
        self._gone: Floats32 = np.zeros(cells, np.float32)
        super().__init__(config)

    @property
    def left(self) -> NDArray[np.bool_]:
        """Who has left, (n_customers,)."""
        return self._left

    @property
    def joined(self) -> NDArray[np.bool_]:
        """Who has joined, (n_customers,)."""
        return self._joined < self._t

    def there(self) -> Floats:
        """Give the probability that each customer has joined and not left, (n_customers,)."""
        return np.asarray(self._present.sum(axis=1, dtype=np.float64) * self.joined)

    def believed(self, capacity: int) -> Ints:
        """Return the customers of whom a contact is expected to gain most; it must be positive."""
        gain = np.concatenate(
            [
                self._expected(slice(first, first + _AT_ONCE))
                for first in range(0, self.ids.size, _AT_ONCE)
            ]
        )
        gain *= self._value
        return self._top(np.where(gain > 0.0, gain, -np.inf), capacity)

    def _expected(self, some: slice) -> Floats:
        """Give the orders that a contact is expected to add, (n_some,)."""
        known = self._effect_now() - self._peculiar - self._habit_response
        now = np.add.outer(known[some], self._habit_scale * self._habits).astype(np.float32)
        before = (self._effect - self._peculiar)[some, None].astype(np.float32)
        since = (self._t - self._contacted)[some, None]
        added = np.zeros_like(now)
        for later in range(EFFECT_DAYS):
            still = np.maximum(0.0, 1.0 - (since + later) / EFFECT_DAYS).astype(np.float32)
            kept = np.expm1(-self._rates * np.exp(before * still))
            contacted = np.expm1(-self._rates * np.exp(now * np.float32(1 - later / EFFECT_DAYS)))
            added += np.exp(-self._hazards * later) * (kept - contacted)
        return np.asarray((added * self._present[some]).sum(axis=1, dtype=np.float64))

    def _advance(self, chosen: NDArray[np.bool_]) -> pl.DataFrame:
        day, rates = self._t, self._rates
        lines = super()._advance(chosen)
        ids = lines.filter(pl.col("Quantity") > 0)["CustomerID"].drop_nulls().cast(pl.Int64)
        seen = np.zeros((self.ids.size, 1), np.bool_)
        seen[ids.unique().to_numpy() - FIRST_CUSTOMER] = True
        fade = np.maximum(0.0, 1.0 - (day - self._contacted) / EFFECT_DAYS)
        lift = np.exp(self._effect * fade).astype(np.float32)
        old = np.flatnonzero(self._joined < day)
        for some in np.split(old, range(_AT_ONCE, old.size, _AT_ONCE)):
            order = np.float32(GUEST_SHARE - 1.0) * np.expm1(-rates * lift[some, None])
            here = self._present[some] * np.where(seen[some], order, 1.0 - order)
            gone = self._gone[some] * ~seen[some] - here * np.expm1(-self._hazards)
            here *= np.exp(-self._hazards)
            whole = (here + gone).sum(axis=1, keepdims=True)
            self._present[some], self._gone[some] = here / whole, gone / whole
        return lines

    def _shake(self, tomorrow: date) -> None:
        before = self._rate
        super()._shake(tomorrow)
        self._rates = (self._rates * (self._rate[0] / before[0])).astype(np.float32)


def _middles(n: int) -> Floats:
    """Give the middles of n equal parts of [0, 1]."""
    return (np.arange(n) + 0.5) / n
