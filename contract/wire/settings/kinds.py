"""The kinds of values that a setting can have. Each reads its value from text and from TOML, and says what it takes."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract.wire.address import address

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
NAME_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Kind:
    """``parse`` reads text; it raises ValueError or ArgumentTypeError with what it expected and found. ``types``: what
    a value in TOML may be. ``takes``: the range, for help and documentation."""

    metavar: str
    takes: str
    parse: Callable[[str], Any]
    types: tuple[type, ...] = (str,)

    def from_toml(self, value: object) -> Any:
        """Raises as ``parse``."""
        if type(value) not in self.types:
            raise ValueError(f"expected {self.takes}, found {value!r}")
        return self.parse(str(value).lower() if isinstance(value, bool) else str(value))


def _flag(text: str) -> bool:
    if text.lower() not in YES + NO:
        raise ValueError(f"expected true or false, found {text!r}")
    return text.lower() in YES


def _name(text: str) -> str:
    if not (0 < len(text) <= NAME_LIMIT and text.isprintable()):
        raise ValueError(f"expected 1 to {NAME_LIMIT} printable characters, found {text[:NAME_LIMIT]!r}")
    return text


FLAG = Kind("", "true or false", _flag, (bool,))


def _tcp(text: str) -> str:
    if text.startswith("unix:"):
        raise ValueError(f"expected HOST:PORT, found {text!r}")
    return address(text)


ADDRESS = Kind("ADDR", "HOST:PORT or unix:PATH", address)
TCP = Kind("ADDR", "HOST:PORT", _tcp)
FOLDER = Kind("DIR", "a folder", str)
NAME = Kind("NAME", f"1 to {NAME_LIMIT} characters", _name)


def number(metavar: str, low: int, high: int, unit: str = "") -> Kind:
    """A whole number, in ``unit``."""
    takes = f"{unit or 'a number'} from {low} to {high}"

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 19 and low <= int(text) <= high):
            raise ArgumentTypeError(f"expected {takes}, found {text!r}")
        return int(text)

    return Kind(metavar, takes, parse, (int,))


def seconds(low: float = 0.001, high: float = 86400) -> Kind:
    """A duration in seconds."""
    takes = f"seconds from {low:g} to {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not low <= value <= high:  # NaN is in no range.
            raise ArgumentTypeError(f"expected {takes}, found {text!r}")
        return value

    return Kind("SECONDS", takes, parse, (int, float))


def choice(*words: str) -> Kind:
    """One of a few words."""
    takes = " or ".join(words)

    def parse(text: str) -> str:
        if text not in words:
            raise ArgumentTypeError(f"expected {takes}, found {text!r}")
        return text

    return Kind("|".join(words), takes, parse)
