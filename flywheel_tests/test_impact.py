"""`flywheel impact` against brute force: a column's data changed, and what comes out different."""

from collections.abc import Iterable
from itertools import product

import pytest

from flywheel_assets import Flywheel
from flywheel_assets.changes import Lineage, lineage
from flywheel_assets.changes.graph import Column
from flywheel_assets.declare.flywheel import catalog
from flywheel_assets.flywheels import FLYWHEELS
from flywheel_assets.flywheels.recommendation import recommendation
from flywheel_assets.flywheels.shop_contacts import shop_contacts
from flywheel_tests.disturbed import world
from flywheel_tests.drawn import small

WHEELS = (*FLYWHEELS, shop_contacts)
TRIES = 18
CLOCK = {"as_of", "valid_from"}
"""What the clock says, not the data."""
UNSEEN = {
    # Of ids only the order counts, and whether there is any value does not depend on that.
    (Column("collect/listed_lead", "observation_id"), "called_before"),
    (Column("organize/fct_listed_lead", "observation_id"), "called_before"),
}
"""What is named although it cannot change: what an expression makes of values is not looked at."""
EXACT = ("collect/", "organize/", "features/")
"""Where each column of a table is told apart; what a model decides is told by table."""


def made_of(graph: Lineage, column: Column) -> set[Column]:
    """Give what `flywheel impact` answers."""
    below = {Column(c.table, c.name) for c in graph.downstream([column])}
    return below - {column}


def disturbed(wheel: Flywheel, graph: Lineage) -> list[Column]:
    """Name the columns that are tried: all before the model.

    Without what is not data: the clock, and times that collect takes from each other.
    """
    derived = {
        Column(f"collect/{o.name}", "event_time")
        for o in catalog([wheel]).observations
        if o.source and o.source.event_time is None
    }
    return [
        column
        for column in graph
        if column.table.startswith(EXACT)
        and not (column.part or column in derived or column.name in CLOCK)
    ]


def told(columns: Iterable[Column]) -> tuple[set[str], set[Column]]:
    """Give the tables, and the columns of those that are told apart by column."""
    columns = list(columns)
    exact = {c for c in columns if c.table.startswith(EXACT) and not c.table.endswith("decision")}
    return {c.table for c in columns}, exact


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)
def test_impact_is_what_changes(wheel: Flywheel) -> None:
    """Whichever column is changed, nothing changes that is not named, and all tables that are
    named change, by column before the model; after it, each column that is named for any.
    """
    graph, wrong = lineage([small(wheel)]), list[str]()
    tried = {column: made_of(graph, column) for column in disturbed(wheel, graph)}
    ever = set[Column]()
    for column, named in tried.items():
        changed = set[Column]()
        certain = told({c for c in named if (column, c.name) not in UNSEEN})
        for number in range(TRIES):
            changed |= world(wheel, number % 3).changed(column, number // 3)
            found = told(changed)
            if found == certain:
                break
        wrong += [f"{column} changes {other}" for other in sorted(changed - named)]
        lacking = [*sorted(certain[0] - found[0]), *map(str, sorted(certain[1] - found[1]))]
        wrong += [f"{column} does not change {other}" for other in lacking]
        ever |= changed
    vain = set[Column]().union(*tried.values()) - ever
    for number, (column, named) in product(range(TRIES), tried.items()):
        if vain & named:
            vain -= world(wheel, number % 3).changed(column, number // 3)
    wrong += [f"nothing changes {other}" for other in sorted(vain)]
    assert not wrong


def test_which_items_are_paired_is_not_what_is_known_of_them() -> None:
    """Generators name the items of pairs: others in a view of items change no pair."""
    graph, keys = lineage([small(recommendation)]), set(recommendation.entity.keys)
    item = Column("features/product_demand", "stock_code")
    changed = set().union(*(world(recommendation, n).changed(item, 1) for n in range(3)))
    for found in (made_of(graph, item), changed):
        of_pairs = {c.name for c in found if c.table == "recommendation/decisions"}
        assert "score" in of_pairs
        assert not of_pairs & keys


def test_upstream_is_the_inverse() -> None:
    """A column is upstream of exactly those that are downstream of it."""
    graph = lineage(FLYWHEELS)
    every = [*graph]
    down = {(a, b) for a in every for b in graph.downstream([a])}
    up = {(a, b) for b in every for a in graph.upstream([b])}
    assert down == up
    assert len(down) > len(every)


def test_flywheels_side_by_side_do_not_touch() -> None:
    """What a flywheel logs teaches no other, though all log into one table."""
    together = lineage(FLYWHEELS)
    for wheel in FLYWHEELS:
        alone = lineage([wheel])
        for column in alone:
            mine = {
                c
                for c in together.downstream([column])
                if c.table in alone.tables and c.part.split(":")[0] in {"", wheel.name}
            }
            assert mine == set(alone.downstream([column])), column
