"""Wire records against declarations: what is taken, what is refused and why, and as what."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel_assets import DailyFiles, Entity, Field, Observation
from flywheel_assets.api.identity import float_text
from flywheel_assets.api.intake import TooManyError, parse
from flywheel_assets.api.limits import MAX_RECORD, MAX_RECORDS
from flywheel_assets.api.records import MalformedError, Reader, Refused
from flywheel_assets.flywheels.repurchase import order_line
from flywheel_assets.stages.collect import validate
from flywheel_assets.stores.inbox import Received

NOW = datetime(2026, 2, 1, tzinfo=UTC)
READER = Reader([order_line], clock=lambda: int(NOW.timestamp()) * 1_000_000)
SOUND: dict[str, Any] = {
    "kind": "order_line",
    "observation_id": "till-1:7",
    "event_time": "2026-01-31T12:00:00Z",
    "entity": {"customer_id": 7},
    "payload": {
        "invoice": "536365",
        "stock_code": "85123A",
        "description": "LANTERN",
        "quantity": 6,
        "unit_price": 2.55,
        "country": "France",
    },
}


def record(**changes: Any) -> dict[str, Any]:
    """Change a sound record; a change to None leaves the part out."""
    return {k: v for k, v in (SOUND | changes).items() if v is not None}


def payload(**changes: Any) -> dict[str, Any]:
    """Change a sound record's payload."""
    return record(payload=SOUND["payload"] | changes)


def text(value: Any) -> bytes:
    """Write a record as Python would."""
    return json.dumps(value).encode()


def swap(old: str, new: str) -> bytes:
    """Write a sound record with something in its text exchanged."""
    found = json.dumps(SOUND)
    assert old in found
    return found.replace(old, new).encode()


HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "NaN": (swap("2.55", "NaN"), "$", "NaN"),
    "minus infinity": (swap("2.55", "-Infinity"), "$", "Infinity"),
    "a float beyond floats": (swap("2.55", "1e400"), "$.payload.unit_price", "out of range"),
    "2^70": (swap('"quantity": 6', f'"quantity": {2**70}'), "$.payload.quantity", "<= 922337"),
    "2^63": (swap('"quantity": 6', f'"quantity": {2**63}'), "$.payload.quantity", "<= 922337"),
    "a fraction for a count": (text(payload(quantity=6.5)), "$.payload.quantity", "`int`"),
    "text for a number": (text(payload(quantity="6")), "$.payload.quantity", "`int`, got `str`"),
    "true for a number": (text(payload(quantity=True)), "$.payload.quantity", "`int`, got `bool`"),
    "a number for text": (text(payload(country=3)), "$.payload.country", "`str`, got `int`"),
    "null where there is none": (text(payload(country=None)), "$.payload.country", "got `null`"),
    "below the minimum": (text(payload(unit_price=-1)), "$.payload.unit_price", ">= 0"),
    "an unknown field": (text(payload(quantitty=6)), "$.payload.quantitty", "mean 'quantity'"),
    "a field that is missing": (
        text(record(payload={k: v for k, v in SOUND["payload"].items() if k != "country"})),
        "$.payload.country",
        "required",
    ),
    "a key in the payload": (text(payload(customer_id=7)), "$.payload.customer_id", "unknown"),
    "an unknown part": (text(record(table="fct_order")), "$.table", "unknown field"),
    "a path as a field": (
        text(record(**{"../../etc/passwd": 1})),
        "$['../../etc/passwd']",
        "unknown field",
    ),
    "an unknown kind": (text(record(kind="order_lin")), "$.kind", "did you mean 'order_line'"),
    "no kind": (text(record(kind=None)), "$.kind", "found none"),
    "a kind that is a list": (text(record(kind=["order_line"])), "$.kind", "found none"),
    "a kind that is a path": (text(record(kind="../order_line")), "$.kind", "declared"),
    "an endless kind": (text(record(kind="x" * 60_000)), "$.kind", "declared"),
    "no entity": (text(record(entity=None)), "$.entity", "required"),
    "an entity that is text": (text(record(entity="7")), "$.entity", "`object`, got `str`"),
    "no payload": (text(record(payload=None)), "$.payload", "required"),
    "no time": (text(record(event_time=None)), "$.event_time", "required"),
    "a time without a zone": (
        text(record(event_time="2026-01-31T12:00:00")),
        "$.event_time",
        "timezone",
    ),
    "a time that is a number": (text(record(event_time=1_769_860_800)), "$.event_time", "datetime"),
    "a time that never was": (text(record(event_time="2026-02-30T00:00:00Z")), "$.event_time", ""),
    "a time before the year 1": (
        text(record(event_time="0001-01-01T00:00:00+02:00")),
        "$.event_time",
        "years 1 to 9999",
    ),
    "the future": (
        text(record(event_time="2026-02-01T00:05:01Z")),
        "$.event_time",
        "a time that has been",
    ),
    "NUL in an id": (text(record(observation_id="a\0b")), "$.observation_id", "visible"),
    "a line end in an id": (text(record(observation_id="a\n")), "$.observation_id", "visible"),
    "DEL in an id": (text(record(observation_id="a\x7f")), "$.observation_id", "visible"),
    "a bidirectional override in an id": (
        json.dumps(record(observation_id="a\u202eb"), ensure_ascii=False).encode(),
        "$.observation_id",
        "visible",
    ),
    "an isolate in a decision's id": (
        text(record(decision_id="\u2066a")),
        "$.decision_id",
        "visib",
    ),
    "zero width in what it corrects": (text(record(corrects="a\u200b")), "$.corrects", "visible"),
    "an empty id": (text(record(observation_id="")), "$.observation_id", "length >= 1"),
    "an endless id": (text(record(observation_id="x" * 201)), "$.observation_id", "length <= 200"),
    "an id that is a number": (text(record(observation_id=7)), "$.observation_id", "`str`"),
    "half a surrogate pair": (swap("LANTERN", "\\ud800"), "$", "surrogate"),
    "the other half": (swap("LANTERN", "\\udc00x"), "$", "not JSON"),
    "a surrogate as bytes": (
        swap("LANTERN", "@").replace(b"@", b"\xed\xa0\x80"),
        "$",
        "not UTF-8",
    ),
    "bytes that are no text": (swap("LANTERN", "@").replace(b"@", b"\xff"), "$", "not UTF-8"),
    "a key of bytes that are no text": (
        swap('"country"', '"@"').replace(b"@", b"\xff"),
        "$",
        "not UTF-8",
    ),
    "a byte order mark": (b"\xef\xbb\xbf" + text(SOUND), "$", "not JSON"),
    "UTF-16": (json.dumps(SOUND).encode("utf-16"), "$", "not"),
    "a raw control character": (swap("LANTERN", "\x01"), "$", "not JSON"),
    "a key twice": (
        swap('"quantity": 6', '"quantity": 6, "quantity": 7'),
        "$",
        "'quantity' stands",
    ),
    "a key twice, alike": (swap('"quantity": 6', '"quantity": 6, "quantity": 6'), "$", "twice"),
    "a key twice, once escaped": (
        swap('"quantity": 6', '"quantity": 6, "\\u0071uantity": 7'),
        "$",
        "'quantity' stands twice",
    ),
    "a key twice, its colon evened out": (
        swap('"quantity": 6', '"quantity": 6, "quantity": 7').replace(b"LANTERN", b"A\\u003aB"),
        "$",
        "twice",
    ),
    "a key twice, evened out by a zone": (
        swap('"quantity": 6', '"quantity": 6, "quantity": 7').replace(b"00Z", b"00+0100"),
        "$",
        "twice",
    ),
    "a kind twice": (swap('"kind":', '"kind": "order_line", "kind":'), "$", "'kind' stands twice"),
    "an entity twice": (swap('"entity":', '"entity": {"customer_id": 8}, "entity":'), "$", "twice"),
    "many keys": (text(payload(**{f"k{n}": n for n in range(3_000)})), "$.payload.k0", "unknown"),
    "100,000 keys": (text(payload(**{f"k{n}": n for n in range(100_000)})), "$", f"{MAX_RECORD}"),
    "nested 10,000 deep": (swap("6,", "[" * 10_000 + "]" * 10_000 + ","), "$", "nested too deep"),
    "nested 10,000 deep, unknown": (
        swap('"quantity": 6', '"x": ' + '{"a":' * 5_000 + "1" + "}" * 5_000),
        "$",
        "nested too deep",
    ),
    "never closed": (b'{"kind": "order_line", "payload": {' + b'"a": [' * 1_000, "$", "not JSON"),
    "an array in place of a record": (b"[]", "$", "found an array"),
    "text in place of a record": (b'"order_line"', "$", "found a string"),
    "null in place of a record": (b"null", "$", "found null"),
    "two values": (text(SOUND) + text(SOUND), "$", "not JSON"),
    "a large record": (text(payload(description="x" * MAX_RECORD)), "$", "at most 65536 bytes"),
    "retracts with a payload": (text(record(retracts="a")), "$.payload", "has no payload"),
    "corrects and retracts": (
        text(record(payload=None, corrects="a", retracts="b")),
        "$.corrects",
        "not both",
    ),
    "corrects itself": (text(record(corrects="till-1:7")), "$.observation_id", "replace itself"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_wrong_is_refused_with_its_place_and_reason(case: str) -> None:
    """Alone, on a line and in an array: the fault is the same, and sound neighbours are taken."""
    raw, path, reason = HOSTILE[case]
    alone = READER.one(raw)
    assert isinstance(alone, Refused)
    assert alone.faults[0].path == path
    assert reason in alone.reason
    if b"\n" not in raw:
        before, found, after = READER.lines(text(SOUND) + b"\n" + raw + b"\r\n" + text(SOUND))
        assert isinstance(before, Received)
        assert isinstance(after, Received)
        assert isinstance(found, Refused)
        assert found.faults[0].path == path


@pytest.mark.parametrize("case", HOSTILE)
def test_in_an_array_a_fault_is_of_its_record_or_of_the_array(case: str) -> None:
    """Broken JSON breaks the array; any other fault is one record's."""
    raw, path, reason = HOSTILE[case]
    body = b"[%b,%b]" % (text(SOUND), raw)
    if reason in {"not JSON", "NaN", "Infinity", "surrogate", "not", "nested too deep"}:
        with pytest.raises(MalformedError, match=r"not JSON|nested|UTF-8"):
            READER.array(body)
        return
    first, found = READER.array(body)
    assert isinstance(first, Received)
    assert isinstance(found, Refused)
    assert found.faults[0].path == path
    assert reason in found.reason


SOUND_FORMS: dict[str, dict[str, Any]] = {
    "as it is": SOUND,
    "without what may be left out": payload(description=None),
    "in another time zone": record(event_time="2026-01-31T14:00:00+02:00"),
    "to the microsecond": record(event_time="2026-01-31T12:00:00.000001Z"),
    "at the edge of the tolerance": record(event_time="2026-02-01T00:05:00Z"),
    "a whole price": payload(unit_price=3),
    "with a quote and a line end": payload(description='a "b"\n: c\\'),
    "with other alphabets": payload(description="Füße: 灯籠 🏮", country="Österreich"),
    "with an id of other alphabets": record(observation_id="kasse-ä:1"),
    "the largest number": payload(quantity=2**63 - 1),
    "the smallest number": payload(quantity=-(2**63)),
    "answers a decision": record(decision_id="repurchase:2026-01-30:7"),
    "corrects another": record(corrects="till-1:6"),
    "retracts another": record(retracts="till-1:6", payload=None),
    "without an id": record(observation_id=None),
}


@pytest.mark.parametrize("case", SOUND_FORMS)
def test_what_is_sound_is_taken_alike_by_both_passes(case: str) -> None:
    """However it is written and whatever it stands among, the same record with the same bytes."""
    found = SOUND_FORMS[case]
    plain = json.dumps(found, ensure_ascii=False).encode()
    alone = READER.one(plain)
    assert isinstance(alone, Received), alone
    forms = [text(found), json.dumps(dict(reversed(found.items())), indent=1).encode()]
    for form in forms:
        assert READER.one(form) == alone
        assert READER.array(b"[%b]" % form) == [alone]
        both = READER.array(b"[%b, %b]" % (text(SOUND), form))
        assert both[1] == alone
        assert READER.array(b'[%b, {"kind": 1}]' % form)[0] == alone
    assert READER.lines(plain) == [alone]


def test_equal_content_is_equal_bytes() -> None:
    """Null or left out, whole or with a point, here or in another zone: one record."""
    one = record(payload=SOUND["payload"] | {"description": None, "unit_price": 3})
    other = payload(unit_price=3.0) | {"event_time": "2026-01-31T13:00:00+01:00"}
    del other["payload"]["description"]
    assert READER.one(text(one)) == READER.one(text(other))


numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(numbers.filter(lambda v: v >= 0), st.text(max_size=8), st.integers(0, 10**15)),
        min_size=1,
        max_size=8,
    )
)
def test_an_id_of_content_is_the_one_that_files_give(rows: list[tuple[float, str, int]]) -> None:
    """A record that comes by file and through the API is one observation."""
    assert isinstance(order_line.source, DailyFiles)
    source = replace(order_line.source, time_format=None, columns={}, event_time="at")
    observation = replace(order_line, source=source)
    reader = Reader([observation], clock=lambda: 10**16)
    moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us) for _, _, us in rows]
    records = [
        record(
            observation_id=None,
            event_time=at.isoformat(),
            payload=SOUND["payload"]
            | {"unit_price": price, "stock_code": code, "description": None},
        )
        for (price, code, _), at in zip(rows, moments, strict=True)
    ]
    found = reader.lines(b"\n".join(text(r) for r in records))
    raw = pl.DataFrame([r["payload"] | {"customer_id": 7} for r in records]).with_columns(
        pl.Series("at", moments, dtype=pl.Datetime("us", "UTC")),
        pl.col("description").cast(pl.String),
        _file_day=pl.lit(datetime(2003, 1, 1, tzinfo=UTC).date()),
        _file=pl.lit("f"),
        _line=pl.lit(1, dtype=pl.Int64),
        _problem=pl.lit(None, dtype=pl.String),
        _raw=pl.lit(None, dtype=pl.String),
    )
    wanted = validate(raw, observation, source)["observation_id"].to_list()
    assert [f.observation_id for f in found if isinstance(f, Received)] == wanted


@settings(deadline=None)
@given(numbers)
def test_numbers_are_written_as_polars_writes_them(value: float) -> None:
    """The digest of content depends on it."""
    assert float_text(value) == pl.Series([value]).cast(pl.String).item()


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
PARTS = st.sampled_from([*SOUND, "corrects", "retracts", "x"])


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200) | st.builds(text, ODD), st.booleans())
def test_any_bytes_are_answered(body: bytes, lines: bool) -> None:
    """Whatever is sent, each record is taken or refused with a reason, and nothing else happens."""
    try:
        found = parse(READER, body, lines=lines)
    except (MalformedError, TooManyError):
        return
    assert all(isinstance(f, Received) or (f.faults and f.reason) for f in found)


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(PARTS, ODD, max_size=3),
    st.dictionaries(st.sampled_from([*SOUND["payload"]]), ODD),
)
def test_both_passes_agree(parts: dict[str, Any], fields: dict[str, Any]) -> None:
    """A record is refused or taken the same alone as among others."""
    odd = {**SOUND, "payload": SOUND["payload"] | fields, **parts}
    raw = text(odd)
    alone, (line,) = READER.one(raw), READER.lines(raw)
    assert alone == line
    if isinstance(alone, Received):
        assert READER.array(b"[%b]" % raw) == [alone]


def test_more_records_than_are_taken_are_not_read_one_by_one() -> None:
    """The request is refused as a whole."""
    with pytest.raises(TooManyError):
        parse(READER, b"[" + b"1," * MAX_RECORDS + b"1]", lines=False)
    with pytest.raises(TooManyError):
        parse(READER, b"1\n" * (MAX_RECORDS + 1), lines=True)


def test_every_declared_type_travels() -> None:
    """Each has its own check, as a field and as a key."""
    types = {
        "a_text": pl.String,
        "a_count": pl.Int32,
        "a_flag": pl.Boolean,
        "a_day": pl.Date,
        "a_time": pl.Datetime,
        "a_rate": pl.Float64,
        "a_level": pl.Float64,
        "a_side": pl.String,
    }
    allowed: dict[str, tuple[Any, ...]] = {"a_level": (0.5, 1.0), "a_side": ("left", "right")}
    thing = Entity(name="thing", keys=("a_text", "a_count"), owners=["team:x"], description="T.")
    seen = Observation(
        name="seen",
        entity=thing,
        owners=["team:x"],
        description="S.",
        fields=tuple(
            Field(name=n, dtype=t, description=n, allowed=allowed.get(n)) for n, t in types.items()
        ),
    )
    reader = Reader([seen])
    good = {
        "a_flag": True,
        "a_day": "2026-01-31",
        "a_time": "2026-01-31T01:00:00+01:00",
        "a_rate": 1,
        "a_level": 0.5,
        "a_side": "left",
    }
    whole = {
        "kind": "seen",
        "event_time": "2026-01-31T12:00:00Z",
        "entity": {"a_text": "b", "a_count": 2**31 - 1},
        "payload": good,
    }
    taken = reader.one(text(whole))
    assert isinstance(taken, Received), taken
    assert json.loads(taken.record)["payload"]["a_time"] == "2026-01-31T00:00:00Z"
    wrong = {
        "a_flag": 1,
        "a_day": "2026-01-31T00:00:00Z",
        "a_time": "2026-01-31",
        "a_rate": "1",
        "a_level": 0.7,
        "a_side": "up",
    }
    for name, value in wrong.items():
        found = reader.one(text(whole | {"payload": good | {name: value}}))
        assert isinstance(found, Refused)
        assert [f.path for f in found.faults] == [f"$.payload.{name}"]
    for name, value in {"a_text": "a\u202e", "a_count": 2**31}.items():
        found = reader.one(text(whole | {"entity": {"a_text": "b", "a_count": 1, name: value}}))
        assert isinstance(found, Refused)
        assert [f.path for f in found.faults] == [f"$.entity.{name}"]
