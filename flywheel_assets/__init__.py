"""The batch ML-data flywheel: one declaration of the whole loop, compiled to Dagster assets."""

from flywheel_assets.declare.allocate import (
    Arm,
    Arms,
    Epsilon,
    Slate,
    Softmax,
    Thompson,
    Threshold,
    TopK,
)
from flywheel_assets.declare.candidates import AlreadySeen, FrequencyCap, Generator, Pairs
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
from flywheel_assets.declare.learn import Drift, Gate, Model, Outcome
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
    PublishedError,
    SourceError,
)

__all__ = [
    "Aggregation",
    "AlreadySeen",
    "ApiError",
    "ApiKeyError",
    "Arm",
    "Arms",
    "Cancellation",
    "ColumnsError",
    "ConflictError",
    "DailyFiles",
    "DeclarationError",
    "DeltaSource",
    "Dimension",
    "Drift",
    "EmptyReplaceError",
    "Entity",
    "Epsilon",
    "Expression",
    "Fact",
    "FeatureView",
    "Field",
    "Flywheel",
    "FlywheelError",
    "FrequencyCap",
    "Gate",
    "Generator",
    "HomeError",
    "InboxBusyError",
    "InboxError",
    "InboxFullError",
    "MissingPartitionError",
    "Model",
    "Observation",
    "Outcome",
    "Pairs",
    "Policy",
    "PublishedError",
    "Slate",
    "Softmax",
    "SourceError",
    "TableFile",
    "Thompson",
    "Threshold",
    "TopK",
]
