"""Generators and filters against their definitions, written out plainly."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any

import numpy as np
import polars as pl
import pytest

from flywheel_assets import AlreadySeen, Flywheel, FlywheelError, FrequencyCap, Generator, Pairs
from flywheel_assets.stages.candidates import candidates, reaches
from flywheel_assets.stages.features import features
from flywheel_assets.stages.generators import suggested
from flywheel_assets.stages.organize import fact_schema
from flywheel_tests.shelf import DAY, START, bought, purchases, shelf

FACT = purchases()
KEYS = ("customer_id", "item_id")
CLOSES = datetime(START.year, START.month, START.day, tzinfo=UTC) + 10 * DAY
WEEK = 7 * DAY


def facts(salt: int = 0) -> pl.DataFrame:
    """Make purchases of twelve days, some of them known late, some withdrawn."""
    rng = np.random.default_rng(salt)
    rows = bought(12, salt=salt).rename({"at": "event_time"})
    late = pl.Series(rng.choice([0, 0, 0, 30, 90], rows.height)) * 3_600_000_000
    rows = rows.with_columns(
        pl.col("event_time").dt.cast_time_unit("us"),
        (pl.col("event_time") + late.cast(pl.Duration("us"))).alias("known_at"),
        pl.format("p{}", pl.int_range(pl.len())).alias("observation_id"),
    )
    gone = rows.sample(6, seed=salt).with_columns(
        pl.col("observation_id").alias("retracts"),
        pl.format("r{}", "observation_id").alias("observation_id"),
        (pl.col("known_at") + pl.duration(hours=20)).alias("known_at"),
    )
    whole = pl.concat([rows, gone], how="diagonal").with_columns(
        pl.col("known_at").dt.date().alias("partition_date"),
        pl.lit(None, dtype=pl.String).alias("decision_id"),
        pl.lit(None, dtype=pl.String).alias("corrects"),
    )
    return whole.select(pl.col(n).cast(t) for n, t in fact_schema(FACT).items())


def visible(rows: pl.DataFrame, within: timedelta = WEEK) -> list[tuple[int, str, datetime]]:
    """List what had happened and was known, and not withdrawn, when the day closed."""
    known = [r for r in rows.iter_rows(named=True) if r["known_at"] < CLOSES]
    gone = {r["retracts"] for r in known if r["retracts"]}
    return [
        (r["customer_id"], r["item_id"], r["event_time"])
        for r in known
        if r["retracts"] is None
        and r["observation_id"] not in gone
        and CLOSES - within <= r["event_time"] < CLOSES
    ]


def generator(kind: Any, n: int, **more: Any) -> Generator:
    """Declare a generator over a week."""
    return Generator(
        name="strength", kind=kind, fact=FACT, window=WEEK, n=n, description="How much.", **more
    )


def found(declared: Generator, rows: pl.DataFrame) -> dict[tuple[int, str], float]:
    """Run a generator for every customer, and one who never bought."""
    everybody = pl.DataFrame({"customer_id": range(14)})
    made = suggested(declared, rows.sample(fraction=1, shuffle=True), everybody, KEYS, CLOSES)
    assert made.select(KEYS).n_unique() == made.height
    return {(who, what): strength for who, what, strength in made.iter_rows()}


def best(strengths: dict[str, float], n: int) -> dict[str, float]:
    """Keep the strongest; of equals the first by name."""
    return dict(sorted(strengths.items(), key=lambda pair: (-round(pair[1], 9), pair[0]))[:n])


@pytest.mark.parametrize("salt", range(3))
def test_popular(salt: int) -> None:
    """The items of the most customers, the same for everybody."""
    rows = facts(salt)
    buyers: dict[str, set[int]] = {}
    for who, what, _ in visible(rows):
        buyers.setdefault(what, set()).add(who)
    wanted = best({what: float(len(they)) for what, they in buyers.items()}, 3)
    assert found(generator("popular", 3), rows) == {
        (who, what): strength for who in range(14) for what, strength in wanted.items()
    }


@pytest.mark.parametrize("salt", range(3))
def test_recent(salt: int) -> None:
    """The customer's own, the last first; as strong as it is young, in days below zero."""
    rows = facts(salt)
    last: dict[int, dict[str, float]] = {}
    for who, what, when in visible(rows):
        age = -(CLOSES - when) / DAY
        mine = last.setdefault(who, {})
        mine[what] = max(mine.get(what, age), age)
    made = found(generator("recent", 2), rows)
    wanted = {(who, what): s for who, mine in last.items() for what, s in best(mine, 2).items()}
    assert made.keys() == wanted.keys()
    assert all(made[key] == pytest.approx(wanted[key]) for key in wanted)


@pytest.mark.parametrize("n", [2, 99])
@pytest.mark.parametrize("few", [0, 4_000])
@pytest.mark.parametrize("salt", range(3))
def test_co_occurrence(salt: int, few: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosines of the new item with each that the customer has, added up."""
    monkeypatch.setattr("flywheel_assets.stages.generators._FEW_ITEMS", few)
    monkeypatch.setattr("flywheel_assets.stages.generators._CELLS", 20)
    rows = facts(salt)
    has: dict[int, set[str]] = {}
    of: dict[str, set[int]] = {}
    for who, what, _ in visible(rows):
        has.setdefault(who, set()).add(what)
        of.setdefault(what, set()).add(who)
    wanted: dict[tuple[int, str], float] = {}
    for who, mine in has.items():
        strengths = {
            new: sum(len(of[new] & of[own]) / sqrt(len(of[new]) * len(of[own])) for own in mine)
            for new in of.keys() - mine
        }
        related = {new: s for new, s in strengths.items() if s > 0}
        wanted |= {(who, what): s for what, s in best(related, n).items()}
    made = found(generator("co_occurrence", n), rows)
    if n == 99:
        assert made.keys() == wanted.keys()
        assert all(made[key] == pytest.approx(wanted[key]) for key in wanted)
    else:  # equals may round apart
        assert sorted(made.values()) == pytest.approx(sorted(wanted.values()))


def test_a_generator_looks_only_where_it_is_told() -> None:
    """``where`` holds of every row that counts."""
    some = pl.col("item_id").is_in(["i1", "i2"])
    made = found(generator("popular", 5, where=some), facts())
    assert {what for _, what in made} == {"i1", "i2"}


@pytest.mark.parametrize("kind", ["popular", "recent", "co_occurrence"])
def test_nothing_is_suggested_from_nothing(kind: str) -> None:
    """No rows, no pairs."""
    assert found(generator(kind, 3), facts().clear()) == {}


def considered(flywheel: Flywheel, rows: pl.DataFrame, **more: Any) -> pl.DataFrame:
    """Find the candidates of the day."""
    day = CLOSES.date() - DAY
    snapshots = {view: features(rows, {}, view, [day]) for view in flywheel.views}
    return candidates(snapshots, flywheel, {flywheel.outcome.fact: rows}, **more)


def keyed(frame: pl.DataFrame) -> set[tuple[int, str]]:
    """List the pairs."""
    return set(frame.select(KEYS).iter_rows())


def test_pairs_are_merged() -> None:
    """One row for each pair that one generator suggests, with what each of them says of it."""
    rows, flywheel = facts(), shelf()
    made = considered(flywheel, rows)
    assert made.equals(made.sort(KEYS))
    buyers = set(made["customer_id"])
    for declared in flywheel.policy.generators:
        everybody = pl.DataFrame({"customer_id": sorted(buyers)})
        wanted = suggested(declared, rows, everybody, KEYS, CLOSES).sort(KEYS)
        has = made.drop_nulls(declared.name).select(*KEYS, declared.name).sort(KEYS)
        assert has.equals(wanted)
    nothing = pl.all_horizontal(pl.col(g.name).is_null() for g in flywheel.policy.generators)
    assert made.filter(nothing).is_empty()
    assert made.select(KEYS).n_unique() == made.height
    assert made["buys_30d"].null_count() == 0


def test_for_whom_pairs_are_considered() -> None:
    """Those of the view for whom ``where`` holds."""
    flywheel = shelf()
    some = flywheel.policy.candidates
    assert isinstance(some, Pairs)
    policy = replace(flywheel.policy, candidates=replace(some, where=pl.col("buys_30d") > 10))
    made = considered(replace(flywheel, decisions=policy), facts())
    assert made.height
    assert (made["buys_30d"] > 10).all()


def test_what_was_seen_is_left_out() -> None:
    """Pairs by both keys, entities by theirs; within the time that is declared, or ever."""
    rows = facts()
    everything = considered(shelf(), rows)
    for within in (2 * DAY, None):
        flywheel = shelf()
        seen = AlreadySeen(fact=flywheel.outcome.fact, within=within)
        policy = replace(flywheel.policy, filters=(seen,))
        made = considered(replace(flywheel, decisions=policy), rows)
        had = {(who, what) for who, what, _ in visible(rows, within or 99 * DAY)}
        assert keyed(made) == keyed(everything) - had
        assert keyed(everything) & had
        # The generators' week, and a day more: a clock may be a little ahead.
        assert reaches(policy)[flywheel.outcome.fact] == (None if within is None else 8 * DAY)


def test_a_frequency_cap_counts_what_was_published() -> None:
    """Acted on so many times within the span, its beginning included, by this flywheel."""
    rows = facts()
    flywheel = shelf(filters=(FrequencyCap(times=2, within=3 * DAY),))
    everything = considered(shelf(), rows)
    who, what = next(iter(sorted(keyed(everything))))

    def left(*published: tuple[str, str, int]) -> bool:
        made = pl.DataFrame(
            {
                "flywheel": [p[0] for p in published],
                "action": [p[1] for p in published],
                "decided_at": [CLOSES - p[2] * DAY for p in published],
                "entity_id": [f"{who}|{what}"] * len(published),
            },
            schema_overrides={"decided_at": pl.Datetime("us", "UTC")},
        )
        found = considered(flywheel, rows, published=made)
        assert keyed(everything) - keyed(found) <= {(who, what)}
        return (who, what) in keyed(found)

    assert left(("shelf", "show", 1))
    assert not left(("shelf", "show", 1), ("shelf", "show", 3))
    assert left(("shelf", "show", 1), ("shelf", "show", 4))
    assert left(("shelf", "show", 1), ("shelf", "show", 0))
    assert left(("shelf", "show", 1), ("shelf", "hold", 2))
    assert left(("shelf", "show", 1), ("other", "show", 2))
    former = ("shelf", "a former name", 2)
    assert not left(("shelf", "show", 1), former, ("shelf", "hold", 2))
    assert left(former, ("shelf", "show", 2))
    with pytest.raises(FlywheelError, match="fct_decision"):
        considered(flywheel, rows)
