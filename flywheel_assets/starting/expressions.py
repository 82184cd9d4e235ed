"""Whether each expression of a declaration can be computed, and gives what it is used for."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

import polars as pl

from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import DeclarationError
from flywheel_assets.stages.collect import observation_schema
from flywheel_assets.stages.features import feature_schema
from flywheel_assets.stages.organize import fact_schema
from flywheel_assets.stages.seen import seen_schema, spine_schema

_Columns: TypeAlias = Mapping[str, pl.DataType]
_Gives: TypeAlias = Callable[[pl.DataType], bool]


class _Wanted(NamedTuple):
    """An expression, what it is of a declaration, which types will do for it, and what mends it."""

    what: str
    expression: pl.Expr | None
    will_do: _Gives = lambda _: True
    to_be: str = "of any type"
    remedy: str = ""


def require_expressions(flywheel: Flywheel) -> None:
    """Compute each expression on columns without a row, in the order of the loop.

    Raises
    ------
    DeclarationError
        For the first that fails, or gives what it is of no use for.
    """
    for schema_of, wanted in _by_table(flywheel):
        nothing = _without_rows(schema_of)
        if nothing is None:
            continue
        for what, expression, will_do, to_be, remedy in wanted:
            if expression is None:
                continue
            try:
                found = nothing.select(expression.alias("it")).schema["it"]
            except Exception as error:  # a Python function may raise anything
                raise DeclarationError(
                    expected=f"{what} that can be computed",
                    found=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}: "
                    f"{expression}",
                    remedy="cast what it is made of, or correct it",
                ) from error
            if not (will_do(found) or found in {pl.Null, pl.Unknown}):
                raise DeclarationError(
                    expected=f"{what} to be {to_be}",
                    found=f"{found}: {expression}",
                    remedy=remedy,
                )


def _without_rows(schema_of: Callable[[], _Columns]) -> pl.DataFrame | None:
    try:
        return pl.DataFrame(schema=schema_of())
    except Exception:  # noqa: BLE001  whatever it is, another expression is at fault for it
        return None


def _truth(what: str, expression: pl.Expr | None) -> _Wanted:
    remedy = "compare it with something, as in pl.col('a') > 0"
    return _Wanted(what, expression, lambda dtype: dtype == pl.Boolean, "true or false", remedy)


def _number(what: str, expression: pl.Expr | None) -> _Wanted:
    remedy = "cast it, or take something that is one"
    return _Wanted(
        what, expression, lambda t: t.is_numeric() or t == pl.Boolean, "a number", remedy
    )


def _by_table(flywheel: Flywheel) -> Iterator[tuple[Callable[[], _Columns], list[_Wanted]]]:
    """Give the expressions of a flywheel, and the columns of the table that each is computed on."""
    for fact in catalog([flywheel]).facts:
        derived = fact.derive.items()
        made = [_Wanted(f"derived column {n!r} of fact {fact.name!r}", e) for n, e in derived]
        yield partial(observation_schema, fact.observation), made
    for view in flywheel.views:
        where = [_truth(f"where= of feature {a.name!r}", a.where) for a in view.aggregations]
        yield partial(fact_schema, view.fact), where
        crossed = [_Wanted(f"feature {e.name!r}", e.expression) for e in view.expressions]
        yield partial(feature_schema, view), crossed
    yield partial(_seen, flywheel), list(_decided(flywheel))
    outcome = flywheel.outcome
    followed = [
        _truth("where= of the outcome", outcome.where),
        _number("reward= of the outcome", outcome.reward),
    ]
    yield partial(fact_schema, outcome.fact), followed


def _seen(flywheel: Flywheel) -> _Columns:
    return {**spine_schema(flywheel), **seen_schema(flywheel)}


def _decided(flywheel: Flywheel) -> Iterator[_Wanted]:
    policy = flywheel.policy
    for feature in flywheel.expressions:
        yield _Wanted(f"feature {feature.name!r}", feature.expression)
    if isinstance(policy.candidates, pl.Expr):
        yield _truth("candidates= of the policy", policy.candidates)
    if not policy.arm_features:
        yield _number("bootstrap= of the policy", policy.bootstrap)
        for name, expression in policy.baselines.items():
            yield _number(f"baseline {name!r} of the policy", expression)
