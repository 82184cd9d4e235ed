"""Fields on their way out: none goes while anything is made of it."""

from collections.abc import Mapping, Sequence

from flywheel_assets.changes.graph import Column, Lineage
from flywheel_assets.declare.flywheel import Catalog
from flywheel_assets.errors import DeclarationError


def check_retired(things: Catalog, graph: Lineage, whose: Mapping[str, Sequence[str]]) -> None:
    """Refuse to retire a field that anything is still made of, with all of it and its owners.

    Raises
    ------
    DeclarationError
    """
    for observation in things.observations:
        carried = {f"organize/fct_{f.name}" for f in things.facts if f.observation is observation}
        for field in observation.fields:
            start = Column(f"collect/{observation.name}", field.name)
            if not field.retired:
                continue
            users = [
                column
                for column in graph.downstream([start])
                if column not in {Column(table, field.name) for table in carried}
                and column.name != "observation_id"
            ]
            if users:
                named = "; ".join(f"{c} ({', '.join(whose.get(c.table, ()))})" for c in users)
                raise DeclarationError(
                    expected=f"nothing that is made of {start}, which is retired",
                    found=named,
                    remedy="ask the owners to do without it first, or take retired=True back",
                )
