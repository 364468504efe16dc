"""Words in messages: quoted, listed, and the nearest known word."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from client.litmus.limits import MAX_NAME

SHORT = 24
"""A vocabulary of no more words is listed where none of them is near."""


def quote(text: str) -> str:
    """``text`` in quotes, fit for one line of any terminal."""
    if len(text) > 40:
        text = text[:37] + "..."
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + "'"


def hint(word: str, candidates: Iterable[str]) -> str:
    """``, did you mean 'x'?`` if one of ``candidates`` is near, else ""."""
    if len(word) > MAX_NAME:
        return ""
    known = list(candidates)[:256]
    near = [c for c in known if c.lower() == word.lower()] or get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean {quote(near[0])}?" if near and near[0] != word else ""


def unknown(what: str, word: str, candidates: Iterable[str]) -> str:
    """``unknown kind 'cal', did you mean 'call'?``. If no word is near, a short vocabulary is listed."""
    known = list(candidates)
    text = f"unknown {what} {quote(word)}"
    near = hint(word, known)
    if near or not 0 < len(known) <= SHORT:
        return text + near
    return f"{text}, expected {listed(known)}"


def listed(words: Iterable[str], *, quoted: bool = False) -> str:
    """``a, b or c``"""
    items = [quote(w) if quoted else w for w in words]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " or " + items[-1]
