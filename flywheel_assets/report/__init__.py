"""The report of a flywheel: one page that tells all of it, readable without a network."""

from flywheel_assets.report.page import page, write
from flywheel_assets.report.story import Failed

__all__ = ["Failed", "page", "write"]
