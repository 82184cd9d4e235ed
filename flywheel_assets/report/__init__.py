"""The report of a flywheel: one page that tells all of it, readable without a network."""

from flywheel_assets.report.page import Known, page, write

__all__ = ["Known", "page", "write"]
