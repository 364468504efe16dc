"""The commands that pages show, and the output that they show of them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

PROGRAMS = ("lbrlab", "perfcore-svc", "kvm-svc", "make")
LEFT_OUT = "..."
"""A line that stands for any number of lines of the output."""

_OUTPUT = r"(?:    (?!\$ ).*\n|\n(?=    (?!\$ )))*"
_LINE = re.compile(rf"^    (\$ )?((?:{'|'.join(PROGRAMS)})(?: .*)?)\n((?(1){_OUTPUT}))", re.MULTILINE)
_INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)})(?: [^`\n]*)?)`")
_SAVED = re.compile(r"[Ss]ave this as `([^`]+)`:\n\n((?:    .*\n|\n)+)")


@dataclass(frozen=True)
class Shown:
    """A command on a line of its own."""

    line: str
    """The command as it stands there, with its comment."""
    output: tuple[str, ...] | None
    """The lines of its output; None if the page shows none."""

    @property
    def program(self) -> str:
        return self._parts[0][0]

    @property
    def words(self) -> list[str]:
        """The words behind the program."""
        return self._parts[0][1:]

    @property
    def target(self) -> str:
        """The file in which the reader keeps the output, "" if it is printed."""
        return self._parts[1]

    @property
    def source(self) -> str:
        """The file that is its standard input, "" for none."""
        return self._parts[2]

    @property
    def status(self) -> int | None:
        """The exit code that the comment of the line promises; None if it promises none."""
        found = re.search(r"  # ends with (\d+)$", self.line)
        return int(found[1]) if found else None

    @property
    def in_background(self) -> bool:
        return self.line.endswith(" &")

    @property
    def _parts(self) -> tuple[list[str], str, str]:
        words = shlex.split(self.line, comments=True)
        target, source = (words[words.index(sign) + 1] if sign in words else "" for sign in "><")
        return [*takewhile(lambda word: word not in ("<", ">", "&"), words)], target, source

    def uses_files(self) -> bool:
        """Whether it reads or writes a file that the page names."""
        named = re.compile(r"^-o$|^--(html|picture)$|\.\w+$|^\./")
        return bool(self.target) or any(named.search(word) for word in self.words)

    def is_answered_by(self, printed: list[str]) -> bool:
        """Whether these are the lines that the page shows."""
        shown = [re.escape(line) + "\n" if line != LEFT_OUT else "(?:.*\n)*?" for line in self.output or [LEFT_OUT]]
        return re.fullmatch("".join(shown), "".join(f"{line}\n" for line in printed)) is not None


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def shown_by(page: Path) -> list[Shown]:
    """The commands of a page, in its order."""
    return [_shown(line, prompt, output) for prompt, line, output in _LINE.findall(text_of(page))]


def _shown(line: str, prompt: str, output: str) -> Shown:
    lines = tuple(each[4:] for each in output.rstrip().splitlines())
    return Shown(line, lines if prompt and lines else None)


def spoken_of(page: Path) -> list[Shown]:
    """The commands inside the sentences of a page. They may leave out their arguments."""
    return [Shown(line, None) for line in _INLINE.findall(text_of(page))]


def saved_by(page: Path) -> dict[str, str]:
    """The files that a page has its reader save: name to content."""
    return {name: re.sub(r"^    ", "", text, flags=re.M) for name, text in _SAVED.findall(text_of(page))}
