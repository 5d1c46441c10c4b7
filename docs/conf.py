"""Sphinx configuration: Markdown pages, notebooks as they are committed, and the API from docstrings."""

import shutil
from importlib.metadata import version as _version
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).resolve().parent
_SHOWN = _DOCS / "notebooks"
"""Copies of the notebooks, which lie beside docs/; made anew at each build and never committed."""

project = "accelsim"
author = "the accelsim authors"
copyright = "2026, the accelsim authors"
release = _version("accelsim")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
myst_heading_anchors = 3
nb_execution_mode = "off"
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "accelsim"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
copybutton_selector = ".highlight-sh pre, .highlight-python pre, .highlight-yaml pre, .highlight-ini pre"


def _here(app: Any, name: str, content: list[str]) -> None:
    """Links between pages and notebooks, which hold in the repository, turned to where both lie in the site."""
    old, new = ("](../docs/", "](../") if name.startswith("notebooks/") else ("](../notebooks/", "](notebooks/")
    content[0] = content[0].replace(old, new)


def setup(app: Any) -> None:
    """Copy notebooks, and follow links to them."""
    shutil.rmtree(_SHOWN, ignore_errors=True)
    _SHOWN.mkdir()
    for notebook in sorted(_DOCS.parent.glob("notebooks/*.ipynb")):
        shutil.copy(notebook, _SHOWN)
    app.connect("source-read", _here)
