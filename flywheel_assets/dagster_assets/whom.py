"""Whom a request to forget is about: keys of a declared entity, and how they may be written."""

from collections.abc import Mapping

import polars as pl

from flywheel_assets.declare.collect import Entity
from flywheel_assets.declare.flywheel import Catalog
from flywheel_assets.errors import HomeError, nearest
from flywheel_assets.stores.forgetting.sought import Sought


def entity_of(things: Catalog, keys: Mapping[str, str]) -> Entity:
    """Find the declared entity that has these keys.

    Raises
    ------
    HomeError
        For none.
    """
    declared = [
        *(o.entity for o in things.observations),
        *(v.entity for v in things.views),
        *(f.entity for f in things.flywheels),
    ]
    for entity in declared:
        if set(entity.keys) == set(keys):
            return entity
    known = [" ".join(f"{key}=..." for key in entity.keys) for entity in declared]
    raise HomeError(
        expected="the keys of a declared entity",
        found=" ".join(f"{key}=..." for key in keys) or "none",
        remedy=nearest(" ".join(f"{key}=..." for key in keys), set(known)),
    )


def sought_for(things: Catalog, entity: Entity, keys: Mapping[str, str]) -> Sought:
    """Say what is looked for.

    Raises
    ------
    HomeError
        For a value that is not of its key's type.
    """
    names: dict[str, list[str]] = {key: [key] for key in entity.keys}
    values = dict(keys)
    for observation in things.observations:
        for key in names.keys() & observation.schema.keys():
            if observation.source is not None:
                names[key].append(observation.source.source_column(key))
            values[key] = _value(key, keys[key], observation.schema[key])
    wheels = {f.name: f.entity.keys for f in things.flywheels if set(keys) <= set(f.entity.keys)}
    whole = (k for o in things.observations for k, t in o.schema.items() if t.is_integer())
    integers = frozenset(names.keys() & set(whole))
    return Sought({key: values[key] for key in entity.keys}, names, wheels, integers=integers)


def _value(key: str, text: str, dtype: pl.DataType) -> str:
    """Write a value as it is stored."""
    if not dtype.is_integer() and text:
        return text
    try:
        return str(int(text))
    except ValueError:
        raise HomeError(
            expected=f"{key} as {dtype}, as it is declared",
            found=repr(text),
            remedy=f"write {key}=VALUE",
        ) from None
