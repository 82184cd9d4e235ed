"""Start here: one file per use case, made to be copied. ``FLYWHEELS`` lists those that run."""

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.flywheels.fraud import fraud
from flywheel_assets.flywheels.lead_scoring import lead_scoring
from flywheel_assets.flywheels.recommendation import recommendation
from flywheel_assets.flywheels.repurchase import repurchase

FLYWHEELS: tuple[Flywheel, ...] = (repurchase, lead_scoring, fraud, recommendation)
