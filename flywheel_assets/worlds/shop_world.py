"""The shop as a rehearsal's world: it acts on decisions and tells observations."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets.worlds.shop import Shop, ShopConfig

CONTACTS_AT = time(8)
"""When the shop writes to customers (UTC)."""


class ShopWorld:
    """A shop that contacts whom it is told to, and tells its order lines and its contacts.

    Parameters
    ----------
    config : ShopConfig
    action : str
        The action that stands for a contact.
    tells_contacts : bool
        Whether it tells ``contact``, one for each, beside ``order_line``.

    Attributes
    ----------
    expected : list of float
        Of each day, the pounds that its contacts are expected to add: the sum of `Shop.gain`.
    """

    def __init__(
        self, config: ShopConfig, *, action: str = "contact", tells_contacts: bool = False
    ) -> None:
        self.shop = Shop(config)
        self.expected: list[float] = []
        self._action, self._tells = action, tells_contacts

    def history(self) -> Iterator[tuple[date, Mapping[str, pl.DataFrame]]]:
        """Give the days before the first decision."""
        for day, lines in self.shop.history_files():
            yield day, {"order_line": as_observations(lines)}

    def day(self, day: date, decisions: pl.DataFrame) -> Mapping[str, pl.DataFrame]:
        """Let a day happen under the decisions that were published when it began."""
        acted = decisions.filter(action=self._action)
        contacted = acted["customer_id"].to_numpy()
        gain = self.shop.gain()
        self.expected.append(float(gain[np.isin(self.shop.ids, contacted)].sum()))
        told = {"order_line": as_observations(self.shop.day(day, contacted))}
        if self._tells and acted.height:
            at = datetime.combine(day, CONTACTS_AT, UTC)
            when = pl.lit(at).cast(pl.Datetime("us", "UTC"))
            told["contact"] = acted.select("customer_id", when.alias("event_time"), "decision_id")
        return told


def contact_records(day: date, contacts: Mapping[int, str]) -> list[dict[str, Any]]:
    """Write a day's contacts (customer -> decision_id) as records of kind ``contact``."""
    at = datetime.combine(day, CONTACTS_AT, UTC).isoformat()
    return [
        {
            "kind": "contact",
            "entity": {"customer_id": customer},
            "event_time": at,
            "decision_id": decision,
            "payload": {},
        }
        for customer, decision in contacts.items()
    ]


def as_observations(lines: pl.DataFrame) -> pl.DataFrame:
    """Write a day's lines in the fields of ``order_line``."""
    at = pl.col("InvoiceDate").dt.replace_time_zone("Europe/London").dt.convert_time_zone("UTC")
    fields = {
        "invoice": "InvoiceNo",
        "stock_code": "StockCode",
        "description": "Description",
        "quantity": "Quantity",
        "unit_price": "UnitPrice",
        "country": "Country",
    }
    return lines.select(
        at.cast(pl.Datetime("us", "UTC")).alias("event_time"),
        pl.col("CustomerID").cast(pl.Int64).alias("customer_id"),
        *(pl.col(c).alias(n) for n, c in fields.items()),
    )
