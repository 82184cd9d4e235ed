"""A simulated shop: customers with hidden habits, who react to being contacted.

Every random number of a day is drawn for every customer, from a counter-based generator keyed by
(seed, day), whether it is used or not. Two policies in the same world therefore share their noise:
what they earn differs only by what the contacts did.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Customers = Ints | Sequence[int]

RATE_SHAPE, MEAN_RATE = 0.9, 0.055  # of the gamma distribution of rates; orders a day
HAZARD = 1.0, 29.0  # of the beta distribution of hazards, as shares of the rate
EFFECT_DAYS = 7  # a contact works on the day itself and fades to nothing in this many days
FATIGUE_KEPT = 0.9  # the share of fatigue that is left a day later
FATIGUE_STEP = 0.25  # the share of the way to full fatigue (1) that one contact goes
MIN_LINES, MAX_LINES = 2, 8  # lines of an order; each is another thing
RETURN_SHARE, RETURN_DAYS = 0.02, 14  # lines sent back, at most this many days after the order
LATE_SHARE = 0.35  # customers who join after the shop opened
GUEST_SHARE = 0.05  # orders without a CustomerID
DUPLICATE_SHARE = 0.01  # lines written twice
FIRST_CUSTOMER, FIRST_INVOICE = 12_346, 536_365
COUNTRIES = np.array(["United Kingdom"] * 36 + ["Germany", "France", "EIRE", "Spain"])
STYLES = ["WHITE HEART", "RED RETROSPOT", "VINTAGE ROSE", "IVORY LACE", "BLUE POLKADOT"]
THINGS = ["CANDLE", "LUNCH BAG", "CAKE STAND", "TEA TOWEL", "CLOCK", "JUMBO BAG", "BUNTING", "WRAP"]
FACTORS, BASE_PRICES = (1.0, 1.2, 1.1, 0.9, 1.05), (2.55, 1.65, 10.95, 2.95, 7.95, 1.95, 4.95, 0.42)
PRICES: Floats = np.outer(FACTORS, BASE_PRICES).ravel().round(2)  # pounds per piece
CATALOGUE = pl.DataFrame(
    {
        "StockCode": (20_725 + 37 * np.arange(PRICES.size)).astype(str),
        "Description": [f"{style} {thing}" for style in STYLES for thing in THINGS],
        "UnitPrice": PRICES,
    }
)


@dataclass(frozen=True, kw_only=True)
class Shock:
    """A day from which on customers are others than they were: a recession, as it might be.

    Demand falls, and those whom contacts moved change sides: regulars buy what they need and no
    more, occasional customers come for offers; big spenders economise, small ones do not.

    Parameters
    ----------
    day : date
    demand : float
        What each customer's rate of orders is multiplied by.
    response : float
        What the slopes of the response over habit and over spend level are multiplied by; the mean
        response, and what is peculiar to each customer, stay.
    """

    day: date
    demand: float = 0.75
    response: float = -1.0


@dataclass(frozen=True, kw_only=True)
class ShopConfig:
    """Which world to simulate.

    Parameters
    ----------
    start : date
        The first day of decisions.
    history : timedelta
        How long the shop was open before `start`, without contacting anybody; whole days.
    n_customers : int
        Everybody who will ever buy: most are there from the first day of history, the others
        join within its length and the year after.
    seed : int
        Not negative.
    shock : Shock, optional
    """

    start: date
    history: timedelta = timedelta(days=90)
    n_customers: int = 3_000
    seed: int = 0
    shock: Shock | None = None


class Shop:
    r"""The shop and everything hidden about its customers; history is simulated on creation.

    On day :math:`t` an active customer :math:`i` orders, at most once, with probability

    .. math:: 1 - \exp(-\lambda_i \exp(e_i \max(0, 1 - k/7)))

    where :math:`\lambda_i` (orders per day) is gamma distributed, :math:`k` is the number of days
    since the last contact, and :math:`e_i` (log rate) was fixed at that contact:

    .. math::

        e_i = \theta_i(t) - 0.12 F_i - 0.36 \exp(-r_i / 4)

    with :math:`F_i \in [0, 1]` the fatigue from earlier contacts and :math:`r_i` the days since
    the last order. The response :math:`\theta_i(t)` rises with rate and spend level and drifts:
    within a year and a half the big spenders and the small ones change places.

    Customers leave with the hazard :math:`h_i = p_i \lambda_i` per day, :math:`p_i` beta
    distributed: the drop-out of BG/NBD on average, but independent of contacts.

    Attributes
    ----------
    revenue : float
        Pounds, net of returns, from `start` on; without guests and duplicated lines.
    orders : int
        From `start` on, without guests.
    ids : array of int
        All customers, also those who have not joined yet.

    Examples
    --------
    >>> shop = Shop(ShopConfig(start=date(2011, 1, 31), n_customers=500))
    >>> len(list(shop.history_files()))
    90
    >>> lines = shop.day(date(2011, 1, 31), contacted=shop.recent(20))
    >>> lines.columns[:4]
    ['InvoiceNo', 'StockCode', 'Description', 'Quantity']
    >>> shop.day(date(2011, 1, 31), contacted=[])
    Traceback (most recent call last):
    ValueError: the next day is 2011-02-01, not 2011-01-31
    """

    def __init__(self, config: ShopConfig) -> None:
        self.config, n, days = config, config.n_customers, config.history.days
        self.ids: Ints = FIRST_CUSTOMER + np.arange(n)
        self.revenue, self.orders = 0.0, 0
        self._opening = config.start - config.history
        self._t = 0  # days since opening

        rng = _generator(config.seed, 0)  # no date has the ordinal 0
        self._rate: Floats = rng.gamma(RATE_SHAPE, MEAN_RATE / RATE_SHAPE, n)
        self._hazard: Floats = self._rate * rng.beta(*HAZARD, n)
        late = rng.random(n) < LATE_SHARE
        self._joined: Ints = np.where(late, rng.integers(0, days + 365, n), -1)
        spend: Floats = rng.standard_normal(n)  # z-score of the log spend level
        self._pieces: Floats = 5.0 * np.exp(0.5 * spend)[:, None] / np.sqrt(PRICES)
        self._country = COUNTRIES[rng.integers(0, COUNTRIES.size, n)]
        habit: Floats = np.tanh(np.log(self._rate / MEAN_RATE))  # in [-1, 1], 0 at the mean
        self._habit_scale = 0.18
        self._habit_response = self._habit_scale * habit
        self._peculiar: Floats = 0.16 * rng.standard_normal(n)
        self._spend_response = 0.14 * spend
        self._phase: Floats = rng.uniform(0.0, 2.0 * np.pi, n)
        # E[1 + floor(c X)] = 1 + 1 / (exp(1/c) - 1) for X exponential with mean 1
        pieces = 1.0 + 1.0 / np.expm1(1.0 / self._pieces)
        lines = (MIN_LINES + MAX_LINES) / 2.0
        self._value: Floats = lines * (1.0 - RETURN_SHARE) * (pieces * PRICES).mean(axis=1)

        self._left: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self._ordered: Floats = np.full(n, -np.inf)  # time of the last order, days since opening
        self._contacted: Ints = np.full(n, -EFFECT_DAYS)
        self._effect: Floats = np.zeros(n)
        self._fatigue: Floats = np.zeros(n)
        # lines to come back, as rows: customer, product, pieces (negative), known, day due
        self._returns: Ints = np.empty((5, 0), dtype=np.int64)
        self._history = [self._advance(np.zeros(n, dtype=bool)) for _ in range(days)]
        self.revenue, self.orders = 0.0, 0

    def history_files(self) -> Iterator[tuple[date, pl.DataFrame]]:
        """Yield each day before `start` with its order lines, oldest first."""
        for number, lines in enumerate(self._history):
            yield self._opening + timedelta(days=number), lines

    def day(self, day: date, contacted: Customers) -> pl.DataFrame:
        """Let the next day happen, `start` at first, and return its order lines by invoice.

        Parameters
        ----------
        day : date
        contacted : array of int
            The customers contacted at the start of that day, in any order.

        Raises
        ------
        ValueError
            If it is another day's turn, or somebody contacted does not exist.
        """
        if day != (expected := self._opening + timedelta(days=self._t)):
            raise ValueError(f"the next day is {expected}, not {day}")
        if (strangers := np.setdiff1d(contacted, self.ids)).size:
            raise ValueError(f"no such customers: {strangers[:5].tolist()}")
        return self._advance(np.isin(self.ids, contacted))

    def recent(self, capacity: int) -> Ints:
        """Return the customers who ordered last: what a shop without a model can do."""
        return self._top(self._ordered, capacity)

    def likeliest(self, capacity: int) -> Ints:
        r"""Return those with the highest true probability of an order within 30 days.

        Without contacts it is :math:`\frac{\lambda}{\lambda+h}(1 - \exp(-30 (\lambda+h)))`.
        """
        total = self._rate + self._hazard
        return self._top(self._rate / total * -np.expm1(-30.0 * total) * ~self._left, capacity)

    def best(self, capacity: int) -> Ints:
        """Return the customers whose `gain` is largest; it must be positive."""
        gain = self.gain()
        return self._top(np.where(gain > 0.0, gain, -np.inf), capacity)

    def gain(self, *, peculiar: bool = True) -> Floats:
        r"""Return what a contact on the next day is expected to add, (n_customers,), in pounds.

        It is the value of an order times :math:`\sum_{k=0}^{6} \exp(-h k) (q_k - p_k)`, with the
        probabilities of an order :math:`k` days later with the contact (:math:`q`) and without it
        (:math:`p`).

        Parameters
        ----------
        peculiar : bool
            Without what is peculiar to each customer's response, which nothing observable tells:
            what somebody would expect who knows all the rest.
        """
        later = np.arange(EFFECT_DAYS)[:, None]
        unknown = 0.0 if peculiar else self._peculiar
        now, since = self._effect_now() - unknown, self._t - self._contacted
        gain = _order_probability(self._rate, now, later)
        gain -= _order_probability(self._rate, self._effect - unknown, later + since)
        left = (np.exp(-self._hazard * later) * gain).sum(axis=0)
        return np.asarray(self._value * left * ~self._left)

    def guess(self, capacity: int) -> Ints:
        """Return whom `best` would, did it not know what is peculiar to each customer."""
        gain = self.gain(peculiar=False)
        return self._top(np.where(gain > 0.0, gain, -np.inf), capacity)

    def _top(self, score: Floats, capacity: int) -> Ints:
        """Return at most `capacity` ids with the highest score, of those who ever ordered."""
        score = np.where(np.isfinite(self._ordered), score, -np.inf)
        order = np.argsort(-score, kind="stable")[:capacity]
        return self.ids[order[np.isfinite(score[order])]]

    def _effect_now(self) -> Floats:
        """Return the effect (log rate) that a contact on the next day would have."""
        year = 2.0 * np.pi * self._t / 365.0
        effect: Floats = 0.24 + self._habit_response + self._peculiar
        effect += self._spend_response * np.cos(year / 3.0)
        effect += 0.08 * np.sin(year + self._phase)
        return effect - 0.12 * self._fatigue - 0.36 * np.exp((self._ordered - self._t) / 4.0)

    def _advance(self, chosen: NDArray[np.bool_]) -> pl.DataFrame:
        """Simulate the next day and return its lines."""
        n, t = self.config.n_customers, self._t
        today = self._opening + timedelta(days=t)
        rng = _generator(self.config.seed, today.toordinal())
        order, leave, clock, guest, size, shelf = rng.random((6, n))
        style, amount, back, delay, twice = rng.random((5, n, MAX_LINES))

        self._effect = np.where(chosen, self._effect_now(), self._effect)
        self._contacted = np.where(chosen, t, self._contacted)
        self._fatigue += chosen * FATIGUE_STEP * (1.0 - self._fatigue)
        self._fatigue *= FATIGUE_KEPT

        chance = _order_probability(self._rate, self._effect, t - self._contacted)
        active = (self._joined <= t) & ~self._left
        buys = active & ((order < chance) | (self._joined == t))
        self._left |= active & (leave < -np.expm1(-self._hazard))
        self._ordered = np.where(buys, t + clock, self._ordered)

        count = MIN_LINES + (size * (MAX_LINES - MIN_LINES + 1)).astype(np.int64)
        who, slot = np.nonzero(buys[:, None] & (np.arange(MAX_LINES) < count[:, None]))
        thing = (slot + (shelf[who] * MAX_LINES).astype(np.int64)) % MAX_LINES  # once per order
        what = (style[who, slot] * len(STYLES)).astype(np.int64) * MAX_LINES + thing
        quantity = 1.0 + np.floor(-self._pieces[who, what] * np.log1p(-amount[who, slot]))
        due = t + 1 + (delay[who, slot] * RETURN_DAYS).astype(np.int64)
        known = guest[who] >= GUEST_SHARE
        sold = np.stack([who, what, quantity.astype(np.int64), known, due])

        returned = self._returns[:4, self._returns[4] == t]
        sent_back = sold[:, back[who, slot] < RETURN_SHARE] * np.array([[1], [1], [-1], [1], [1]])
        self._returns = np.hstack([self._returns[:, self._returns[4] > t], sent_back])
        lines = np.hstack([sold[:4], returned])
        self.revenue += float((lines[2] * PRICES[lines[1]] * lines[3]).sum())
        self.orders += int((buys & (guest >= GUEST_SHARE)).sum())
        copies = np.ones(lines.shape[1], dtype=np.int64)
        copies[: who.size] += twice[who, slot] < DUPLICATE_SHARE
        self._t += 1
        self._shake(today + timedelta(days=1))
        return self._frame(today, np.repeat(lines, copies, axis=1), clock)

    def _shake(self, tomorrow: date) -> None:
        """Let the shock come at the start of its day, before anybody is chosen."""
        shock = self.config.shock
        if shock is not None and shock.day == tomorrow:
            self._rate = self._rate * shock.demand
            self._habit_scale *= shock.response
            self._habit_response *= shock.response
            self._spend_response *= shock.response

    def _frame(self, today: date, lines: Ints, clock: Floats) -> pl.DataFrame:
        """Return lines (customer, product, quantity, known) in the columns of Online Retail."""
        # invoice numbers count everybody, so that one customer's order does not renumber another's
        rank = np.argsort(np.argsort(clock, kind="stable"), kind="stable")
        lines = lines[:, np.argsort(rank[lines[0]], kind="stable")]
        who, what, quantity, known = lines
        number = FIRST_INVOICE + (self._t - 1) * clock.size + rank[who]
        minutes = (8 * 60 + clock[who] * 12 * 60).astype("timedelta64[m]")  # 08:00 to 20:00
        products = CATALOGUE[what]
        return pl.DataFrame(
            {
                "InvoiceNo": np.char.add(np.where(quantity < 0, "C", ""), number.astype(str)),
                "StockCode": products["StockCode"],
                "Description": products["Description"],
                "Quantity": quantity,
                "InvoiceDate": np.datetime64(today, "us") + minutes,
                "UnitPrice": products["UnitPrice"],
                "CustomerID": np.where(known, self.ids[who], np.nan),
                "Country": self._country[who],
            },
            nan_to_null=True,
        )


def _generator(seed: int, key: int) -> np.random.Generator:
    """Return the generator of one day of one world."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, key], dtype=np.uint64)))


def _order_probability(rate: Floats, effect: Floats, since: Ints) -> Floats:
    """Return the probability of an order on a day, `since` days after a contact."""
    faded = effect * np.maximum(0.0, 1.0 - since / EFFECT_DAYS)
    return np.asarray(-np.expm1(-rate * np.exp(faded)))


def write_day(folder: Path, day: date, lines: pl.DataFrame) -> Path:
    """Write a day's lines as ``{day}.csv``, whole or not at all; the same lines, the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{day}.{os.getpid()}.part"
    lines.write_csv(part, datetime_format="%Y-%m-%d %H:%M:%S", line_terminator="\n")
    return part.replace(folder / f"{day}.csv")


def as_records(lines: pl.DataFrame) -> list[dict[str, Any]]:
    """Write a day's lines as the observations that the shop logs, of kind ``order_line``."""
    at = pl.col("InvoiceDate").dt.replace_time_zone("Europe/London").dt.convert_time_zone("UTC")
    payload = {
        "invoice": "InvoiceNo",
        "stock_code": "StockCode",
        "description": "Description",
        "quantity": "Quantity",
        "unit_price": "UnitPrice",
        "country": "Country",
    }
    return lines.select(
        pl.lit("order_line").alias("kind"),
        pl.struct(pl.col("CustomerID").cast(pl.Int64).alias("customer_id")).alias("entity"),
        at.dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("event_time"),
        pl.struct([pl.col(c).alias(n) for n, c in payload.items()]).alias("payload"),
    ).to_dicts()


def simulate(config: ShopConfig, days: int, choose: Callable[[Shop, date], Customers]) -> Shop:
    """Run one policy, without files: `choose` returns whom to contact at the start of a day."""
    shop = Shop(config)
    for day in (config.start + timedelta(days=number) for number in range(days)):
        shop.day(day, choose(shop, day))
    return shop
