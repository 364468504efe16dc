"""Settings in braces, ``pmu = 2; pdcm = off;``, by their keys."""

from __future__ import annotations

from lark import Token

from client.litmus.numerals import numeral
from client.litmus.places import Path, Places
from client.litmus.spelling import quote, unknown
from client.litmus.tree import Node, tokens, trees


def read_settings(node: Node, places: Places, path: Path, keys: tuple[str, ...]) -> dict[str, Token]:
    """The given values, each marked with its place. Raises InputError for an unknown key, or one given twice."""
    out: dict[str, Token] = {}
    for setting in trees(node):
        key, value = tokens(setting)
        if key not in keys:
            places.fail(key, unknown("setting", key, keys))
        if key in out:
            places.fail(key, f"{quote(key)} is set twice")
        places.mark((*path, str(key)), value)
        out[str(key)] = value
    return out


def switch(given: dict[str, Token], key: str, places: Places) -> bool | None:
    """Whether a switch is on; None if it is not given."""
    token = given.get(key)
    if token is not None and token not in ("on", "off"):
        places.fail(token, f"expected 'on' or 'off', found {quote(token)}")
    return None if token is None else token == "on"


def amount(given: dict[str, Token], key: str, places: Places) -> int | None:
    """A number; None if it is not given."""
    token = given.get(key)
    if token is None:
        return None
    if token.type != "NUMBER":
        places.fail(token, f"expected a number for {quote(key)}, found {quote(token)}")
    return numeral(token, places)
