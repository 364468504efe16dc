"""The Markdown pages of the project and the sections in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOT_OURS = {"build", "dist", "node_modules", "lbrlab-runs"}
"""Folders at the root that hold nothing written by hand; hidden ones are left out as well."""

_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def sources(*endings: str) -> list[Path]:
    """Files of the project with one of these endings, in order."""
    found = []
    for top in sorted(ROOT.iterdir()):
        if top.name.startswith(".") or top.name in NOT_OURS or top.name.endswith(".egg-info"):
            continue
        found += [path for path in ([top] if top.is_file() else sorted(top.rglob("*"))) if path.suffix in endings]
    return found


def pages() -> list[Path]:
    return sources(".md")


def title_of(path: Path) -> str:
    """A path as a test names it."""
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(path.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
        found.add(f"{anchor}-{again}" if again else anchor)
    return frozenset(found)


@cache
def sections(facts: str) -> dict[str, str]:
    """Number to text of the sections of a page of facts, as in ``## 1.9 Installing``."""
    text = (DOCS / "facts" / f"{facts}.md").read_text(encoding="utf-8")
    parts = re.split(r"^#{1,2} (\d+(?:\.\d+)?) .*$", text, flags=re.MULTILINE)[1:]
    return {number: body for number, body in zip(parts[::2], parts[1::2], strict=True) if "." in number}
