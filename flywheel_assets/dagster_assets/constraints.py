"""What the UI shows that each column must be: the contract, as column constraints."""

import dagster as dg

from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.organize import Dimension, Fact
from flywheel_assets.declare.rules import OBSERVATION_ID


def column_rules(table: Observation | Fact | Dimension) -> dict[str, dg.TableColumnConstraints]:
    """Give the constraints of a table's columns, by name.

    A retraction has no payload, whatever the fields say of null; a dimension tells an entity's
    attributes anew whenever they change, so that its keys are not unique.
    """
    observation = table if isinstance(table, Observation) else table.observation
    fields = {f.name: f for f in observation.fields}
    unique = {OBSERVATION_ID}
    if isinstance(table, Dimension):
        fields = {name: fields[name] for name in (*table.entity.keys, *table.attributes)}
        unique = set()
    other = {name: list(f.rules) for name, f in fields.items()}
    if isinstance(table, Fact):
        unique |= {*table.unique} if len(table.unique) == 1 else set()
        for name, told in _between(table):
            other.setdefault(name, []).append(told)
    nullable = {name: f.nullable for name, f in fields.items()} | {OBSERVATION_ID: False}
    return {
        name: dg.TableColumnConstraints(
            nullable=nullable.get(name, True), unique=name in unique, other=other.get(name, [])
        )
        for name in (*other, *sorted(unique - {*other}))
    }


def _between(fact: Fact) -> list[tuple[str, str]]:
    """Say of columns what must hold between rows."""
    told = [
        (name, "unique together with " + ", ".join(n for n in fact.unique if n != name))
        for name in fact.unique
        if len(fact.unique) > 1
    ]
    for reference in fact.references:
        keys = reference.dimension.entity.keys
        told += [
            (c, f"in {reference.table}.{k}") for c, k in zip(reference.columns, keys, strict=True)
        ]
    return told
