"""Taking in wire records in process, until the API's own reader takes its place."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from flywheel_assets.declare.collect import Observation
from flywheel_assets.stores.inbox import Inbox, Received, Rejected

Kinds = Mapping[str, Observation]


def log_observations(inbox: Inbox, kinds: Kinds, records: Iterable[Mapping[str, Any]]) -> None:
    """Put records on disk: those that can be received, and those that cannot with the reason."""
    read = [read_record(json.dumps(record).encode(), kinds) for record in records]
    inbox.put([r for r in read if isinstance(r, Received)])
    inbox.reject([r for r in read if isinstance(r, Rejected)])


def read_record(raw: bytes, kinds: Kinds) -> Received | Rejected:
    """Read one record; its types are checked when it is collected."""
    kind = None
    try:
        record = json.loads(raw)
        kind = record["kind"] if record["kind"] in kinds else None
        missing = [] if record.get("retracts") else _missing(record, kinds[record["kind"]])
        happened = datetime.fromisoformat(record["event_time"]).timestamp()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Rejected(kind, f"$: {error!r}", raw)
    if missing:
        return Rejected(kind, "; ".join(f"$.{n}: required" for n in missing), raw)
    content = json.dumps(record, sort_keys=True).encode()
    given = record.get("observation_id")
    own = given or hashlib.sha256(content).hexdigest()[:32]
    return Received(record["kind"], own, round(happened * 1_000_000), content)


def _missing(record: Mapping[str, Any], observation: Observation) -> list[str]:
    keys = observation.entity.keys
    return [
        f"{part}.{f.name}"
        for f in observation.fields
        for part in ("entity" if f.name in keys else "payload",)
        if not f.nullable and record[part].get(f.name) is None
    ]
