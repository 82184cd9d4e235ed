"""Which rows a window covers: its edges, and whether it matters when a row became known."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from flywheel_assets.declare.rules import check_choice

Edge: TypeAlias = Literal["included", "excluded"]
_EDGES = ("included", "excluded")


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """How the window of length w at t is meant; by default ``[t - w, t)`` of what was known then.

    Parameters
    ----------
    lower, upper : {"included", "excluded"}
        Whether a row at ``t - w``, and a row at t, belong to the window. What became known just at
        t counts where t is included.
    availability : bool
        Whether a row counts only once it was known. Without it every row counts from its
        ``event_time`` on, in its last version: that leaks, and is there to compare with others.
    lag : timedelta
        The window ends, and knowledge with it, so long before t.
    settle : timedelta
        Knowledge goes on so long after the window's end: what happened in it counts when it was
        known by then, as for an outcome that waits for late news.

    Examples
    --------
    >>> Conventions(lower="excluded", upper="included").upper
    'included'
    """

    lower: Edge = "included"
    upper: Edge = "excluded"
    availability: bool = True
    lag: timedelta = timedelta(0)
    settle: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        check_choice(self.lower, _EDGES, "the lower edge of windows as included or excluded")
        check_choice(self.upper, _EDGES, "the upper edge of windows as included or excluded")


DEFAULT = Conventions()
