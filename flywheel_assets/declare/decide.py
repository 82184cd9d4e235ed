"""Decide: how scores become actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl

from flywheel_assets.declare.rules import check_expression, check_name, check_owners
from flywheel_assets.errors import DeclarationError


@dataclass(frozen=True, kw_only=True, eq=False)
class Policy:
    """Who is considered each day, and who of them is acted on.

    Parameters
    ----------
    candidates : polars expression
        Over the feature view: true for who is considered. One decision each.
    bootstrap : polars expression
        Over the feature view: the score until there is a first champion; higher comes first.
    capacity : int, optional
        How many are acted on each day.
    threshold : float, optional
        Instead of a capacity: act on scores at or above it.
    exploration : float
        The share of the capacity spent on candidates drawn uniformly from those that the ranking
        leaves out; with a threshold, the share of those below it that are acted on. The logged
        propensity is the probability of the action that was taken.
    action, hold : str
        What the two actions are called.
    baselines : mapping of str to polars expression
        Simple rankings over the feature view that performance is measured beside.
    """

    candidates: pl.Expr
    bootstrap: pl.Expr
    owners: Sequence[str]
    description: str
    action: str
    hold: str = "hold"
    capacity: int | None = None
    threshold: float | None = None
    exploration: float = 0.0
    baselines: Mapping[str, pl.Expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_owners(self.owners, "the policy")
        object.__setattr__(self, "baselines", MappingProxyType(dict(self.baselines)))
        check_name(self.action, "an action")
        check_name(self.hold, "an action")
        if (self.capacity is None) == (self.threshold is None):
            raise DeclarationError(
                expected="a policy with either a capacity or a threshold",
                found=f"capacity={self.capacity}, threshold={self.threshold}",
                remedy="give one of the two",
            )
        if self.capacity is not None and self.capacity < 1:
            raise DeclarationError(
                expected="a capacity of one or more",
                found=str(self.capacity),
                remedy="give how many are acted on each day",
            )
        if not 0 <= self.exploration <= 1:
            raise DeclarationError(
                expected="exploration as a share from 0 to 1",
                found=str(self.exploration),
                remedy="write 0.1 for 10%",
            )

    def check_columns(self, valid: Sequence[str]) -> None:
        """Refuse expressions over features that the flywheel does not have."""
        check_expression(self.candidates, valid, "the candidates of the policy")
        check_expression(self.bootstrap, valid, "the bootstrap rule of the policy")
        for name, expression in self.baselines.items():
            check_expression(expression, valid, f"baseline {name!r} of the policy")
