"""What each table is declared to mean, column by column, as short digests that can be kept.

The same meaning has the same digest: names of Python variables, the order of declarations, their
formatting, descriptions and owners do not count.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flywheel_assets.changes.columns import NO_RULES, Rules, made
from flywheel_assets.changes.decided import LOGGED
from flywheel_assets.changes.graph import Column, Lineage
from flywheel_assets.changes.owners import owners
from flywheel_assets.changes.retired import check_retired
from flywheel_assets.changes.stages import lineage
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.rules import OBSERVATION_ID


@dataclass(frozen=True)
class Meaning:
    """One table.

    Parameters
    ----------
    columns : mapping of str to str
        Column, or ``*`` for which rows there are -> digest of how it is made, inputs aside.
    whole : mapping of str to str
        Column -> digest of how it is made with all that it is made of, back to what was observed.
        Logged decisions are observations.
    types : mapping of str to str
        Column -> its Polars data type, where the declaration gives it.
    users : mapping of str to list of str
        Column -> the other tables that are made of it, over any number of steps.
    words : mapping of str to str
        Column -> its description; that of the table under an empty name.
    owners : list of str
    old_names : mapping of str to list of str
        Column -> what it was called before.
    fills : list of str
        Columns that read right in partitions from before they were declared.
    demands : list of str
        Columns that producers have to tell, and what was received before they were declared lacks.
    rules : mapping of str to list
        Column -> its contract: whether null is sound, the bounds, the allowed values.
    retired : list of str
        Columns on their way out, which may go.
    """

    columns: Mapping[str, str]
    whole: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    owners: Sequence[str] = ()
    old_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fills: Sequence[str] = field(default_factory=list)
    demands: Sequence[str] = field(default_factory=list)
    rules: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    retired: Sequence[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """What the table means as a whole: the ``code_version`` of its asset."""
        first = {name: olds[0] for name, olds in self.old_names.items()}
        whole = {first.get(name, name): digest for name, digest in self.whole.items()}
        types = {first.get(name, name): dtype for name, dtype in self.types.items()}
        return fingerprint(sorted(whole.items()), sorted(types.items()))


def meanings(flywheels: Iterable[Flywheel], rules: Rules = NO_RULES) -> dict[str, Meaning]:
    """Give the meaning of every table, in the order of the loop.

    Parameters
    ----------
    rules : mapping
        Table -> column -> the contract that is to count as declared, instead of its own.

    Raises
    ------
    DeclarationError
        For a retired field that something is still made of.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> list(meanings([repurchase]))[:2]
    ['collect/order_line', 'organize/fct_order_line']
    """
    things = catalog(flywheels)
    graph, whose = lineage(things.flywheels), owners(things.flywheels)
    check_retired(things, graph, whose)
    found = made(things, rules)
    defined = {Column(t, n): d for t in found for n, d in found[t]["columns"].items()}
    first = {
        Column(table, name): Column(table, olds[0])
        for table in found
        for name, olds in found[table].get("old_names", {}).items()
    }
    digests = _Digests(graph, defined, first)
    return {
        table: Meaning(
            **found.get(table, {"columns": {}}),
            whole={c.name: digests.of(c) for c in _columns(graph, table, found)},
            users=_users(graph, table),
            owners=list(whose[table]),
        )
        for table in graph.tables
    }


def _columns(graph: Lineage, table: str, found: Mapping[str, Any]) -> list[Column]:
    own = found[table]["columns"] if table in found else ()
    return list(dict.fromkeys([*graph.columns(table), *(Column(table, name) for name in own)]))


class _Digests:
    """Digests of columns with all that they are made of."""

    def __init__(
        self, graph: Lineage, own: Mapping[Column, str], first: Mapping[Column, Column]
    ) -> None:
        self._graph, self._own, self._first = graph, own, first
        self._known: dict[Column, str] = {}

    def of(self, column: Column) -> str:
        if column not in self._known:
            parents = self._parents(column)
            inside = sorted((str(self._first.get(p, p)), self.of(p)) for p in parents)
            self._known[column] = fingerprint(self._own.get(column, ""), inside)
        return self._known[column]

    def _parents(self, column: Column) -> Collection[Column]:
        # What was logged stays, so does an id that a record without the newest fields has, and the
        # champion before.
        if column.table == LOGGED[0] or column.name in {OBSERVATION_ID, "champion_version"}:
            return ()
        parents = self._graph.of(column)
        if column.name == "alternatives" or column.table.endswith("/drift"):
            # They look at versions and decisions that are there, which stay as they are.
            return [p for p in parents if not p.table.endswith(("/model", "/decisions"))]
        return parents


def _users(graph: Lineage, table: str) -> dict[str, list[str]]:
    parts: dict[str, list[Column]] = {}
    for column in graph.columns(table):
        parts.setdefault(column.name, []).append(column)
    return {
        name: list(dict.fromkeys(c.table for c in graph.downstream(of) if c.table != table))
        for name, of in parts.items()
    }
