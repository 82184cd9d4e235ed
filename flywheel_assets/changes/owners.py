"""Who owns which table."""

from collections.abc import Iterable, Sequence

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
