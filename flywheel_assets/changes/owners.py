"""Who owns which table."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from flywheel_assets.declare.flywheel import Flywheel, catalog


def owners(flywheels: Iterable[Flywheel]) -> dict[str, tuple[str, ...]]:
    """Give each table's owners, in the order of the loop.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> owners([repurchase])["collect/order_line"]
    ('team:checkout',)
    """
    things = catalog(flywheels)
    wheels = things.flywheels
    deciders = sorted({owner for wheel in wheels for owner in wheel.policy.owners})
    found: dict[str, Sequence[str]] = {
        **{f"collect/{o.name}": o.owners for o in things.observations},
        **{f"organize/fct_{f.name}": f.owners for f in things.facts},
        **{f"organize/dim_{d.name}": d.owners for d in things.dimensions},
        **{f"features/{v.name}": v.owners for v in things.views},
        "collect/decision": deciders,
        "organize/fct_decision": deciders,
    }
    for wheel in wheels:
        found |= {
            f"{wheel.name}/training_set": wheel.outcome.owners,
            f"{wheel.name}/model": wheel.model.owners,
            f"{wheel.name}/promotions": wheel.model.owners,
            f"{wheel.name}/decisions": wheel.policy.owners,
            f"{wheel.name}/performance": wheel.owners,
        }
    return {table: tuple(names) for table, names in found.items()}


def on_call(names: Iterable[str]) -> list[str]:
    """Give the owners that can be written to: those that are addresses.

    Examples
    --------
    >>> on_call(["team:growth", "mlops@example.com"])
    ['mlops@example.com']
    """
    return [name for name in names if "@" in name]


class _Owned(Protocol):
    @property
    def owners(self) -> Sequence[str]: ...


def code_owners(flywheels: Iterable[Flywheel], organization: str = "") -> str:
    """Write a CODEOWNERS file: whoever owns a table owns the file that declares it.

    Parameters
    ----------
    organization : str
        Goes before a team's name: ``team:growth`` is ``@organization/growth``.
    """
    things = catalog(flywheels)
    mine: dict[str, set[str]] = {}
    declared: tuple[_Owned, ...] = (
        *things.observations,
        *things.facts,
        *things.dimensions,
        *things.views,
    )
    files = _files()
    for wheel in things.flywheels:
        declared += (wheel, wheel.outcome, wheel.model, wheel.policy)
    for thing in declared:
        if id(thing) in files:
            mine.setdefault(files[id(thing)], set()).update(thing.owners)
    before = f"@{organization}/" if organization else "@"
    lines = [
        " ".join([file, *sorted(o.replace("team:", before) for o in names)])
        for file, names in sorted(mine.items())
    ]
    return "\n".join(["# Written by `flywheel owners`.", *lines, ""])


def _files() -> dict[int, str]:
    """Say which file each thing is declared in, of the modules that are loaded."""
    here = Path.cwd()
    found: dict[int, str] = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(here) and "site-packages" not in file:
            for thing in list(vars(module).values()):
                if hasattr(thing, "owners"):
                    found.setdefault(id(thing), "/" + Path(file).relative_to(here).as_posix())
    return found
