"""What a declaration means, as a short text: the same meaning, the same fingerprint."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType
from typing import Any

import polars as pl

_WORDS = frozenset({"description", "owners"})


def fingerprint(*declared: Any) -> str:
    """Digest what declarations mean; their descriptions and owners do not count.

    Examples
    --------
    >>> fingerprint(pl.col("a") + 1) == fingerprint(pl.col("a") + 1)
    True
    >>> fingerprint(pl.col("a").is_in(range(99))) == fingerprint(pl.col("a").is_in(range(98)))
    False
    """
    return hashlib.sha256(repr([_meaning(d) for d in declared]).encode()).hexdigest()[:12]


def _meaning(thing: Any) -> Any:
    if isinstance(thing, pl.Expr):
        # Its text leaves out the middle of long lists.
        return hashlib.sha256(thing.meta.serialize()).hexdigest()
    if isinstance(thing, FunctionType):
        inside = [_meaning(cell.cell_contents) for cell in thing.__closure__ or ()]
        given = [_meaning(thing.__defaults__), _meaning(thing.__kwdefaults__)]
        return [_code(thing.__code__), *given, *inside]
    if is_dataclass(thing):
        return [
            type(thing).__name__,
            *(
                (f.name, _meaning(getattr(thing, f.name)))
                for f in fields(thing)
                if f.name not in _WORDS
            ),
        ]
    if isinstance(thing, Mapping):
        return sorted((_meaning(k), _meaning(v)) for k, v in thing.items())
    if isinstance(thing, tuple | list):
        return [_meaning(t) for t in thing]
    return repr(thing)


def _code(code: CodeType) -> Any:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts[1:]]
    return [code.co_code.hex(), constants, code.co_names]
