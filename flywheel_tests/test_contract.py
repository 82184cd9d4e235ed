"""A contract, written once: refused by API and collect alike, shown, checked between rows."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel_assets import DeclarationError, Dimension, Entity, Fact, Field, Observation, Reference
from flywheel_assets.api.records import Reader
from flywheel_assets.api.schema import openapi
from flywheel_assets.dagster_assets.build import Build
from flywheel_assets.dagster_assets.collect import collect
from flywheel_assets.dagster_assets.constraints import column_rules
from flywheel_assets.dagster_assets.organize import organize_dimension, organize_fact
from flywheel_assets.stages.checks import organize
from flywheel_assets.stages.collect import validate
from flywheel_assets.stages.contract import check, needed
from flywheel_assets.stages.received import API, as_raw
from flywheel_assets.stores.forgetting.sought import Sought
from flywheel_assets.stores.home import Home, Settings
from flywheel_assets.stores.inbox import Inbox, Received
from flywheel_assets.stores.received import RECEIVED_SCHEMA
from flywheel_tests.clicks import DAY, OWNERS, START, click, us

AT = datetime(2026, 1, 5, 1, tzinfo=UTC)
TYPES: dict[Any, list[Any]] = {
    pl.Int64: [0, 1, 7, -3, 2**40],
    pl.Int32: [0, 1, 7, -3, 2**31 - 1],
    pl.Float64: [0.0, 1.0, 1.5, -3.25, 7.0],
    pl.String: ["a", "b", "", "7"],
    pl.Boolean: [True, False],
    pl.Date: ["2026-01-05", "2025-12-31"],
}
NUMBERS = st.sampled_from([-4, -3.25, 0, 0.5, 1, 7, 8])


@st.composite
def fields(draw: st.DrawFn) -> Field:
    """Draw a field with some rules."""
    dtype = draw(st.sampled_from(list(TYPES)))
    rules: dict[str, Any] = {"nullable": draw(st.booleans())}
    if dtype.is_numeric():
        low, high = sorted([draw(NUMBERS), draw(NUMBERS)])
        rules |= {"minimum": low} if draw(st.booleans()) else {}
        rules |= {"maximum": high} if draw(st.booleans()) else {}
    within: list[Any] = [v for v in TYPES[dtype] if _inside(v, rules)]
    if dtype == pl.Date:
        within = [datetime.fromisoformat(v).date() for v in within]
    some = st.lists(st.sampled_from(within), min_size=1, unique=True)
    listed = draw(st.booleans())
    if within and listed:
        rules["allowed"] = tuple(draw(some))
    return Field(name="value", dtype=dtype, description="A value.", **rules)


def _inside(value: Any, rules: dict[str, Any]) -> bool:
    if isinstance(value, str):
        return True
    low, high = rules.get("minimum"), rules.get("maximum")
    return (low is None or value >= low) and (high is None or value <= high)


def observed(field: Field) -> Observation:
    """Declare an observation of one field and its key."""
    return replace(click, fields=(click.fields[0], field))


@settings(deadline=None, max_examples=60)
@given(field=fields(), data=st.data())
def test_the_api_and_collect_judge_alike(field: Field, data: st.DataObject) -> None:
    """A value of the type is refused by both or by neither; so is one that is missing."""
    observation = observed(field)
    value = data.draw(st.sampled_from([*TYPES[field.dtype.base_type()], None]))
    payload = {} if value is None else {"value": value}
    record = {"kind": "click", "event_time": AT.isoformat(), "entity": {"visitor_id": 1}}
    body = json.dumps({**record, "payload": payload}).encode()
    parsed = Reader([observation], clock=lambda: us(0)).one(body)
    row = {"seq": 1, "status": "accepted", "observation_id": "x", "record": body.decode()}
    times = {"partition_date": START, "known_at": AT, "event_time": AT}
    received = pl.DataFrame([row | times], schema=RECEIVED_SCHEMA)
    reason = validate(as_raw(received, observation), observation, API)["reason"][0]
    assert isinstance(parsed, Received) == (reason is None), (parsed, reason)


def test_the_contract_is_the_apis_schema_and_the_tables() -> None:
    """Bounds, allowed values and what is required stand in /openapi.json and on the page."""
    observation = replace(
        click,
        fields=(
            click.fields[0],
            Field(name="n", dtype=pl.Int64, minimum=1, maximum=9, description="N."),
            Field(name="share", dtype=pl.Float64, allowed=(0.5, 1.0), description="Share."),
            Field(name="how", dtype=pl.String, allowed=("a", "b"), nullable=True, description="H."),
        ),
    )
    document = json.loads(openapi(Reader([observation]), []))
    schema = document["components"]["schemas"]["ClickPayload"]
    assert schema["required"] == ["n", "share"]
    assert (schema["properties"]["n"]["minimum"], schema["properties"]["n"]["maximum"]) == (1, 9)
    assert schema["properties"]["share"]["enum"] == [0.5, 1.0]
    assert {"a", "b"} <= set(schema["properties"]["how"]["anyOf"][0]["enum"])
    rules = column_rules(observation)
    assert rules["n"].other == ["at least 1", "at most 9"]
    assert not rules["n"].nullable
    assert rules["how"].nullable
    assert rules["how"].other == ["one of a, b"]
    assert rules["observation_id"].unique


customer = Entity(name="buyer", keys=("buyer_id",), owners=OWNERS, description="Who buys.")
signup = Observation(
    name="signup",
    entity=customer,
    owners=["team:crm"],
    description="Somebody signed up.",
    fields=(
        Field(name="buyer_id", dtype=pl.Int64, description="Who."),
        Field(name="city", dtype=pl.String, description="Where."),
    ),
)
buyers = Dimension(
    name="buyer",
    entity=customer,
    observation=signup,
    attributes=("city",),
    owners=["team:crm"],
    description="Buyers.",
)
clicks = Fact(
    name="click",
    observation=click,
    owners=OWNERS,
    description="Clicks.",
    unique=("visitor_id", "page"),
    references=(Reference(dimension=buyers, columns=("visitor_id",)),),
)


def put(home: Home, day: int, kind: str, own: str, entity: dict[str, int], **more: Any) -> None:
    """Receive a record at noon of a day."""
    inbox = Inbox(home.inbox, clock=lambda: us(day))
    text = json.dumps({"entity": entity, **more}).encode()
    inbox.put([Received(kind, own, us(day, 1), text)])
    inbox.close()


def run(home: Home, instance: dg.DagsterInstance, day: int, fact: Fact) -> dict[str, Any]:
    """Materialize a day and give the fact's checks, by name."""
    build = Build(home=home, settings=Settings(start=START))
    assets = [
        collect(build, click),
        collect(build, signup),
        organize_fact(build, fact),
        organize_dimension(build, buyers),
    ]
    partition = (START + day * DAY).isoformat()
    result = dg.materialize(
        assets, instance=instance, partition_key=partition, raise_on_error=False
    )
    found = result.get_asset_check_evaluations()
    return {e.check_name: e for e in found if e.asset_key.path[-1] == "fct_click"}


def test_between_rows(tmp_path: Path) -> None:
    """A late dimension loses no fact; two rows of a key stop the run until one is withdrawn."""
    home = Home(tmp_path)
    home.save(Settings(start=START))
    payload = {"page": "a"}
    put(home, 0, "click", "one", {"visitor_id": 1}, payload=payload)
    put(home, 0, "click", "two", {"visitor_id": 2}, payload=payload)
    put(home, 0, "signup", "s", {"buyer_id": 2}, payload={"city": "X"})
    put(home, 1, "click", "again", {"visitor_id": 1}, payload=payload)
    put(home, 2, "signup", "late", {"buyer_id": 1}, payload={"city": "Y"})
    put(home, 2, "click", "mend", {"visitor_id": 1}, retracts="again")
    with dg.DagsterInstance.ephemeral() as instance:
        first = run(home, instance, 0, clicks)
        second = run(home, instance, 1, clicks)
        third = run(home, instance, 2, clicks)
        mended = run(home, instance, 1, clicks)
    table = pl.read_delta(str(home.lakehouse / "organize" / "fct_click"))
    assert sorted(table["observation_id"]) == ["again", "mend", "one", "two"]
    assert first["unique_key"].passed
    assert not first["in_buyer"].passed
    assert first["in_buyer"].severity is dg.AssetCheckSeverity.WARN
    told = first["in_buyer"].description
    assert (
        f"1 value of visitor_id, in 1 row, that organize/dim_buyer does not have, since {START}"
        in told
    )
    assert "have team:crm report them as signup" in told
    assert not second["unique_key"].passed
    assert second["unique_key"].blocking
    told = second["unique_key"].description
    assert f"since {START + DAY}, visitor_id=1 and page=a first" in told
    assert Sought({"visitor_id": "1"}, {"visitor_id": ["visitor_id"]}).mentioned(told)
    assert all(e.passed for e in (*third.values(), *mended.values()))


@pytest.mark.parametrize(
    ("chain", "passes"),
    [
        ("c1>o c2>o", True),
        ("c1>o c2>c1", True),
        ("c1>o c2>o n", False),
        ("c1>o r-o n", True),
        ("c1>o r-c1 n", True),
        ("c1>o r-o n m", False),
        ("r-o c1>o n", False),
        ("r-o", True),
        ("n", False),
    ],
)
def test_one_row_of_an_observation_stands(chain: str, passes: bool) -> None:
    """The last correction counts, none after a withdrawal; ``>`` corrects, ``-`` retracts."""
    told = [step.partition(">" if ">" in step else "-") for step in f"o {chain}".split()]
    rows = pl.LazyFrame(
        {
            "partition_date": [START for _ in told],
            "observation_id": [own for own, _, _ in told],
            "known_at": [AT + n * DAY for n in range(len(told))],
            "corrects": [of if how == ">" else None for _, how, of in told],
            "retracts": [of if how == "-" else None for _, how, of in told],
            "visitor_id": [None if how == "-" else 1 for _, how, _ in told],
            "page": [None if how == "-" else "a" for _, how, _ in told],
        },
        schema_overrides={"corrects": pl.String, "retracts": pl.String},
    )
    fact = replace(clicks, references=())
    assert set(needed(fact)) <= set(rows.collect_schema())
    [found] = check(rows, {}, fact, START)
    assert found.passed is passes, found.message


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Field(name="a", dtype=pl.String, minimum=0, description=""), "for a number"),
        (
            lambda: Field(name="a", dtype=pl.Int64, minimum=2, maximum=1, description=""),
            "not above its maximum",
        ),
        (
            lambda: Field(name="a", dtype=pl.Int64, maximum=float("nan"), description=""),
            "not above its maximum",
        ),
        (lambda: Field(name="a", dtype=pl.Int64, allowed=("x",), description=""), "that are Int64"),
        (
            lambda: Field(name="a", dtype=pl.Int64, allowed=(1, 9), maximum=5, description=""),
            "in range",
        ),
        (lambda: replace(clicks, unique=("pages",)), "did you mean 'page'"),
        (lambda: Reference(dimension=buyers, columns=("visitor_id", "page")), "for each key"),
        (
            lambda: replace(clicks, references=(Reference(dimension=buyers, columns=("page",)),)),
            "by keys of its types",
        ),
        (lambda: Reference(dimension=buyers, severity="eror"), "did you mean 'error'"),  # type: ignore[arg-type]  # the mistake
    ],
)
def test_a_rule_that_cannot_be_is_an_error_at_import(make: Any, said: str) -> None:
    """Rules that contradict themselves or their types are refused where they are declared."""
    with pytest.raises(DeclarationError, match=said):
        make()


@pytest.mark.parametrize(("copies", "said"), [(1, "0 rows"), (2, "1 row"), (3, "2 rows")])
def test_a_check_counts_in_words(copies: int, said: str) -> None:
    """One row is one row, of what is surplus and of what came too late."""
    row = {"partition_date": START, "observation_id": "one", "known_at": AT}
    late = {**row, "observation_id": "late", "known_at": AT + 2 * DAY}
    unique, known = organize(pl.DataFrame([row] * copies + [late] * (copies - 1)))
    surplus = said if copies < 3 else "3 rows"
    assert known.message == f"{said} known only after the day had closed"
    assert unique.message == f"{surplus} beyond the first of the same observation_id"
