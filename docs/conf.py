"""Sphinx configuration: Markdown pages and the API from docstrings, warnings as errors."""

from importlib.metadata import version as _version

project = "accelsim"
author = "the accelsim authors"
copyright = "2026, the accelsim authors"
release = _version("accelsim")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "accelsim"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
