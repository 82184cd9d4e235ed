"""``flywheel new``: a project of one's own, with a declaration that runs as it is written."""

import importlib.util
import keyword
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from flywheel_assets.declare.flywheel import RESERVED_NAMES
from flywheel_assets.declare.rules import check_name
from flywheel_assets.errors import HomeError

PLACEHOLDER, SUFFIX = "project_name", ".in"


def write_project(name: str, parent: Path) -> list[Path]:
    """Write a project: a package that declares a flywheel, its test, and a sample of its data.

    Parameters
    ----------
    name : str
        Of the folder, of the package in it, and of the flywheel.
    parent : Path
        Where the folder is made.

    Returns
    -------
    list of Path
        The files, in the order of their names.

    Raises
    ------
    DeclarationError
        For a name that no flywheel can have.
    HomeError
        For a name that a package has already, and for a folder that is there and not empty or
        cannot be written.
    """
    check_name(name, "a flywheel")
    taken = name in RESERVED_NAMES or name == "tests" or keyword.iskeyword(name)
    if taken or importlib.util.find_spec(name) is not None:
        raise HomeError(
            expected="a name that no package that is installed, no stage and no word of Python has",
            found=repr(name),
            remedy=f"choose another, for example '{name}_flywheel'",
        )
    folder = parent / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HomeError(
            expected="a folder that is new or empty",
            found=f"{folder}, with files in it",
            remedy="choose another name, or move it away: nothing was written",
        )
    template = resources.files("flywheel_assets.starting") / "template"
    try:
        return sorted(_copied(template, folder, name))
    except OSError as error:
        raise HomeError(
            expected=f"a folder that can be written at {folder}",
            found=str(error),
            remedy="name another with --in, or make room there",
        ) from error


def _copied(source: Traversable, target: Path, name: str) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for entry in source.iterdir():
        to = target / entry.name.removesuffix(SUFFIX).replace(PLACEHOLDER, name)
        if entry.is_dir():
            written += _copied(entry, to, name)
        else:
            to.write_text(entry.read_text(encoding="utf-8").replace(PLACEHOLDER, name), "utf-8")
            written.append(to)
    return written
