"""Which of a declaration's expressions cannot be computed from the columns that it names."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.stages.features import feature_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.seen import seen_schema

_Columns: TypeAlias = Mapping[str, pl.DataType]
_Expressions: TypeAlias = Mapping[str, pl.Expr | None]


def failing(flywheel: Flywheel) -> str | None:
    """Name the first expression, in the order of the loop, that fails on columns without a row.

    None where each can be computed by itself, or what comes before them cannot.
    """
    for schema_of, expressions in _by_table(flywheel):
        nothing = _without_rows(schema_of)
        if nothing is None:
            continue
        for name, expression in expressions.items():
            if expression is not None and not _works(nothing, expression):
                return f"{name}, {expression}"
    return None


def _without_rows(schema_of: Callable[[], _Columns]) -> pl.DataFrame | None:
    try:
        return pl.DataFrame(schema=schema_of())
    except Exception:  # noqa: BLE001  whatever it is, another expression is at fault for it
        return None


def _works(nothing: pl.DataFrame, expression: pl.Expr) -> bool:
    try:
        nothing.select(expression)
    except Exception:  # noqa: BLE001  a Python function may raise anything
        return False
    return True


def _by_table(flywheel: Flywheel) -> Iterator[tuple[Callable[[], _Columns], _Expressions]]:
    """Give the expressions of a flywheel, and the columns of the table that each is computed on."""
    for view in flywheel.views:
        where = {f"where= of feature {a.name!r}": a.where for a in view.aggregations}
        yield partial(fact_schema, view.fact), where
        crossed = {f"feature {e.name!r}": e.expression for e in view.expressions}
        yield partial(feature_schema, view), crossed
    yield partial(seen_schema, flywheel), _decided(flywheel)
    outcome = flywheel.outcome
    followed = {"where= of the outcome": outcome.where, "reward= of the outcome": outcome.reward}
    yield partial(fact_schema, outcome.fact), followed


def _decided(flywheel: Flywheel) -> _Expressions:
    policy = flywheel.policy
    found: dict[str, pl.Expr | None] = {
        f"feature {e.name!r}": e.expression for e in flywheel.expressions
    }
    if isinstance(policy.candidates, pl.Expr):
        found["candidates= of the policy"] = policy.candidates
    if not policy.arm_features:
        found["bootstrap= of the policy"] = policy.bootstrap
        found |= {f"baseline {n!r} of the policy": e for n, e in policy.baselines.items()}
    return found
