"""The code location: every declared flywheel, compiled for the home that FLYWHEEL_HOME names."""

from flywheel_assets.dagster_assets.build import build_for
from flywheel_assets.dagster_assets.compile import compile_flywheels
from flywheel_assets.project import declared
from flywheel_assets.stores.home import current_home

defs = compile_flywheels(build_for(current_home()), declared())
