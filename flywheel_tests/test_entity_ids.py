"""Different entities have different ids, and each is read by its own."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from flywheel_assets.api.client import Local
from flywheel_assets.api.entities import Entities
from flywheel_assets.dagster_assets.whom import entity_of, sought_for
from flywheel_assets.declare.entity_ids import joined, read, written
from flywheel_assets.declare.flywheel import catalog
from flywheel_assets.flywheels.recommendation import recommendation
from flywheel_assets.stages.decisions import decision_id, decision_schema, entity_id
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables
from flywheel_tests.serving import DAY
from flywheel_tests.shelf import shelf

KEY = st.text(st.sampled_from("x|~01:\\"), max_size=5)
PAIRS = st.lists(st.tuples(KEY, KEY), min_size=1, max_size=20, unique=True)
BOTH = [pl.col("one"), pl.col("other")]


@given(PAIRS)
def test_different_keys_have_different_ids(pairs: list[tuple[str, str]]) -> None:
    """Each id is read back as its keys; without a bar or what is like one written, as it was."""
    frame = pl.DataFrame(pairs, schema=["one", "other"], orient="row")
    ids = frame.select(joined(BOTH)).to_series().to_list()
    assert len(set(ids)) == len(pairs)
    assert [tuple(map(read, one.split("|"))) for one in ids] == pairs
    assert ids == ["|".join(map(written, pair)) for pair in pairs]
    for (one, other), found in zip(pairs, ids, strict=True):
        if not any(like in key for key in (one, other) for like in ("|", "~0", "~1")):
            assert found == f"{one}|{other}"


@given(KEY)
def test_a_key_that_is_alone_stands_as_it_is(key: str) -> None:
    """There is nothing that it could be taken for."""
    assert pl.DataFrame({"one": [key]}).select(joined(BOTH[:1])).item() == key


def test_items_whose_ids_have_a_bar_are_read_by_all_their_keys(tmp_path: Path) -> None:
    """Through the API, by a path and by a body, newest and as of a moment."""
    items, schema = ["a|b", "a~1b", "b"], decision_schema(recommendation)
    night = datetime(2026, 1, 31, tzinfo=UTC)
    keys = pl.DataFrame({"customer_id": [1] * 3, "stock_code": items}).with_columns(
        pl.lit(night).cast(pl.Datetime("us", "UTC")).alias("as_of")
    )
    made = keys.with_columns(
        entity_id(recommendation),
        decision_id(recommendation),
        partition_date=pl.lit(DAY),
        action=pl.lit(recommendation.policy.acting[0]),
        rank=pl.int_range(1, 4),
        decided_at="as_of",
    )
    frame = made.select(
        pl.col(c).cast(t) if c in made.columns else pl.lit(None, t).alias(c)
        for c, t in schema.items()
    )
    home = Home(tmp_path)
    Tables(home.lakehouse).replace("recommendation/decisions", frame, schema, DAY, DAY)
    wanted = [{"customer_id": 1, "stock_code": item} for item in items]
    with closing(Local(home, [recommendation])) as api:
        for moment in (None, night):
            found = api.get_decisions("recommendation", wanted, as_of=moment)
            assert [one and one["entity"]["stock_code"] for one in found] == items
    of = Entities(recommendation)
    paths = [of.from_path(f"1|{written(item)}") for item in items]
    assert paths == [of.from_body(one) for one in wanted]


def test_a_decision_about_a_key_with_a_bar_is_forgotten() -> None:
    """Where its id stands in another row, too, and no other pair's."""
    keys = {"item_id": "a|b"}
    things = catalog([shelf()])
    ids = pl.DataFrame({"decision_id": [f"shelf:{DAY}:1|{i}" for i in ("a~1b", "a", "b", "a~01b")]})
    theirs = sought_for(things, entity_of(things, keys), keys)
    assert ids.select(theirs.rows(ids.schema)).to_series().to_list() == [True, False, False, False]
