"""The batch ML-data flywheel: one declaration of the whole loop, compiled to Dagster assets."""

from flywheel_assets.declare.collect import (
    DailyFiles,
    DeltaSource,
    Entity,
    Field,
    Observation,
    TableFile,
)
from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.features import Aggregation, Expression, FeatureView
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.learn import Gate, Model, Outcome
from flywheel_assets.declare.organize import Cancellation, Dimension, Fact
from flywheel_assets.errors import (
    ApiError,
    ApiKeyError,
    ColumnsError,
    ConflictError,
    DeclarationError,
    EmptyReplaceError,
    FlywheelError,
    HomeError,
    InboxBusyError,
    InboxError,
    InboxFullError,
    MissingPartitionError,
    OffPolicyError,
    PublishedError,
    SourceError,
)

__all__ = [
    "Aggregation",
    "ApiError",
    "ApiKeyError",
    "Cancellation",
    "ColumnsError",
    "ConflictError",
    "DailyFiles",
    "DeclarationError",
    "DeltaSource",
    "Dimension",
    "EmptyReplaceError",
    "Entity",
    "Expression",
    "Fact",
    "FeatureView",
    "Field",
    "Flywheel",
    "FlywheelError",
    "Gate",
    "HomeError",
    "InboxBusyError",
    "InboxError",
    "InboxFullError",
    "MissingPartitionError",
    "Model",
    "Observation",
    "OffPolicyError",
    "Outcome",
    "Policy",
    "PublishedError",
    "SourceError",
    "TableFile",
]
