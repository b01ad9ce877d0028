"""Sphinx settings: Markdown through MyST, the furo theme, nothing fetched."""

from __future__ import annotations

from importlib.metadata import version as distribution_version

project = "Seaway"
author = "Seaway contributors"
project_copyright = "2026, Seaway contributors"
release = distribution_version("seaway")
version = ".".join(release.split(".")[:2])

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Seaway"
