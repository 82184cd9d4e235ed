"""The types of records as they travel, made from the declared fields; msgspec checks by them."""

import math
from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any, Literal, Union

import msgspec
import polars as pl
from msgspec import UNSET, Meta, UnsetType

from flywheel_assets.api.limits import MAX_ID
from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.field import Field

# Control characters, and those that are not seen but change what is: zero width, bidirectional.
ID_PATTERN = (
    "^[^\\x00-\\x1f\\x7f-\\x9f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]*$"
)
_INTEGERS = {pl.Int64: 64, pl.Int32: 32}
_OTHERS: dict[Any, Any] = {
    pl.String: str,
    pl.Boolean: bool,
    pl.Date: date,
    pl.Datetime: datetime,
}

Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID,
        description="Visible characters only.",
        # The pattern stands in the published schema; `records` checks it, far faster.
        extra_json_schema={"pattern": ID_PATTERN},
    ),
]
_EVENT_TIME = Annotated[
    datetime, Meta(tz=True, description="When it happened, with its offset from UTC.")
]


def value_type(field: Field, *, key: bool = False) -> Any:
    """Give the type that a declared field's values have on the wire.

    Examples
    --------
    >>> count = Field(name="n", dtype=pl.Int64, description="How many.", minimum=0)
    >>> msgspec.json.decode(b"3", type=value_type(count))
    3
    >>> msgspec.json.decode(b"-3", type=value_type(count))
    Traceback (most recent call last):
    msgspec.ValidationError: Expected `int` >= 0
    """
    kind = field.dtype.base_type()
    meta: dict[str, Any] = {"description": field.description}
    if field.allowed is not None and kind in {pl.String, pl.Int64, pl.Int32}:
        plain: Any = Literal[field.allowed]
    elif kind in _INTEGERS:
        plain, limit = int, 2 ** (_INTEGERS[kind] - 1)
        meta["ge"] = -limit if field.minimum is None else max(math.ceil(field.minimum), -limit)
        meta["le"] = (
            limit - 1 if field.maximum is None else min(math.floor(field.maximum), limit - 1)
        )
    elif kind == pl.Float64:
        plain = float
        meta |= {} if field.minimum is None else {"ge": field.minimum}
        meta |= {} if field.maximum is None else {"le": field.maximum}
    else:
        plain = _OTHERS[kind]
        if kind == pl.Datetime:
            meta["tz"] = True
        if key and kind == pl.String:
            meta |= {
                "min_length": 1,
                "max_length": MAX_ID,
                "extra_json_schema": {"pattern": ID_PATTERN},
            }
    extra = meta.get("extra_json_schema", {})
    if field.allowed is not None and kind not in {pl.String, pl.Int64, pl.Int32}:
        # msgspec knows no such literals: `kinds` checks them.
        extra = {**extra, "enum": [*map(_as_json, field.allowed)]}
    if field.fills:
        extra = {**extra, "default": _as_json(field.default)}
    if extra:
        meta["extra_json_schema"] = extra
    value: Any = Annotated[plain, Meta(**meta)]
    return value if key or not field.nullable else Annotated[value | None, Meta(**_said(meta))]


def _as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _said(meta: dict[str, Any]) -> dict[str, Any]:
    return {"description": meta["description"]}


def record_type(observation: Observation) -> type[msgspec.Struct]:
    """Make the type of an observation's records.

    ``kind`` is its tag; ``entity`` holds the keys, ``payload`` the other fields. What may be left
    out is UNSET, so that what was written can be told from what was not.
    """
    by_name = {f.name: f for f in observation.fields}
    keys = observation.entity.keys
    title = "".join(part.capitalize() for part in observation.name.split("_"))
    entity = msgspec.defstruct(
        f"{title}Entity",
        [(k, value_type(by_name[k], key=True)) for k in keys],
        forbid_unknown_fields=True,
        namespace={"__doc__": observation.entity.description},
        kw_only=True,
    )
    payload = msgspec.defstruct(
        f"{title}Payload",
        [
            (n, value_type(f) | UnsetType, UNSET) if f.nullable or f.fills else (n, value_type(f))
            for n, f in by_name.items()
            if n not in keys
        ],
        forbid_unknown_fields=True,
        namespace={"__doc__": f"The fields of {observation.name}."},
        kw_only=True,
    )
    return msgspec.defstruct(
        f"{title}Record",
        [
            ("event_time", _EVENT_TIME),
            ("entity", entity),
            ("observation_id", _optional("What makes it one when it is sent twice."), UNSET),
            ("payload", payload | UnsetType, UNSET),
            ("decision_id", _optional("The decision that it answers, as it was given."), UNSET),
            ("corrects", _optional("The observation_id that it replaces."), UNSET),
            ("retracts", _optional("The observation_id that it withdraws; no payload."), UNSET),
        ],
        tag=observation.name,
        tag_field="kind",
        forbid_unknown_fields=True,
        kw_only=True,
        namespace={"__doc__": observation.description},
    )


def _optional(description: str) -> Any:
    return Annotated[Id, Meta(description=description)] | UnsetType


def any_of(types: Iterable[type[msgspec.Struct]]) -> Any:
    """Give the type of a record of any of these kinds."""
    return Union[tuple(types)]  # noqa: UP007  there is no other way to spell a union of a list
