"""What each table holds, in words."""

from collections.abc import Iterable

from flywheel_assets.declare.flywheel import Flywheel, catalog


def described(flywheels: Iterable[Flywheel]) -> dict[str, tuple[str, dict[str, str]]]:
    """Give each table's description, and what its declared columns mean.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> words, columns = described([repurchase])["organize/dim_customer"]
    >>> words, columns["country"]
    ('Where customers live, as told by their orders.', 'Where the customer lives.')
    """
    things = catalog(flywheels)
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for o in things.observations:
        table, broken = f"collect/{o.name}", "that breaks its contract, and why."
        found[table] = (o.description, o.descriptions)
        found[f"{table}_rejected"] = (f"What {o.name} reported {broken}", {})
        found[f"{table}_accounts"] = (f"What became of the records of {o.name}.", {})
        found[f"{table}_in_dump"] = (f"Who is in each day's dump of {o.name}.", {})
        found[f"{table}_pulled"] = (f"What was read of the database of {o.name}.", {})
        found[f"{table}_received"] = (f"What the API received of {o.name}.", {})
    for fact in things.facts:
        found[f"organize/fct_{fact.name}"] = (fact.description, fact.descriptions)
    for dimension in things.dimensions:
        columns = dimension.observation.descriptions
        found[f"organize/dim_{dimension.name}"] = (dimension.description, columns)
    for view in things.views:
        columns = {**view.fact.descriptions, **view.descriptions}
        found[f"features/{view.name}"] = (view.description, columns)
    decisions = "Every decision of every flywheel, as the product got it."
    found |= dict.fromkeys(("collect/decision", "organize/fct_decision"), (decisions, {}))
    for wheel in things.flywheels:
        found |= _of_flywheel(wheel)
    return found


def _of_flywheel(wheel: Flywheel) -> dict[str, tuple[str, dict[str, str]]]:
    columns = {**wheel.outcome.fact.descriptions, **wheel.descriptions}
    matured = f"Decisions whose outcome has matured. {wheel.outcome.description}"
    words = {
        "training_set": (matured, columns),
        "model": (wheel.model.description, {}),
        "promotions": ("Which version decides from when on, why, and who said so.", {}),
        "decisions": (wheel.policy.description, columns),
        "performance": ("What matured decisions were worth, beside simpler rankings.", {}),
        "alternatives": ("What other policies would have earned.", {}),
        "drift": ("How far each day is from what the model was trained on.", {}),
        "importance": ("What the metric of each version loses without a feature.", {}),
        "profile": (
            "How the rows that each version was trained on, and judged on, were distributed.",
            {},
        ),
    }
    return {f"{wheel.name}/{stage}": told for stage, told in words.items()}
