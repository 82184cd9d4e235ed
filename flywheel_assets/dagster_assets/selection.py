"""Which assets make up a flywheel, and which of them close the loop."""

from flywheel_assets.declare.flywheel import Flywheel, catalog

LOOP = ("collect/decision", "organize/fct_decision")
"""The way back: decisions as they were published, one partition later."""


def upstream(flywheel: Flywheel) -> list[str]:
    """Name what does not depend on decisions: collect, organize and features."""
    things = catalog([flywheel])
    return [
        *(f"collect/{o.name}{end}" for o in things.observations for end in ("", "_rejected")),
        *(f"organize/fct_{f.name}" for f in things.facts),
        *(f"organize/dim_{d.name}" for d in things.dimensions),
        *(f"features/{v.name}" for v in things.views),
    ]


def downstream(flywheel: Flywheel) -> list[str]:
    """Name what learns and decides: training set, model, decisions, performance and drift."""
    return [
        f"{flywheel.name}/{stage}"
        for stage in ("training_set", "model", "decisions", "performance", "drift")
    ]


def whole(flywheel: Flywheel) -> list[str]:
    """Name every asset of one turn of the wheel."""
    return [*upstream(flywheel), *LOOP, *downstream(flywheel)]
