"""XML in lines that fit, which means the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 80
_TAG = re.compile(r"<[^<>]*>")
_ATTRIBUTE = re.compile(r' [\w:-]+="[^"]*"')


def folded_tags(text: str) -> str:
    """The document with line breaks before attributes where a line is too wide. A text between two tags keeps its
    line: a break would be a part of it."""
    return "\n".join(line for whole in text.split("\n") for line in _folded(whole))


def _folded(line: str) -> Iterator[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 1)
    breaks = [tag.start() + at.start() for tag in _TAG.finditer(line) for at in _ATTRIBUTE.finditer(tag[0])]
    begin, lead = 0, ""
    while len(lead) + len(line) - begin > WIDTH:
        fitting = [at for at in breaks if begin < at <= begin + WIDTH - len(lead)]
        end = max(fitting, default=min((at for at in breaks if at > begin), default=0))
        if not end:
            break
        yield lead + line[begin:end]
        begin, lead = end + 1, indent
    yield lead + line[begin:]
