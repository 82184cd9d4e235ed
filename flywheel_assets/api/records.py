"""Wire records to validated ones: a fast pass over all of a request, a thorough one if it fails.

The fast pass leaves the work to msgspec: one decoder made from all declarations, one encoder. What
msgspec does not see (a key that stands twice, ids with characters that nobody sees) costs a few
searches over the whole body. Whatever they leave in doubt, the thorough pass decides.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from flywheel_assets.api import wire
from flywheel_assets.api.faults import (
    Fault,
    UnfitError,
    diagnose,
    duplicate_key,
    placed,
    syntax_fault,
)
from flywheel_assets.api.kinds import Kind
from flywheel_assets.api.limits import MAX_RECORD
from flywheel_assets.declare.collect import Observation
from flywheel_assets.stores.inbox import Received, now_us

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ENCODER = msgspec.json.Encoder()
_ESCAPED_COLONS = (b"\\u003a", b"\\u003A")
_MAY_HIDE = (b"\\", b"\x7f")


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be received, and what is wrong with it."""

    kind: str | None
    faults: tuple[Fault, ...]
    raw: bytes

    @property
    def reason(self) -> str:
        """Say all of it in one line."""
        return "; ".join(f"{f.path}: {f.reason}" for f in self.faults)


Parsed: TypeAlias = Received | Refused


class MalformedError(Exception):
    """A body in which not even the records can be told apart."""


class Reader:
    """Reads the records of declared observations.

    Parameters
    ----------
    clock : callable
        Microseconds since the epoch; an event later than this and the observation's tolerance has
        not happened yet.
    """

    def __init__(
        self, observations: Iterable[Observation], clock: Callable[[], int] = now_us
    ) -> None:
        self._clock = clock
        self.kinds = {o.name: Kind(o) for o in observations}
        self._by_type = {k.type: k for k in self.kinds.values()}
        # Where there is one type only, msgspec takes records without a tag; so there are two.
        types: list[type[msgspec.Struct]] = [*(k.type for k in self.kinds.values()), _Nothing]
        self._many = msgspec.json.Decoder(list[wire.any_of(types)])  # type: ignore[misc]  # made at run time
        self._one = msgspec.json.Decoder(wire.any_of(types))
        self._split = msgspec.json.Decoder(list[msgspec.Raw])

    def one(self, body: bytes) -> Parsed:
        """Read one JSON object."""
        now = self._clock()
        found = self._fast(lambda content: [self._one.decode(content)], body, now)
        return self._thorough([body], now)[0] if found is None else found[0]

    def array(self, body: bytes) -> list[Parsed]:
        """Read a JSON array of records.

        Raises
        ------
        MalformedError
            For a body that is not a JSON array.
        """
        now = self._clock()
        found = self._fast(self._many.decode, body, now)
        if found is not None:
            return found
        try:
            raws = [bytes(raw) for raw in self._split.decode(body)]
        except _UNREADABLE as error:
            raise MalformedError(syntax_fault(body, error)) from None
        return self._thorough(raws, now)

    def lines(self, body: bytes) -> list[Parsed]:
        """Read a JSON record from each line that is not blank."""
        now = self._clock()
        lines = [line for line in body.split(b"\n") if line.strip()]
        # Not `decode_lines`, which takes two records on one line, and one on two.
        found = self._fast(lambda _: [self._one.decode(line) for line in lines], body, now)
        return self._thorough(lines, now) if found is None else found

    def _fast(
        self, decode: Callable[[bytes], list[Any]], body: bytes, now: int
    ) -> list[Parsed] | None:
        """Read all records at once; None if anything at all is, or may be, wrong."""
        try:
            records = decode(body)
        except _UNREADABLE:
            return None
        visible = body.isascii() and not any(c in body for c in _MAY_HIDE)
        try:
            settled = [self._by_type[type(r)].settle(r, now, visible=visible) for r in records]
        except (UnfitError, KeyError):  # no key for the kind that is none
            return None
        written = _ENCODER.encode_lines(records)
        encoded = written.split(b"\n")
        # Each key brings a colon, and a round trip changes no other colon but those that are
        # escaped and those of time zones: as many in the body as in what was kept of it means that
        # no key stood twice.
        colons = written.count(b":") + sum([dropped for _, _, dropped, _ in settled])
        if colons != body.count(b":") or any(s.moved for s in settled):
            return None
        if any(c in body for c in _ESCAPED_COLONS):
            return None
        if len(body) > MAX_RECORD and max(map(len, encoded)) > MAX_RECORD:
            return None
        return [
            Received(kind, r.observation_id, event_time, e)
            # The last line is empty.
            for (kind, event_time, *_), r, e in zip(settled, records, encoded, strict=False)
        ]

    def _thorough(self, raws: Sequence[bytes], now: int) -> list[Parsed]:
        found: list[Parsed] = []
        for raw in raws:
            try:
                found.append(self._checked(raw, now))
            except UnfitError as error:
                found.append(Refused(self._kind_of(raw), error.faults, raw))
        return found

    def _checked(self, raw: bytes, now: int) -> Received:
        if len(raw) > MAX_RECORD:
            raise UnfitError(
                Fault("$", f"expected at most {MAX_RECORD} bytes in a record, found {len(raw)}")
            )
        record = self._typed(raw)
        twice = duplicate_key(raw)
        if twice is not None:
            raise UnfitError(twice)
        kind = self._by_type[type(record)]
        settled = kind.settle(record, now, visible=False)
        return Received(
            settled.kind, record.observation_id, settled.event_time, _ENCODER.encode(record)
        )

    def _typed(self, raw: bytes) -> Any:
        try:
            record = self._one.decode(raw)
            self._by_type[type(record)]
        except (*_UNREADABLE, KeyError) as error:
            newer = self._newer(raw)
            if newer is not None:
                return self._typed(newer)
            types = {name: kind.type for name, kind in self.kinds.items()}
            faults = diagnose(raw, types) or [_plain_fault(raw, error)]
            raise UnfitError(*faults) from None
        return record

    def _newer(self, raw: bytes) -> bytes | None:
        """Write a record of an older shape as it would be written now; None for any other."""
        kind = self._kind_of(raw)
        try:
            record = msgspec.json.decode(raw)
        except _UNREADABLE:
            return None
        if kind is None or not self.kinds[kind].newer(record):
            return None
        return _ENCODER.encode(record)

    def _kind_of(self, raw: bytes) -> str | None:
        """Name the kind of a record that was refused, if it says a declared one."""
        try:
            kind = msgspec.json.decode(raw, type=_Tag).kind
        except _UNREADABLE:
            return None
        return kind if kind in self.kinds else None


class _Nothing(msgspec.Struct, tag="\0", tag_field="kind", forbid_unknown_fields=True):
    """A kind that is none."""


class _Tag(msgspec.Struct):
    kind: str


def _plain_fault(raw: bytes, error: Exception) -> Fault:
    if isinstance(error, msgspec.ValidationError):
        return placed(error)
    return Fault("$", syntax_fault(raw, error))
