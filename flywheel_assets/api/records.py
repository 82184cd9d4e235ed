"""Wire records to validated ones: a fast pass over all of a request, a thorough one if it fails.

The fast pass leaves the work to msgspec: one decoder made from all declarations, one encoder. What
msgspec does not see (a key that stands twice, ids with characters that nobody sees) costs a few
searches over the whole body. Whatever they leave in doubt, the thorough pass decides.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

import msgspec
import polars as pl
from msgspec import UNSET

from flywheel_assets.api import wire
from flywheel_assets.api.faults import (
    Fault,
    UnfitError,
    diagnose,
    duplicate_key,
    placed,
    syntax_fault,
)
from flywheel_assets.api.identity import content_id
from flywheel_assets.api.limits import MAX_RECORD
from flywheel_assets.declare.collect import Observation
from flywheel_assets.stores.inbox import Received, now_us

_EXACT_FROM = -2_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VISIBLE = re.compile(wire.ID_PATTERN)
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
        self.kinds = {o.name: _Kind(o) for o in observations}
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
        try:
            record = self._one.decode(raw)
            kind = self._by_type[type(record)]
        except (*_UNREADABLE, KeyError) as error:
            types = {name: kind.type for name, kind in self.kinds.items()}
            faults = diagnose(raw, types) or [_plain_fault(raw, error)]
            raise UnfitError(*faults) from None
        twice = duplicate_key(raw)
        if twice is not None:
            raise UnfitError(twice)
        settled = kind.settle(record, now, visible=False)
        return Received(
            settled.kind, record.observation_id, settled.event_time, _ENCODER.encode(record)
        )

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


class _Settled(NamedTuple):
    """What settling a record found out.

    ``dropped`` counts the keys that canonical form leaves out, less those that it adds; ``moved``
    says that a time was brought to UTC.
    """

    kind: str
    event_time: int
    dropped: int
    moved: bool


class _Kind:
    """What one kind of record must be beyond its types, and its canonical form."""

    def __init__(self, observation: Observation) -> None:
        self.name = observation.name
        self.type = wire.record_type(observation)
        by_name = {f.name: f for f in observation.fields}
        keys = observation.entity.keys
        payload = [n for n in by_name if n not in keys]
        self._nullable = [n for n in payload if by_name[n].nullable]
        self._times = [n for n in payload if by_name[n].dtype == pl.Datetime]
        self._texts = [k for k in keys if by_name[k].dtype == pl.String]
        self._time_keys = [k for k in keys if by_name[k].dtype == pl.Datetime]
        self._choices = [
            (n, f.allowed)
            for n, f in by_name.items()
            if f.allowed and f.dtype not in (pl.String, pl.Int64, pl.Int32)
        ]
        self._special = bool(self._times or self._time_keys or self._choices)
        self._keys, self._digest = keys, content_id(observation)
        self._tolerance = observation.clock_tolerance // timedelta(microseconds=1)

    def settle(self, record: Any, now: int, *, visible: bool) -> _Settled:
        """Bring a typed record to its canonical form, in place.

        Parameters
        ----------
        visible : bool
            Whether its ids are known to hold visible characters only.

        Raises
        ------
        UnfitError
            If it says that it is yet to happen, contradicts itself, or has a value that is not
            among those declared.
        """
        moved, dropped, payload = False, 0, record.payload
        if record.event_time.tzinfo is not UTC:
            record.event_time, moved = _utc(record.event_time, "$.event_time"), True
        happened = _microseconds(record.event_time)
        if happened > now + self._tolerance:
            raise UnfitError(_future(record.event_time, now))
        if (payload is UNSET) is (record.retracts is UNSET) or (
            record.corrects is not UNSET and record.retracts is not UNSET
        ):
            raise UnfitError(_contradiction(record))
        if payload is not UNSET:
            dropped = self._drop_nulls(payload)
        if self._special:
            moved = self._settle_special(record) or moved
        if not visible:
            self._check_visible(record)
        if record.observation_id is UNSET:
            record.observation_id = self._identify(record)
            dropped -= 1
        elif record.observation_id in {record.corrects, record.retracts}:
            raise UnfitError(Fault("$.observation_id", "an observation cannot replace itself"))
        return _Settled(self.name, happened, dropped, moved)

    def _settle_special(self, record: Any) -> bool:
        """See to the types that few observations have; says whether a time was brought to UTC."""
        moved = self._to_utc(record.entity, self._time_keys, "$.entity")
        if record.payload is not UNSET:
            moved = self._to_utc(record.payload, self._times, "$.payload") or moved
        self._check_choices(record)
        return moved

    def _drop_nulls(self, payload: Any) -> int:
        dropped = 0
        for name in self._nullable:
            if getattr(payload, name) is None:
                setattr(payload, name, UNSET)
                dropped += 1
        return dropped

    def _identify(self, record: Any) -> str:
        values = {"event_time": record.event_time}
        for part in (record.entity, record.payload):
            if part is not UNSET:
                values |= {n: v for n, v in msgspec.structs.asdict(part).items() if v is not UNSET}
        return self._digest(values, _or_none(record.corrects), _or_none(record.retracts))

    def _to_utc(self, part: Any, names: Sequence[str], path: str) -> bool:
        moved = False
        for name in names:
            value = getattr(part, name)
            if value is not UNSET and value is not None and value.tzinfo is not UTC:
                setattr(part, name, _utc(value, f"{path}.{name}"))
                moved = True
        return moved

    def _check_choices(self, record: Any) -> None:
        for name, allowed in self._choices:
            part, path = record.payload, "$.payload"
            if name in self._keys:
                part, path = record.entity, "$.entity"
            value = UNSET if part is UNSET else getattr(part, name)
            if value is not UNSET and value is not None and value not in allowed:
                raise UnfitError(Fault(f"{path}.{name}", f"expected one of {list(allowed)}"))

    def _check_visible(self, record: Any) -> None:
        ids = [
            ("$.observation_id", record.observation_id),
            ("$.decision_id", record.decision_id),
            ("$.corrects", record.corrects),
            ("$.retracts", record.retracts),
            *((f"$.entity.{k}", getattr(record.entity, k)) for k in self._texts),
        ]
        faults = [
            Fault(path, "expected visible characters only, found one that is not shown")
            for path, value in ids
            if value is not UNSET and not _VISIBLE.fullmatch(value)
        ]
        if faults:
            raise UnfitError(*faults)


def _plain_fault(raw: bytes, error: Exception) -> Fault:
    if isinstance(error, msgspec.ValidationError):
        return placed(error)
    return Fault("$", syntax_fault(raw, error))


def _utc(value: datetime, path: str) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise UnfitError(Fault(path, "expected a time in the years 1 to 9999 in UTC")) from None


def _microseconds(moment: datetime) -> int:
    seconds = moment.timestamp()
    if seconds > _EXACT_FROM:  # and not yet to come: whole microseconds survive in a float
        return round(seconds * 1_000_000)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _future(event_time: datetime, now: int) -> Fault:
    here = _EPOCH + timedelta(microseconds=now)
    return Fault(
        "$.event_time",
        f"expected a time that has been, found {event_time.isoformat()} and it is "
        f"{here.isoformat(timespec='seconds')} here",
    )


def _contradiction(record: Any) -> Fault:
    if record.payload is UNSET and record.retracts is UNSET:
        return Fault("$.payload", "required, unless the record retracts another")
    if record.payload is not UNSET:
        return Fault("$.payload", "a record that retracts another has no payload")
    return Fault("$.corrects", "a record corrects another or retracts it, not both")


def _or_none(value: Any) -> str:
    return "" if value is UNSET else str(value)
