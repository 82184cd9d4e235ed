"""What each stage makes its columns of, read from the declarations.

A column is made of another when a change of the other's values, within its contract and without
making two observations one, may change it. An id is a name: another one is another name for the
same record, which whatever refers to it follows. Of two corrections of one record that contradict
each other and became known at the same moment, the ids say which holds: that is not counted, or
all that is made of a fact would be made of every field that an id is a digest of.
"""

from collections.abc import Iterable

from flywheel_assets.changes import decided, learnt, observed
from flywheel_assets.changes.graph import Lineage, Made
from flywheel_assets.declare.flywheel import Flywheel, catalog


def lineage(flywheels: Iterable[Flywheel]) -> Lineage:
    """Follow every column of every table from observations to decisions and their worth."""
    things = catalog(flywheels)
    made: list[Made] = []
    for observation in things.observations:
        made += observed.observation_columns(observation)
    for fact in things.facts:
        made += observed.fact_columns(fact)
    for dimension in things.dimensions:
        made += observed.dimension_columns(dimension)
    for view in things.views:
        made += observed.view_columns(view)
    for flywheel in things.flywheels:
        made += decided.decision_columns(flywheel)
    for flywheel in things.flywheels:
        made += decided.logged_columns(flywheel)
    for flywheel in things.flywheels:
        made += learnt.training_columns(flywheel)
        made += learnt.model_columns(flywheel)
        made += learnt.performance_columns(flywheel)
        made += learnt.drift_columns(flywheel)
    return Lineage(made)
