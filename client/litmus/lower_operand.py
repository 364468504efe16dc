"""Operands and conditions of programs: parse tree to Operand and Condition, numbers folded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NoReturn

from lark import Token, Tree

from client.litmus import expression as a
from client.litmus.arithmetic import arith, inverse
from client.litmus.limits import MAX_NESTING
from client.litmus.msr import BITS
from client.litmus.numerals import numeral
from client.litmus.places import Path, Places
from client.litmus.spelling import hint, quote, unknown
from client.litmus.tree import Node, tokens, trees


class OperandReader:
    """Reads operands of one actor; ``registers`` are those set so far. ``bits``: names that stand for numbers. ``msr``:
    the MSR whose bits they are; "" for the named bits of all MSRs."""

    def __init__(
        self, places: Places, actor: str, registers: Collection[str], bits: Mapping[str, int] = BITS, msr: str = ""
    ) -> None:
        self.places = places
        self.actor = actor
        self.registers = registers
        self.bits = bits
        self.msr = msr

    def operand(self, node: Node, path: Path, depth: int = 0) -> a.Operand:
        self.places.mark(path, first(node))
        if depth > MAX_NESTING + 2:  # The printer may add two levels; validation counts the levels that were meant.
            self.places.fail(first(node), f"the expression nests deeper than {MAX_NESTING}")
        if node.data == "atom":
            return self.atom(node)
        if node.data == "inverted":
            return inverse(self.operand(next(trees(node)), path, depth + 1))
        start, *rest = node.children
        assert isinstance(start, Tree)
        value = self.operand(start, path, depth + 1)
        for op, child in zip(rest[::2], rest[1::2], strict=True):
            assert isinstance(child, Tree)
            value = arith(str(op), value, self.operand(child, path, depth + 1))
        return value

    def atom(self, node: Node) -> a.Operand:
        (token,) = tokens(node)
        if bracket := next(trees(node), None):
            self.places.fail(first(bracket), f"{token}[...] is an MSR, which only rdmsr, wrmsr, get and set reach")
        if token.type == "NUMBER":
            return numeral(token, self.places)
        if token.type == "DEPTH":
            return a.DEPTH
        if token in self.bits:
            return self.bits[token]
        return str(token) if token in self.registers else self.unknown(token)

    def unknown(self, token: Token) -> NoReturn:
        if near := dashed(token, self.registers):
            self.places.fail(token, near)
        if not self.msr:
            self.places.fail(
                token, f"{self.actor} has set no register {quote(token)} by here{hint(token, self.registers)}"
            )
        if self.bits:
            self.places.fail(token, unknown(f"bit of {self.msr}", token, (*self.bits, *self.registers)))
        self.places.fail(token, f"expected a number, found {quote(token)}: no bit of {self.msr} has a name")

    def condition(self, node: Node, path: Path, depth: int = 0) -> a.Condition:
        if depth > MAX_NESTING:
            self.places.fail(first(node), f"the condition nests deeper than {MAX_NESTING}")
        if node.data == "compare":
            left, op, right = node.children
            assert isinstance(left, Tree)
            assert isinstance(op, Token)
            value = self.operand(left, path)
            if isinstance(right, Tree) and not (_alone(right) and first(right) in a.ANSWERS):
                return a.Test(value, str(op), self.operand(right, path))
            word = first(right) if isinstance(right, Tree) else right
            if word not in a.ANSWERS:
                self.places.fail(word, f"expected a number, #GP, #DE, ok, skipped or an errno, found {quote(word)}")
            return a.Test(value, str(op), str(word))
        self.places.mark(path, first(node))
        args = tuple(self.condition(child, path, depth + 1) for child in trees(node))
        return a.AnyOf(args) if node.data == "test" else a.AllOf(args)


def _alone(node: Node) -> bool:
    """Whether an operand is one word."""
    return node.data == "atom" and len(node.children) == 1


def first(node: Node) -> Token:
    child: Node | Token = node
    while isinstance(child, Tree):
        child = child.children[0]
    return child


def dashed(name: str, registers: Collection[str]) -> str:
    """The hint for ``r1-1``, which is one name because names may hold a dash."""
    left, dash, right = name.partition("-")
    return f"{quote(name)} is one name, write {quote(f'{left} - {right}')}" if dash and left in registers else ""
