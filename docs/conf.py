"""How the site is built: ``make docs``, or ``sphinx-build -W docs build/site``."""

import json
from typing import TYPE_CHECKING, ClassVar

from myst_parser.parsers.sphinx_ import MystParser

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

project = "flywheel-assets"
author = "the authors of flywheel-assets"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["comparison/*"]

# Single backticks in docstrings are code.
default_role = "literal"
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autoclass_content = "class"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "flywheel-assets"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False


class Notebook(MystParser):
    """Reads a notebook as a page: its words as they are, its code as blocks."""

    supported: ClassVar[tuple[str, ...]] = ("notebook",)

    def parse(self, inputstring: str, document: "nodes.document") -> None:
        """Parse a notebook."""
        page = []
        for cell in json.loads(inputstring)["cells"]:
            text = "".join(cell["source"])
            page.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        super().parse("\n\n".join(page), document)


def setup(app: "Sphinx") -> None:
    """Let notebooks be pages."""
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(Notebook)
