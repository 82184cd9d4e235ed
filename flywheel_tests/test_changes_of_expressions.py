"""A flywheel's own expressions: what is made of them changes with them, in the plan, too."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from flywheel_assets import Expression, Flywheel, TopK
from flywheel_assets.changes.graph import Column
from flywheel_assets.changes.meaning import meanings
from flywheel_assets.changes.plan import Change, plan
from flywheel_assets.changes.stages import lineage
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.flywheels.shop_contacts import shop_contacts

DECIDED = {"rank", "action", "propensity", "explored"}


def planned(was: Flywheel, edited: Flywheel) -> dict[str, Change]:
    """Plan a change of one flywheel, by table."""
    return {change.table: change for change in plan(meanings([was]), meanings([edited]))}


def of_worth(made: pl.Expr, **policy: Any) -> Flywheel:
    """Decide by an expression of an expression, of which no model knows."""
    return replace(
        repurchase,
        expressions=(
            Expression(name="half_worth", expression=made, description="Half of it."),
            Expression(name="worth", expression=pl.col("half_worth") * 2, description="All."),
        ),
        decisions=replace(repurchase.policy, **policy),
    )


@pytest.mark.parametrize(
    ("policy", "changed", "touched"),
    [
        ({"candidates": pl.col("worth") > 0}, {"*"}, {"score", *DECIDED}),
        ({"bootstrap": pl.col("worth")}, {"score"}, DECIDED),
        (
            {"allocation": TopK(capacity=200, action="contact", each="worth")},
            {"action"},
            set[str](),
        ),
        ({"baselines": {"worth": pl.col("worth")}}, set[str](), set[str]()),
    ],
)
def test_what_decides_changes_with_what_it_is_made_of(
    policy: dict[str, Any], changed: set[str], touched: set[str]
) -> None:
    """Decisions are in the plan where their policy looks at what changed, and only there."""
    was = of_worth(pl.col("orders_90d"), **policy)
    found = planned(was, of_worth(pl.col("orders_90d") - 1, **policy))
    assert {*found["repurchase/training_set"].changed} == {"half_worth"}
    assert {*found["repurchase/training_set"].touched} == {"worth"}
    assert ("repurchase/decisions" in found) == bool(changed)
    if changed:
        assert {*found["repurchase/decisions"].changed} == changed
        assert touched <= {*found["repurchase/decisions"].touched}
    assert not planned(was, of_worth(pl.col("orders_90d"), **policy))


def test_a_model_changes_with_what_its_features_are_made_of() -> None:
    """It takes what is left of a contact; how many days ago that was changes, too, what is left."""
    rest = tuple(name for name in shop_contacts.model.features if name != "log_contact_days")
    was = replace(shop_contacts, model=replace(shop_contacts.model, features=rest))
    expressions = tuple(
        replace(own, expression=own.expression * 2) if own.name == "log_contact_days" else own
        for own in was.expressions
    )
    found = planned(was, replace(was, expressions=expressions))
    assert {*found["shop_contacts/training_set"].touched} == {"contact_left"}
    assert "version" in found["shop_contacts/model"].touched
    assert "score" in found["shop_contacts/decisions"].touched
    days, left = (
        Column("shop_contacts/training_set", name) for name in ("log_contact_days", "contact_left")
    )
    assert left in lineage([was]).downstream([days])
