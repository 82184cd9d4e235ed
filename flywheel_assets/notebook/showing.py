"""How frames and facts are shown: as text, and as HTML where a notebook asks for it."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

Rows = Sequence[Sequence[Any]]


def text_table(names: Sequence[str], rows: Rows) -> str:
    """Lay rows out in columns.

    Examples
    --------
    >>> print(text_table(["table", "rows"], [["a/b", 1200], ["c/d", None]]))
    table  rows
    a/b    1,200
    c/d    -
    """
    cells = [list(names), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    lines = (
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )
    return "\n".join(lines)


def html_table(names: Sequence[str], rows: Rows, caption: str = "") -> str:
    """Write rows as an HTML table.

    Examples
    --------
    >>> html_table(["n"], [["<1"]])
    '<table><thead><tr><th>n</th></tr></thead><tbody><tr><td>&lt;1</td></tr></tbody></table>'
    """
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{_cells('th', names)}</tr></thead>"
    return f"<table>{said}{head}<tbody>{body}</tbody></table>"


def _cells(tag: str, values: Iterable[Any]) -> str:
    return "".join(f"<{tag}>{escape(_text(value))}</{tag}>" for value in values)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
