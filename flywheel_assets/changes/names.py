"""The names that columns had first: a column that is renamed means what it meant."""

import io
from collections.abc import Mapping
from typing import Any

import polars as pl
from msgspec import msgpack

from flywheel_assets.declare.collect import Observation

Names = Mapping[str, str]
"""Column -> the first of its names, where it has had another."""


def first_names(observation: Observation) -> Names:
    """Give the first names of an observation's renamed fields."""
    return {f.name: f.identity for f in observation.fields if f.old_names}


def originally(thing: Any, names: Names) -> Any:
    """Say a column, an expression or several of them in the names that columns had first.

    Examples
    --------
    >>> renamed = originally(pl.col("net") * 2, {"net": "amount"})
    >>> renamed.meta.eq(pl.col("amount") * 2)
    True
    >>> originally(("net", "day", None), {"net": "amount"})
    ('amount', 'day', None)
    """
    if isinstance(thing, pl.Expr):
        if names.keys().isdisjoint(thing.meta.root_names()):
            return thing
        # Not JSON, in which an infinity is null.
        told = msgpack.decode(thing.meta.serialize())
        return pl.Expr.deserialize(io.BytesIO(msgpack.encode(_columns(told, names))))
    if isinstance(thing, tuple | list):
        return tuple(originally(one, names) for one in thing)
    return names.get(thing, thing) if isinstance(thing, str) else thing


def _columns(told: Any, names: Names) -> Any:
    """Exchange names in a serialized expression."""
    if isinstance(told, dict):
        return {
            key: names.get(value, value)
            if key == "Column" and isinstance(value, str)
            else _columns(value, names)
            for key, value in told.items()
        }
    return [_columns(one, names) for one in told] if isinstance(told, list) else told
