"""Build of the documentation as a site: `python -m sphinx -W -n docs FOLDER`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_site"))

project = "arbitrank"
author = "arbitrank's maintainers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "navigation", "terms", "docstrings"]
exclude_patterns = ["_site"]

myst_heading_anchors = 4  # links name headings as GitHub does

default_role = "py:obj"  # docstrings write `name`; it is a link where the name has an entry
add_module_names = False
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
maximum_signature_line_length = 80
# Names in docstrings that are fields or arguments, and types that have no page of their own.
nitpick_ignore_regex = [("py:obj", r"(?s).*"), ("py:class", ".*")]

html_theme = "furo"
html_title = "arbitrank"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
