"""Runs a notebook's code cells as Jupyter would, in this process: ``python FILE NOTEBOOK``.

Each cell's last expression is shown, as HTML where it has one. Jupyter itself would be dozens of
packages more, for the same.
"""

import ast
import json
import sys
from pathlib import Path


def shown(code: str, names: dict[str, object]) -> str:
    """Run one cell; gives how its last expression is shown."""
    parsed = ast.parse(code)
    last = parsed.body.pop() if isinstance(parsed.body[-1], ast.Expr) else None
    exec(compile(parsed, "cell", "exec"), names)  # noqa: S102  our own notebook
    if not isinstance(last, ast.Expr):
        return ""
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307  the same
    html = getattr(value, "_repr_html_", None)
    return str(html()) if html is not None else repr(value)


def main(notebook: Path) -> None:
    """Run all cells, in order, in one namespace."""
    names: dict[str, object] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            sys.stdout.write(shown("".join(cell["source"]), names) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
