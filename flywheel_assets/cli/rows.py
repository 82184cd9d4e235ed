"""Rows for a person: a table where the terminal has room for one, else a list of them."""

from collections.abc import Sequence

from rich.table import Table

from flywheel_assets.cli.app import console, say

NARROW = 110
"""Where a terminal has fewer columns rows are a list: a table would cut or split what is in it."""


def show_rows(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print rows under their headers; in a list each that is not empty stands whole."""
    if console.width < NARROW:
        if title:
            say(f"{title}\n")
        _list(headers, rows)
        return
    table = Table(*headers, title=title or None, show_lines=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _list(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    indent = max(map(len, headers)) + 2
    for row in rows:
        told = ((header, text) for header, text in zip(headers, row, strict=True) if text)
        for header, text in told:
            below = text.replace("\n", "\n" + " " * indent)
            say(f"{header + ':':<{indent}}{below}")
        console.print()
