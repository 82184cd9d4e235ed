"""What a declaration means, as a short text: the same meaning, the same fingerprint."""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import polars as pl

from flywheel_assets.declare.rules import IN_ORDER
from flywheel_assets.errors import DeclarationError

_WORDS = frozenset({"description", "owners"})
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_FLAGGED, _DESCRIBED = sys.version_info >= (3, 13), 0x4000000
"""Whether code says by a flag that its first constant is a docstring: ``CO_HAS_DOCSTRING``."""
_WITHOUT_WORDS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})


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


def _meaning(thing: Any) -> Any:  # noqa: PLR0911  a way for each kind of thing
    if isinstance(thing, pl.Expr):
        # Its text leaves out the middle of long lists.
        return hashlib.sha256(thing.meta.serialize()).hexdigest()
    if isinstance(thing, FunctionType):
        inside = [_meaning(cell.cell_contents) for cell in thing.__closure__ or ()]
        given = [_meaning(thing.__defaults__), _meaning(thing.__kwdefaults__)]
        return [_code(thing.__code__), *given, *inside]
    if isinstance(thing, partial):
        return [_meaning(thing.func), _meaning(thing.args), _meaning(thing.keywords)]
    if isinstance(thing, MethodType):
        return [_meaning(thing.__func__), _meaning(thing.__self__)]
    if is_dataclass(thing):
        return [
            type(thing).__name__,
            *((f.name, _meaning(_value(thing, f))) for f in fields(thing) if f.name not in _WORDS),
        ]
    if isinstance(thing, Mapping):
        return sorted((_meaning(k), _meaning(v)) for k, v in thing.items())
    if isinstance(thing, set | frozenset):  # whose order differs from process to process
        thing = sorted(repr(_meaning(t)) for t in thing)
    if isinstance(thing, tuple | list):
        return [_meaning(t) for t in thing]
    text = repr(thing)
    if not isinstance(thing, str) and _ADDRESS.search(text):
        raise DeclarationError(
            expected="a value that means the same in every process",
            found=text,
            remedy="declare a function, a functools.partial or a frozen dataclass instead",
        )
    return text


def _value(thing: Any, field: Field[Any]) -> Any:
    value = getattr(thing, field.name)
    return tuple(value.items()) if field.metadata.get(IN_ORDER) else value


def _code(code: CodeType) -> Any:
    # What is said of it comes first, but in comprehensions and the like, which have no words.
    described = code.co_flags & _DESCRIBED if _FLAGGED else code.co_name not in _WITHOUT_WORDS
    said = code.co_consts[1:] if described else code.co_consts
    constants = [_code(c) if isinstance(c, CodeType) else _meaning(c) for c in said]
    return [code.co_code.hex(), constants, code.co_names]
