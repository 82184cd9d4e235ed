"""What depends on what, whose it is, and what a change of a declaration will do."""

from flywheel_assets.changes.graph import Column, Lineage
from flywheel_assets.changes.owners import owners
from flywheel_assets.changes.stages import lineage

__all__ = ["Column", "Lineage", "lineage", "owners"]
