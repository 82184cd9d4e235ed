"""Start here: one file per use case, made to be copied. ``FLYWHEELS`` lists those that run."""

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.flywheels.repurchase import repurchase

FLYWHEELS: tuple[Flywheel, ...] = (repurchase,)
