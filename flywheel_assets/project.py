"""Whose flywheels these are: the project's in the working directory, else the bundled ones.

The command line, the code location and notebooks ask here, so that they always agree. A project
says in its ``pyproject.toml`` where its flywheels are listed::

    [tool.flywheel]
    flywheels = "shop:FLYWHEELS"
"""

import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

import flywheel_assets
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import DeclarationError, FlywheelError, HomeError, nearest
from flywheel_assets.stores.home import project_folder, project_settings

PLACE = "FLYWHEEL_DECLARATIONS"
_ARGUMENTS = re.compile(r"(?P<what>\w+)\.__init__\(\) (?P<wrong>got an unexpected|missing|takes) ")
"""How Python says that what was called takes other arguments."""
_PASSED = ("importlib", "dataclasses.py", __file__)
"""Through what an error of a declaration comes, and is not of."""


def declared() -> tuple[Flywheel, ...]:
    """List the flywheels: of ``FLYWHEEL_DECLARATIONS``, of the project, or the bundled ones.

    Returns
    -------
    tuple of Flywheel
        Of ``module:NAME`` in the environment variable; else in ``[tool.flywheel]`` of the nearest
        ``pyproject.toml`` that has it, in the working directory or above it; else
        `flywheel_assets.flywheels.FLYWHEELS`.

    Raises
    ------
    DeclarationError
        Where the module cannot be imported, or lists no flywheels.
    """
    folder = project_folder()
    place = os.environ.get(PLACE) or (project_settings(folder).get("flywheels") if folder else None)
    if place is None:
        from flywheel_assets.flywheels import FLYWHEELS

        return FLYWHEELS
    top = folder or Path.cwd()
    for root in (top, top / "src"):
        if root.is_dir() and str(root) not in sys.path:
            sys.path.insert(0, str(root))
    return _listed(str(place))


def named(flywheels: Iterable[Flywheel], name: str | None = None) -> Flywheel:
    """Find a flywheel by its name; the first that is listed, without one.

    Raises
    ------
    HomeError
        For a name that none has.

    Examples
    --------
    >>> from flywheel_assets.flywheels import FLYWHEELS
    >>> named(FLYWHEELS).name
    'repurchase'
    >>> named(FLYWHEELS, "frod")
    Traceback (most recent call last):
    flywheel_assets.errors.HomeError: expected a declared flywheel; found 'frod'; did you mean \
'fraud'? valid: fraud, lead_scoring, offer, pricing, recommendation, repurchase
    """
    wheels = tuple(flywheels)
    for flywheel in wheels:
        if name in (None, flywheel.name):
            return flywheel
    names = [flywheel.name for flywheel in wheels]
    raise HomeError(
        expected="a declared flywheel", found=repr(name), remedy=nearest(str(name), names)
    )


def _listed(place: str) -> tuple[Flywheel, ...]:
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name or "FLYWHEELS", None)
    except FlywheelError:
        raise
    except Exception as error:
        where = _where(error)
        if misdeclared := _misdeclared(error, where):
            raise misdeclared from error
        raise DeclarationError(
            expected=f"a module {module!r} that lists flywheels",
            found=f"{type(error).__name__}: {error}{where}",
            remedy="mend that line; `flywheel validate` says when it is sound"
            if where or isinstance(error, SyntaxError)
            else f"mend it, or correct flywheels= in [tool.flywheel], or {PLACE}",
        ) from error
    listed = found if isinstance(found, tuple | list) else ()
    if not listed or not all(isinstance(one, Flywheel) for one in listed):
        raise DeclarationError(
            expected=f"{place} to be a tuple of one Flywheel or more",
            found="nothing of that name" if found is None else repr(found)[:80],
            remedy=f"write {name or 'FLYWHEELS'} = (my_flywheel,) in {module}",
        )
    return catalog(listed).flywheels


def _misdeclared(error: Exception, where: str) -> DeclarationError | None:
    """Say which arguments a declaration lacks or does not have, if it is that."""
    said = _ARGUMENTS.match(str(error)) if isinstance(error, TypeError) else None
    what = getattr(flywheel_assets, said["what"], None) if said else None
    if said is None or what is None:
        return None
    valid, named = inspect.signature(what).parameters, re.findall(r"'(\w+)'", str(error))
    expected, found, remedy = {
        "takes": ("arguments by their names", "some without", f"it has {', '.join(valid)}"),
        "missing": (", ".join(named), "none", "add " + ", ".join(f"{one}=..." for one in named)),
    }.get(said["wrong"]) or ("arguments that it has", named[0], nearest(named[0], valid))
    return DeclarationError(
        expected=f"{said['what']} with {expected}", found=found + where, remedy=remedy
    )


def _where(error: Exception) -> str:
    """Say in which line an import failed, if it was not for want of the module."""
    if isinstance(error, SyntaxError):
        return ""  # its message says so
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(passed in frame.filename for passed in _PASSED)
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
