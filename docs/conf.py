"""How Sphinx builds these pages: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import mpimages

sys.path.insert(0, str(Path(__file__).with_name("_extensions")))

project = "mpimages"
author = "The mpimages developers"
copyright = f"2026, {author}"
version = release = mpimages.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "command_help"]
exclude_patterns = ["_extensions"]
html_theme = "furo"
html_title = f"mpimages {version}"
html_show_sourcelink = False

nb_execution_mode = "off"  # what is stored is shown; the tests compare it with what comes out
myst_heading_anchors = 3

# `name` in a docstring is a link where there is such a name; parameters have none.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:obj", r"[a-z]\w*")]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings tell them
autodoc_default_options = {
    "members": True,
    "inherited-members": True,
    "special-members": "__getitem__",
}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

NOT_CALLED_BY_USERS = ("Blocks", "Images", "Series", "TimeSeries", "View", "Plan", "Verified")


def without_constructor(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Collections are made by methods: their constructors' arguments are nobody's concern."""
    hidden = what == "class" and name.rsplit(".", 1)[-1] in NOT_CALLED_BY_USERS
    return ("", "") if hidden else None


def setup(app: Sphinx) -> None:
    """Register the above."""
    app.connect("autodoc-process-signature", without_constructor)
