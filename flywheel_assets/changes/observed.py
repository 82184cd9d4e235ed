"""What observations, facts, dimensions and feature views are made of."""

from collections.abc import Iterator

from flywheel_assets.changes.graph import ROWS, Column, Made, columns, made, roots
from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.features import Aggregation, FeatureView
from flywheel_assets.declare.organize import CANCELS, Dimension, Fact
from flywheel_assets.declare.rules import (
    AS_OF,
    CORRECTS,
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    RETRACTS,
)

VISIBLE = (EVENT_TIME, KNOWN_AT, RETRACTS, CORRECTS)
"""What says whether a fact's row counts at a moment."""
ORDERED = frozenset({"first", "last", "first_n", "last_n", "mode", "top_k"})
"""Functions for which the order of rows that happened at once matters: it is that of their ids."""


def observation_columns(observation: Observation) -> Iterator[Made]:
    """Follow ``collect/<observation>``."""
    table = f"collect/{observation.name}"
    fields = list(observation.schema)
    for name in (*fields, EVENT_TIME, KNOWN_AT, DECISION_ID, CORRECTS, RETRACTS):
        yield Made(Column(table, name), frozenset())
    source = observation.source
    if source is not None and source.known_at is None:
        yield made(table, KNOWN_AT, columns(table, [EVENT_TIME]))
    elif source is not None and source.event_time is None:
        yield made(table, EVENT_TIME, columns(table, [KNOWN_AT]))
    told = observation.id_fields or tuple(fields)
    yield made(table, OBSERVATION_ID, columns(table, [*told, EVENT_TIME]))


def fact_columns(fact: Fact) -> Iterator[Made]:
    """Follow ``organize/fct_<name>``."""
    table, source = f"organize/fct_{fact.name}", f"collect/{fact.observation.name}"
    rule = fact.cancellation
    carried = [OBSERVATION_ID, EVENT_TIME, KNOWN_AT, DECISION_ID, CORRECTS, RETRACTS]
    for name in (*carried, *fact.observation.schema):
        yield made(table, name, columns(source, [name]))
    if rule is not None:
        told = columns(source, roots(rule.when))
        yield made(table, CANCELS, told)
        for name in rule.measures:
            yield made(table, name, told)
        if rule.becomes == "retraction":
            paired = {*rule.match, *rule.measures, EVENT_TIME, KNOWN_AT, OBSERVATION_ID, CORRECTS}
            yield made(table, RETRACTS, told, columns(source, paired))
    for name, expression in fact.derive.items():
        yield made(table, name, columns(table, roots(expression)))


def dimension_columns(dimension: Dimension) -> Iterator[Made]:
    """Follow ``organize/dim_<name>``."""
    table, source = f"organize/dim_{dimension.name}", f"collect/{dimension.observation.name}"
    changed = [*dimension.entity.keys, *dimension.attributes, EVENT_TIME, KNOWN_AT, RETRACTS]
    changed.append(OBSERVATION_ID)  # of two changes at once, the last by it stands
    yield made(table, ROWS, columns(source, changed))
    for name in (*dimension.entity.keys, *dimension.attributes, KNOWN_AT):
        yield made(table, name, columns(source, [name]))
    yield made(table, "valid_from", columns(source, [EVENT_TIME]))
    yield made(table, "is_closed", columns(source, [KNOWN_AT]))


def view_columns(view: FeatureView) -> Iterator[Made]:
    """Follow ``features/<view>``."""
    table, fact = f"features/{view.name}", f"organize/fct_{view.fact.name}"
    keys = view.entity.keys
    yield made(table, ROWS, columns(fact, [*keys, *VISIBLE]))
    yield Made(Column(table, AS_OF), frozenset())
    for key in keys:
        yield made(table, key, columns(fact, [key]))
    for aggregation in view.aggregations:
        yield made(table, aggregation.name, columns(fact, _aggregated(aggregation, view)))
    for dimension, attributes in view.dimensions.items():
        source = f"organize/dim_{dimension.name}"
        when = columns(source, [*dimension.entity.keys, "valid_from", KNOWN_AT, "is_closed"])
        for name in attributes:
            yield made(table, name, columns(source, [name]), when)
    for feature in view.expressions:
        yield made(table, feature.name, columns(table, roots(feature.expression)))


def _aggregated(aggregation: Aggregation, view: FeatureView) -> set[str]:
    names = {*view.entity.keys, *VISIBLE, *aggregation.columns, *roots(aggregation.where)}
    if aggregation.function in ORDERED and not _same_at_once(aggregation, view):
        names.add(OBSERVATION_ID)
    return names


def _same_at_once(aggregation: Aggregation, view: FeatureView) -> bool:
    """Say whether rows of one entity that happened at once have the same value anyway."""
    computed = view.fact.derive.get(str(aggregation.column))
    return computed is not None and roots(computed) <= {EVENT_TIME, *view.entity.keys}
