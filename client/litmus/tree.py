"""The parts of a parse tree's node."""

from __future__ import annotations

from collections.abc import Iterator

from lark import Token, Tree

Node = Tree[Token]


def tokens(node: Node) -> list[Token]:
    return [c for c in node.children if isinstance(c, Token)]


def trees(node: Node) -> Iterator[Node]:
    return (c for c in node.children if isinstance(c, Tree))
