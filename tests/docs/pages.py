"""The Markdown pages of the project and the sections in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOT_OURS = {"build", "dist", "node_modules", "lbrlab-runs"}
"""Folders at the root that hold nothing written by hand; hidden ones are left out as well."""


def top_level() -> list[Path]:
    """The files and folders of the project at its root."""
    found = (path for path in ROOT.iterdir() if path.name not in NOT_OURS and path.suffix != ".egg-info")
    return sorted(path for path in found if not path.name.startswith("."))


def sources(*endings: str) -> list[Path]:
    """Files of the project with one of these endings, in order."""
    found = []
    for top in top_level():
        found += [path for path in ([top] if top.is_file() else sorted(top.rglob("*"))) if path.suffix in endings]
    return found


def pages() -> list[Path]:
    return sources(".md")


def title_of(path: Path) -> str:
    """A path as a test names it."""
    return str(path.relative_to(ROOT))


@cache
def sections(facts: str) -> dict[str, str]:
    """Number to text of the sections of a page of facts, as in ``## 1.9 Installing``."""
    text = (DOCS / "facts" / f"{facts}.md").read_text(encoding="utf-8")
    parts = re.split(r"^#{1,2} (\d+(?:\.\d+)?) .*$", text, flags=re.MULTILINE)[1:]
    return {number: body for number, body in zip(parts[::2], parts[1::2], strict=True) if "." in number}
