"""The id of an observation that comes without one: a digest of its content."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.rules import EVENT_TIME

_EXPONENT = -5


def content_id(observation: Observation) -> Callable[[Mapping[str, Any], str, str], str]:
    """Build the function that digests a record of this kind.

    The rule is that of `stages.collect`, so a record is the same observation whichever way it
    comes: the event time and the id fields as Polars writes them, each with its length.

    Returns
    -------
    callable
        Of the values by field name (``event_time`` among them), the observation that is corrected
        and the one that is retracted ("" for none), to 32 hexadecimal digits.
    """
    names = [EVENT_TIME, *observation.identified_by]
    texts = [(n, time_text if n == EVENT_TIME else text_of(observation.schema[n])) for n in names]

    added = [(f, text_of(f.dtype)) for f in observation.added]

    def digest(values: Mapping[str, Any], corrects: str, retracts: str) -> str:
        parts = []
        for name, text in texts:
            value = values.get(name)
            if value is None:
                parts.append("-;")
            else:
                written = text(value)
                parts.append(f"{len(written.encode())}:{written};")
        for field, text in added:
            value = values.get(field.name)
            if value is not None and value != field.default:
                written = text(value)
                parts.append(f"{field.identity}={len(written.encode())}:{written};")
        for name, other in (("corrects", corrects), ("retracts", retracts)):
            if other:
                parts.append(f"{name}={len(other.encode())}:{other};")
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]

    return digest


def text_of(dtype: pl.DataType) -> Callable[[Any], str]:
    """Give the function that writes values of a type as Polars casts them to text."""
    if dtype == pl.Float64:
        return float_text
    if dtype == pl.Boolean:
        return lambda value: "true" if value else "false"
    if isinstance(dtype, pl.Datetime):
        return time_text
    return str


def time_text(value: Any) -> str:
    """Write a UTC time as Polars casts it to text: always with six digits of a second."""
    return str(value.isoformat(" ", "microseconds"))


def float_text(value: float) -> str:
    """Write a number as Polars casts it to text, which differs from Python below 0.0001.

    Examples
    --------
    >>> [float_text(v) for v in (1.0, 1e-5, 1.5e-5, 1e-7, 1e20)]
    ['1.0', '0.00001', '0.000015', '1e-7', '1e+20']
    """
    text = repr(value)
    mantissa, _, exponent = text.partition("e-")
    if not exponent:
        return text
    power = -int(exponent)
    if power < _EXPONENT:
        return f"{mantissa}e{power}"
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    return f"{sign}0.{'0' * (-power - 1)}{digits.replace('.', '')}"
