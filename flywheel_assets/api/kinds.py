"""One kind of record: its types, what it must be beyond them, and its canonical form."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import polars as pl
from msgspec import UNSET

from flywheel_assets.api import wire
from flywheel_assets.api.faults import Fault, UnfitError
from flywheel_assets.api.identity import content_id
from flywheel_assets.declare.collect import Observation

_EXACT_FROM = -2_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VISIBLE = re.compile(wire.ID_PATTERN)


class Settled(NamedTuple):
    """What settling a record found out.

    ``dropped`` counts the keys that canonical form leaves out, less those that it adds; ``moved``
    says that a time was brought to UTC.
    """

    kind: str
    event_time: int
    dropped: int
    moved: bool


class Kind:
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
        self._newer_names = {old: f.name for f in observation.fields for old in f.old_names}
        self._tolerance = observation.clock_tolerance // timedelta(microseconds=1)

    def settle(self, record: Any, now: int, *, visible: bool) -> Settled:
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
        return Settled(self.name, happened, dropped, moved)

    def newer(self, record: Any) -> bool:
        """Call what a decoded JSON record calls by an old name as it is called now, in place.

        Returns
        -------
        bool
            Whether there was any.

        Raises
        ------
        UnfitError
            For a record that says both names.
        """
        payload = record.get("payload")
        if not isinstance(payload, dict):
            return False
        stale = [n for n in payload if n in self._newer_names]
        for name in stale:
            newer = self._newer_names[name]
            if newer in payload:
                said = f"expected it once, found {newer}, its name by now, too"
                raise UnfitError(Fault(f"$.payload.{name}", said))
            payload[newer] = payload.pop(name)
        return bool(stale)

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
