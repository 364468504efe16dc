"""Text from files and services, safe to print on a terminal, and numbers with their nouns."""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and the characters that turn the direction of what follows."""


def plain(text: str) -> str:
    """The text with each character that could command a terminal written as ``\\x1b`` or ``\\u202e``."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def counted(number: int, noun: str) -> str:
    """A number with its noun, as in "1 run" and "2 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plain_json(text: str) -> str:
    """The same for a JSON document, which stays one. Of these characters its encoder escapes only the lowest."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
