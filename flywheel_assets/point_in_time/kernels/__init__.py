"""The compiled loops; loaded only when windows are computed, compiled once and kept on disk.

Where neither this folder nor the user's cache can be written, as in some containers, they are kept
with the machine's temporary files.
"""

import os
import tempfile
from pathlib import Path

_CACHE = os.environ.get("XDG_CACHE_HOME", f"{os.environ.get('HOME', '')}/.cache")
_PLACES = (Path(__file__).parent, Path(_CACHE))
_PARENTS = [next(p for p in (place, *place.parents) if p.exists()) for place in _PLACES]
if not any(os.access(parent, os.W_OK) for parent in _PARENTS):
    _kept = Path(tempfile.gettempdir()) / f"flywheel-loops-{os.getuid()}"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_kept))

# Whole, and by one thread: imported by two at once, numba waits for itself for ever.
import numba  # noqa: E402, F401  it reads where loops are kept when it is imported
