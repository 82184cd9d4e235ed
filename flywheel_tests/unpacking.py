"""Unpacking archives on every supported Python: 3.11.3 and older have no filters yet."""

from tarfile import TarFile
from typing import Any

SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(TarFile, "extraction_filter") else {}
"""Options of ``extractall``: where there are filters, the one against names that lead elsewhere."""
