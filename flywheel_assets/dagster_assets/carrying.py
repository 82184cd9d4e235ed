"""What partitions need not be made again for: other names, wider types, easier contracts."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from flywheel_assets.changes.columns import Rules
from flywheel_assets.changes.meaning import Meaning
from flywheel_assets.changes.plan import easier
from flywheel_assets.declare.field import Field
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.shape import Columns
from flywheel_assets.stages.collect import REJECTED_SCHEMA, dump_schema, observation_schema
from flywheel_assets.stages.organize import dimension_schema, fact_schema
from flywheel_assets.stores.declared import Declared, Epoch
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.tables import Tables


def evolving(flywheels: Sequence[Flywheel]) -> dict[str, Columns]:
    """Give the columns of the tables in which observed fields stand."""
    things = catalog(flywheels)
    return {
        **{f"collect/{o.name}": observation_schema(o) for o in things.observations},
        **{
            f"collect/{o.name}_in_dump": Columns(dump_schema(o), o.fields)
            for o in things.observations
            if o.is_full_dump
        },
        **{f"organize/fct_{f.name}": fact_schema(f) for f in things.facts},
        **{f"organize/dim_{d.name}": dimension_schema(d) for d in things.dimensions},
    }


def carry(
    home: Home,
    flywheels: Sequence[Flywheel],
    meaning: Meaning,
    table: str,
    spans: Sequence[tuple[date, date]],
) -> None:
    """Keep partitions under a new declaration: columns get the names and types that they have now.

    Killed on the way it has only to be done again.
    """
    columns = evolving(flywheels)
    for name in (table, f"{table}_in_dump"):
        if name in columns:
            Tables(home.lakehouse).evolve(name, columns[name])
    for first, last in spans:
        Declared(home.declared).record(table, first, last, meaning)


def stricter(
    tables: Tables,
    flywheels: Sequence[Flywheel],
    after: Mapping[str, Meaning],
    epochs: Mapping[str, Sequence[Epoch]],
) -> Rules:
    """Give the contracts that partitions were made by, where an easier one changes none of them.

    That is where no record was rejected for the field: all that there was is there.
    """
    found: dict[str, dict[str, Sequence[Any]]] = {}
    for observation in catalog(flywheels).observations:
        table = f"collect/{observation.name}"
        for field in observation.fields:
            now = after[table].rules[field.name]
            older = [(e, old) for e in epochs[table] if (old := _rules(e, field)) is not None]
            eased = [(epoch, old) for epoch, old in older if easier(old, now)]
            if eased and not any(_rejected(tables, table, field, epoch) for epoch, _ in eased):
                found.setdefault(table, {})[field.name] = eased[0][1]
    return found


def _rules(epoch: Epoch, field: Field) -> Sequence[Any] | None:
    rules = epoch.meaning.rules
    return next((rules[n] for n in (field.name, *field.old_names) if n in rules), None)


def _rejected(tables: Tables, table: str, field: Field, epoch: Epoch) -> bool:
    # What the API refused says `$.payload.<name>`: it is received again by `replay-rejected`.
    names = "|".join((field.name, *field.old_names))
    rows = tables.read(f"{table}_rejected", REJECTED_SCHEMA, epoch.first, epoch.last)
    told = pl.col("reason").str.contains(rf"(^|; )({names}): ")
    return bool(rows.select(told.any()).collect().item())
