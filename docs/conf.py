"""The documentation as a site: Sphinx reads the Markdown pages of the whole tree where they are (``make site``)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from posixpath import normpath

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "lbrlab"
author = "The lbrlab maintainers"
release = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "version"
]
extensions = ["myst_parser", "sphinx.ext.autodoc"]
include_patterns = ["*.md", "docs/**.md", "contract/*.md", "client/**.md", "deploy/*.md"]
root_doc = "docs/README"
myst_heading_anchors = 4
smartquotes = False  # They would change the quotes of commands.
autodoc_member_order = "bysource"
autodoc_type_aliases = {"AnyRecord": "AnyRecord", "Decision": "Decision"}
autodoc_default_options = {"undoc-members": True}
man_pages = [("docs/reference/commands", "lbrlab", "a model of the contract of perf and KVM over the LBR", author, 1)]
html_theme = "furo"
html_title = "lbrlab"
html_extra_path = ["site"]
html_copy_source = False
html_show_copyright = False

_SECTION = re.compile(r"^## (.*)\n([\s\S]*?)(?=^## |\Z)", re.MULTILINE)
_ENTRY = re.compile(r"^- \[([^]]+)\]\(([^)]+)\.md\)", re.MULTILINE)


def contents(index: str) -> str:
    """The table of contents: a part for each section of the index, an entry for each item of its list."""
    parts = []
    for caption, section in _SECTION.findall(index):
        entries = "\n".join(f"{title} <{normpath(path)}>" for title, path in _ENTRY.findall(section))
        parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n")
    return "".join(parts)


def add_contents(app: Sphinx, page: str, text: list[str]) -> None:
    """The index has no directives: it is also read where nothing carries them out."""
    if page == root_doc:
        text[0] += contents(text[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_contents)
    app.add_lexer("mermaid", TextLexer)
