"""From litmus text to Scenario. Any text gives either a valid Scenario or one InputError."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lark import Lark, Token, UnexpectedCharacters, UnexpectedToken

from client.files import read_file
from client.litmus.ast import Scenario
from client.litmus.diagnose import character_error, syntax_error
from client.litmus.grammar import GRAMMAR
from client.litmus.limits import MAX_TEXT, MAX_TOKENS
from client.litmus.lower import lower
from client.litmus.places import Places
from client.litmus.printer import number
from client.litmus.tables import parser_of
from client.litmus.validate import check
from contract.errors import InputError


class _TokenLimit:
    """Stops the parse of a text with too many tokens while it is read."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        for count, token in enumerate(stream):
            if count >= MAX_TOKENS:
                raise _TooLong
            yield token


class _TooLong(Exception):
    pass


_PIECE = re.compile(
    r"""//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|fault[ \t][^;\n]*"""  # comments, and rules of faults
    r"""|("(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[;,{}()]|(?:(?!//|/\*)[^\s;,{}()"])+)""",
    re.DOTALL,
)


def _surely_too_long(text: str) -> bool:
    """Whether the pieces between spaces and signs are more than MAX_TOKENS. Each of them has at least one token. The
    lexer takes 20 times as long to count them."""
    return len(text) > MAX_TOKENS and len(list(filter(None, _PIECE.findall(text)))) > MAX_TOKENS


@cache
def grammar() -> Lark:
    return parser_of(GRAMMAR, lexer="basic", maybe_placeholders=False, postlex=_TokenLimit())


def parse(text: str, path: str = "<text>") -> Scenario:
    """The scenario that ``text`` describes. ``path`` is its name in error messages."""
    if len(text) > MAX_TEXT:
        raise InputError(f"longer than {MAX_TEXT} characters", path)
    lark = grammar()
    try:
        if _surely_too_long(text):
            raise _TooLong
        tree = lark.parse(text)
    except UnexpectedToken as error:
        raise syntax_error(path, lark, error) from None
    except UnexpectedCharacters as error:
        raise character_error(path, text, error) from None
    except _TooLong:
        raise InputError(f"more than {MAX_TOKENS} words and signs", path) from None
    places = Places(path)
    scenario = lower(tree, places)
    check(scenario, places.find)
    number(scenario)
    scenario.file = path
    return scenario


def load(path: str | Path) -> Scenario:
    """The scenario in the file ``path``."""
    try:
        raw = read_file(Path(path), MAX_TEXT)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read: {reason}", str(path)) from None
    if not raw.strip():
        raise InputError("is empty; expected a scenario, with 'LBR NAME' in its first line", str(path))
    try:
        return parse(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError("not a text in UTF-8", f"{path}:{line}") from None
