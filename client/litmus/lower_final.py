"""The final condition: parse tree to Expr, its nesting bounded before anything recurses into it."""

from __future__ import annotations

from lark import Token

from client.litmus import ast as a
from client.litmus.limits import MAX_NESTING
from client.litmus.lower_operand import first
from client.litmus.numerals import duration, numeral
from client.litmus.places import Path, Places
from client.litmus.spelling import listed
from client.litmus.text import TIMES
from client.litmus.tree import Node, tokens, trees
from client.litmus.words import STMT_FIELDS

_NO_TIMES = {"", *(field for fields in STMT_FIELDS.values() for field in fields if field not in TIMES)}


def lower_final(node: Node, places: Places) -> a.Final:
    quantifier = "".join(map(str, tokens(node)))
    condition, *under = trees(node)
    places.mark(("final",), first(node))
    return a.Final(quantifier, _expr(condition, places, ("final", "expr")), _designs(under, places, ("final",)))


def lower_expect(node: Node, nth: int, places: Places) -> a.Expect:
    path: Path = ("expect", nth)
    verb, verdict, *names = tokens(node)
    places.mark(path, verb)
    places.mark((*path, "verdict"), verdict)
    invariants = tuple(places.mark((*path, "invariant", i), name) for i, name in enumerate(names))
    return a.Expect(str(verdict), invariants, _designs(list(trees(node)), places, path))


def _designs(under: list[Node], places: Places, path: Path) -> tuple[str, ...]:
    names = [token for node in under for token in tokens(node) if token.type == "WORD"]
    return tuple(places.mark((*path, "under", i), name) for i, name in enumerate(names))


def _expr(node: Node, places: Places, path: Path) -> a.Expr:
    if len(path) > MAX_NESTING + 2:
        places.fail(first(node), f"the condition nests deeper than {MAX_NESTING}")
    if node.data == "comparison":
        left, op, right = node.children
        assert isinstance(op, Token)
        places.mark((*path, "op"), op)
        sides = _term(left, places, (*path, "left")), _term(right, places, (*path, "right"))
        for token, other in ((left, sides[1]), (right, sides[0])):
            if isinstance(token, Token) and token.type == "DURATION" and getattr(other, "field", "") in _NO_TIMES:
                places.fail(token, f"a time can only be compared with {listed(f'.{field}' for field in TIMES)}")
        return a.Compare(sides[0], str(op), sides[1])
    args = tuple(_expr(child, places, (*path, i)) for i, child in enumerate(trees(node)))
    match node.data:
        case "negation":
            return a.Not(args[0])
        case "conjunction":
            return a.And(args)
        case _:
            return a.Or(args)


def _term(node: Node | Token, places: Places, path: Path) -> a.Term:
    if isinstance(node, Token):
        places.mark(path, node)
        if node.type == "DURATION":
            return a.Int(duration(node, places))
        return a.Int(numeral(node, places)) if node.type == "NUMBER" else a.Word(str(node))
    parts = tokens(node)
    if node.data == "invariant":
        places.mark(path, parts[0])
        return a.Invariant(str(parts[0]))
    for part, token in zip(("actor", "register", "field"), parts, strict=False):
        places.mark((*path, part), token)
    places.mark(path, parts[0])
    return a.Reg(*map(str, parts))
