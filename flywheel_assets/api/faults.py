"""What is wrong with a record, field by field: slow and thorough, for the few that are refused."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from flywheel_assets.api.limits import MAX_ERRORS
from flywheel_assets.errors import nearest

_SHOWN = 60
_NOT_JSON = ("NaN", "Infinity")


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (a JSON path), and what was expected and found."""

    path: str
    reason: str


class UnfitError(Exception):
    """A record that is well typed and still cannot be received."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults


def syntax_fault(content: bytes, error: Exception) -> str:
    """Say why bytes are not a JSON text that can be taken."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: byte {error.object[error.start]:#04x}"
    if any(word.encode() in content for word in _NOT_JSON):
        return "not JSON: NaN and Infinity are no JSON numbers"
    if "truncated" in str(error) and b"\\u" in content:
        return "not JSON: it ends too early, or holds half of a surrogate pair"
    return f"not JSON: {str(error).removeprefix('JSON is malformed: ')}"


def placed(error: msgspec.ValidationError) -> Fault:
    """Take the place out of what msgspec says."""
    reason, _, path = str(error).partition(" - at `")
    return Fault(path.removesuffix("`") or "$", _lower(reason))


def diagnose(content: bytes, kinds: Mapping[str, type[msgspec.Struct]]) -> list[Fault]:
    """Find what is wrong with one record.

    Parameters
    ----------
    kinds : mapping
        Observation name -> type of its records.

    Returns
    -------
    list of Fault
        At most `MAX_ERRORS`; empty where the record cannot be looked into.
    """
    try:
        record = msgspec.json.decode(content)
    except msgspec.ValidationError:
        return []  # a number that no field could hold: who knows the fields knows which
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [Fault("$", syntax_fault(content, error))]
    if not isinstance(record, dict):
        return [Fault("$", f"expected an object with kind, entity, event_time; found {_a(record)}")]
    kind = record.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        said = f"found {_short(kind)}; " if isinstance(kind, str) else "found none; "
        hint = nearest(kind[:_SHOWN] if isinstance(kind, str) else "", kinds)
        return [Fault("$.kind", f"expected a declared observation; {said}{hint}")]
    return _compare(record, kinds[kind], "$")[:MAX_ERRORS]


def duplicate_key(content: bytes) -> Fault | None:
    """Find a key that stands twice in one object, of which most parsers keep the last."""
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        kept = dict(found)
        if len(kept) != len(found):
            seen: set[str] = set()
            twice.extend(k for k, _ in found if k in seen or seen.add(k))  # type: ignore[func-returns-value]  # add returns None
        return kept

    try:
        json.loads(content, object_pairs_hook=pairs)
    except RecursionError as error:
        return Fault("$", syntax_fault(content, error))
    except ValueError:
        return None  # not JSON at all: whoever parses it says so
    return Fault("$", f"key {_short(twice[0])} stands twice in one object") if twice else None


def _compare(found: dict[str, Any], struct: type[msgspec.Struct], path: str) -> list[Fault]:
    """Compare an object with the type that it should have, and its parts likewise."""
    fields = {f.encode_name: f for f in msgspec.structs.fields(struct)}
    valid = [*fields, "kind"] if path == "$" else list(fields)
    faults = [
        Fault(_at(path, name), f"unknown field; {nearest(name[:_SHOWN], valid)}")
        for name in [n for n in found if n not in fields][:MAX_ERRORS]
    ]
    for name, field in fields.items():
        here = _at(path, name)
        if name not in found:
            faults += [Fault(here, "required, found nothing")] if field.required else []
            continue
        inside = _struct_of(field.type)
        if inside is not None and isinstance(found[name], dict):
            faults += _compare(found[name], inside, here)
        else:
            faults += _convert(found[name], field.type, here)
    return faults


def _convert(value: Any, wanted: Any, path: str) -> list[Fault]:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        return [Fault(path, _lower(str(error)))]
    return []


def _struct_of(wanted: Any) -> type[msgspec.Struct] | None:
    """Find the object type in a type that may also be UNSET."""
    options = getattr(wanted, "__args__", (wanted,))
    for option in options:
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
    return None


def _at(path: str, name: str) -> str:
    return (
        f"{path}.{name}"
        if name.isidentifier() and len(name) <= _SHOWN
        else f"{path}[{_short(name)}]"
    )


def _short(value: Any) -> str:
    """Show a value that a stranger chose: escaped, and no more of it than helps."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _a(value: Any) -> str:
    names: dict[type, str] = {list: "an array", str: "a string", bool: "a boolean", int: "a number"}
    return names.get(type(value), "null" if value is None else "a number")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
