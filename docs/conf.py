"""How the site is built: ``make docs``, or ``sphinx-build -W docs build/site``."""

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
