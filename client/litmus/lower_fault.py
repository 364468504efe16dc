"""A fault of a scenario: parse tree to FaultRule."""

from __future__ import annotations

from lark import Token

from client.litmus.fault import FaultRule
from client.litmus.fault_rules import parse_fault
from client.litmus.places import Path, Places, token_place
from client.litmus.tree import Node, tokens


def lower_fault(node: Node, nth: int, places: Places) -> FaultRule:
    """The rule behind ``fault``. Errors in it have the line and column of the file."""
    path: Path = ("fault", nth)
    verb, text = tokens(node)
    places.mark(path, verb)
    rule = parse_fault(str(text), lambda column: token_place(places.file, _at(text, (column or 1) - 1)))
    for part, name in (("target", rule.target), ("session", rule.session), ("vcpu", rule.vcpu)):
        if name:
            places.mark((*path, part), _at(text, text.index(name)))
    return rule


def _at(text: Token, offset: int) -> Token:
    """The token of what begins ``offset`` characters behind the beginning of ``text``."""
    return Token("RULE", text[offset:], line=text.line, column=(text.column or 1) + offset)
