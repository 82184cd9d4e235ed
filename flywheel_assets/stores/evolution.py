"""Data from before a column was renamed, widened or added, read and rewritten as it is now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flywheel_assets.declare.rules import PARTITION, RETRACTS
from flywheel_assets.declare.shape import Columns
from flywheel_assets.errors import FlywheelError
from flywheel_assets.stores import data_files, delta_log
from flywheel_assets.stores.data_files import DataFile

WIDER = frozenset(
    {(pl.Int32(), pl.Int64()), (pl.Int32(), pl.Float64()), (pl.Int64(), pl.Float64())}
)
"""Types whose values another holds, whole numbers up to 2**53 as floats."""


def as_declared(stored: Mapping[str, Any], schema: Mapping[str, Any]) -> list[pl.Expr]:
    """Read a stored table in the columns that are declared.

    A column is looked for under its older names, too, cast where it was narrower, and filled with
    its default, in all rows but retractions, which have no payload. One that is not there is null.
    """
    olds, defaults = _told(schema)
    found = []
    for name, dtype in schema.items():
        held = [
            pl.col(n).cast(dtype) if (stored[n], dtype) in WIDER else pl.col(n)
            for n in _held(name, stored, olds)
        ]
        # Where it stands under two names, someone wrote by the old declaration after the new one.
        value = pl.coalesce(held) if len(held) > 1 else (*held, pl.lit(None, dtype=dtype))[0]
        if name in defaults:
            lacks = value.is_null()
            if RETRACTS in stored:
                lacks &= pl.col(RETRACTS).is_null()
            value = pl.when(lacks).then(pl.lit(defaults[name], dtype=dtype)).otherwise(value)
        found.append(value.alias(name))
    return found


def outdated(stored: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, str]:
    """Say which stored columns have another name or a wider type by now, and their names now."""
    olds, _ = _told(schema)
    held = [(name, old) for name in schema for old in _held(name, stored, olds)[:1]]
    return {old: name for name, old in held if old != name or (stored[old], schema[name]) in WIDER}


def rewrite(
    folder: Path, names: Mapping[str, str], standing: list[DataFile], schema: Mapping[str, Any]
) -> list[delta_log.Action]:
    """Write a table's files anew as its columns are by now, a file at a time.

    ``names`` are what `outdated` found.

    Raises
    ------
    FlywheelError
        For a whole number that the wider type cannot hold.
    """
    actions: list[delta_log.Action] = []
    try:
        for file in standing:
            frame = pl.read_parquet(folder / file.path, glob=False, hive_partitioning=False)
            there = {old: name for old, name in names.items() if old in frame.columns}
            exact = [_exact(frame[old], schema[name]) for old, name in there.items()]
            now = frame.with_columns(exact).rename(there)
            dated = now.with_columns(pl.lit(file.day).alias(PARTITION))
            actions += data_files.write(folder, dated, [file.day])
            actions.append(delta_log.remove(file.path, str(file.day), file.size))
    except (FlywheelError, OSError):
        data_files.discard(folder, actions)
        raise
    return actions


def _exact(values: pl.Series, dtype: Any) -> pl.Series:
    cast = values.cast(dtype)
    if not cast.cast(values.dtype, strict=False).equals(values):
        raise FlywheelError(
            expected=f"values of {values.name} that {dtype} holds exactly",
            found="whole numbers beyond 2**53",
            remedy="keep the type, or declare a new column beside it",
        )
    return cast


def _told(schema: Mapping[str, Any]) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, Any]]:
    return (schema.old_names, schema.defaults) if isinstance(schema, Columns) else ({}, {})


def _held(name: str, stored: Mapping[str, Any], olds: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [n for n in (name, *reversed(olds.get(name, ()))) if n in stored]
