"""Changes shown as diffs, made to files; by what they show, not by line numbers."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path


def patched(folder: Path, diff: str) -> None:
    """Make a change to files below a folder.

    Parameters
    ----------
    diff : str
        Hunks below ``+++ path``, with or without line numbers: what a hunk shows is found wherever
        it stands, however it is indented there.

    Raises
    ------
    AssertionError
        Where it stands nowhere, or more than once.
    """
    for part in re.split(r"^\+\+\+ ", diff, flags=re.MULTILINE)[1:]:
        name, *lines = part.splitlines()
        path = folder / name.split("\t")[0].strip()
        for hunk in _hunks([line for line in lines if not line.startswith("--- ")]):
            path.write_text(_changed(path.read_text(encoding="utf-8"), hunk), encoding="utf-8")
        # Of the same size and second, a file would be taken for the one that was compiled before.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _hunks(lines: list[str]) -> Iterator[list[str]]:
    hunk: list[str] = []
    for line in [*lines, "@@"]:
        if line.startswith("@@"):
            if hunk:
                yield hunk
            hunk = []
        else:
            hunk.append(line)


def _changed(text: str, hunk: list[str]) -> str:
    """Find the lines that a hunk shows, whatever their indentation there, and put its own."""
    old = [line[1:].strip() for line in hunk if line[:1] != "+"]
    new = [line[1:] for line in hunk if line[:1] != "-"]
    there = text.splitlines()
    at = [i for i in range(len(there)) if [x.strip() for x in there[i : i + len(old)]] == old]
    assert len(at) == 1, f"{old} stands {len(at)} times"
    shown = next(line for line in (line[1:] for line in hunk if line[:1] != "+") if line.strip())
    stands = next(line for line in there[at[0] :] if line.strip())
    by = (len(stands) - len(stands.lstrip())) - (len(shown) - len(shown.lstrip()))
    put = [(" " * by + line).rstrip() if by > 0 else line[-by:] for line in new]
    return "\n".join([*there[: at[0]], *put, *there[at[0] + len(old) :]]) + "\n"
