"""The values of operands and conditions: unsigned 64-bit arithmetic, and words that stand for themselves."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from client.litmus import expression as a
from client.litmus.spelling import quote
from contract.x86 import MASK64

_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "%": operator.mod,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": lambda left, right: left << right if right < 64 else 0,
    ">>": lambda left, right: left >> right if right < 64 else 0,
}
ARITHMETIC = tuple(_ARITHMETIC)
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def arith(op: str, left: a.Operand, right: a.Operand) -> a.Operand:
    """``left op right``: a number if both are numbers."""
    if isinstance(left, int) and isinstance(right, int) and not (op == "%" and right == 0):
        return _ARITHMETIC[op](left, right) & MASK64
    return a.Arith(op, left, right)


def inverse(arg: a.Operand) -> a.Operand:
    return arg ^ MASK64 if isinstance(arg, int) else a.Inverse(arg)


def evaluate(operand: a.Operand, registers: Mapping[str, object], depth: int) -> int | str:
    """A number, or the first word among the operands. Tables of fields take no part in arithmetic."""
    match operand:
        case int():
            return operand
        case a.DEPTH:
            return depth
        case str():
            value = registers.get(operand, a.SKIPPED)
            return value if isinstance(value, (int, str)) else a.SKIPPED
        case a.Inverse(arg=arg):
            value = evaluate(arg, registers, depth)
            return value ^ MASK64 if isinstance(value, int) else value
        case a.Arith(op=op):
            left = evaluate(operand.left, registers, depth)
            right = evaluate(operand.right, registers, depth)
            if isinstance(left, str):
                return left
            if isinstance(right, str):
                return right
            return a.DIVISION if op == "%" and right == 0 else _ARITHMETIC[op](left, right) & MASK64


def no_number(who: str, what: str, word: str) -> str:
    """The error if ``who`` compares ``what``, whose value is ``word``, with a number."""
    return f"{who} compares {quote(what)}, which holds {word} and no number; test it by '= {word}' first"


class NoNumberError(Exception):
    """``operand`` must be a number, and its value is ``word``."""

    def __init__(self, operand: a.Operand, word: str) -> None:
        super().__init__(word)
        self.operand = operand
        self.word = word


def holds(condition: a.Condition, registers: Mapping[str, object], depth: int) -> bool:
    """Whether a condition holds. It is evaluated from left to right until the result is known. Raises NoNumberError if
    a comparison lacks a number."""
    match condition:
        case a.AllOf(args=args):
            return all(holds(arg, registers, depth) for arg in args)
        case a.AnyOf(args=args):
            return any(holds(arg, registers, depth) for arg in args)
        case a.Test(op=op):
            if a.is_answer(condition.right):
                return (_answer(condition.left, registers, depth) == condition.right) == (op == "=")
            left, right = (number(side, registers, depth) for side in (condition.left, condition.right))
            return _COMPARE[op](left, right)


def _answer(operand: a.Operand, registers: Mapping[str, object], depth: int) -> int | str | None:
    """The value of a register as an operand; None for a table of fields."""
    if isinstance(operand, str) and isinstance(registers.get(operand), dict):
        return None
    return evaluate(operand, registers, depth)


def number(operand: a.Operand, registers: Mapping[str, object], depth: int) -> int:
    """The value of an operand. Raises NoNumberError if it is a word."""
    value = evaluate(operand, registers, depth)
    if isinstance(value, str):
        raise NoNumberError(operand, value)
    return value
