"""Operands, conditions and the end of a scenario as litmus text; each statement has its own."""

from __future__ import annotations

from client.litmus import expression as e
from client.litmus import final as f
from client.litmus.msr import bit_names
from contract.x86 import MASK64

TIMES = ("enabled", "running")
"""Fields of a read that hold nanoseconds."""
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def setting_text(value: int | str) -> str:
    """The value of a setting in braces."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


_NO_BITS: dict[str, int] = {}


def operand_text(operand: e.Operand, bits: dict[str, int] = _NO_BITS) -> str:
    """The text of an operand. ``bits``: numbers that are printed by name."""
    match operand:
        case int():
            return _bits(bits, operand)
        case str():
            return operand
        case e.Inverse(arg=arg):
            return f"~{_inner(arg, bits)}"
        case e.Arith(op=op, left=left, right=right):
            chain = isinstance(left, e.Arith) and left.op == op
            return f"{operand_text(left, bits) if chain else _inner(left, bits)} {op} {_inner(right, bits)}"


def _inner(operand: e.Operand, bits: dict[str, int]) -> str:
    """The text of an operand inside a larger one. A number with mostly ones is written as the inverse of its zeros."""
    if isinstance(operand, e.Arith):
        return f"({operand_text(operand, bits)})"
    if not isinstance(operand, int):
        return operand_text(operand, bits)
    lacks = MASK64 - operand
    if lacks < 1 << 32:
        return f"~{_inner(lacks, bits)}" if lacks else f"{operand:#x}"
    text = _bits(bits, operand)
    return f"({text})" if "|" in text else text


def condition_text(condition: e.Condition) -> str:
    match condition:
        case e.Test(left=left, op=op, right=right):
            return f"{operand_text(left)} {op} {operand_text(right)}"
        case e.AllOf(args=args):
            return " /\\ ".join(map(_inner_condition, args))
        case e.AnyOf(args=args):
            return " \\/ ".join(map(_inner_condition, args))


def _inner_condition(condition: e.Condition) -> str:
    text = condition_text(condition)
    return text if isinstance(condition, e.Test) else f"({text})"


def duration_text(ns: int) -> str:
    unit = next(u for u, size in UNITS.items() if ns % size == 0)
    return f"{ns // UNITS[unit]}{unit}"


def msr_text(msr: e.MsrRef) -> str:
    if msr.index is None:
        return msr.name
    index = operand_text(msr.index)
    return f"{msr.name}[{index}]" if msr.name else index


def number_text(value: int, hex_from: int) -> str:
    """A number in decimal; in hexadecimal if it is ``hex_from`` or more."""
    return f"{value:#x}" if value >= hex_from else str(value)


def constant_text(value: e.Constant) -> str:
    """A number in hexadecimal, or the name of a ``let``."""
    return f"{value:#x}" if isinstance(value, int) else value


def value_text(msr: e.MsrRef, value: e.Operand) -> str:
    """The value for an MSR, its bits by their names."""
    return operand_text(value, bit_names(msr))


def _bits(names: dict[str, int], value: int) -> str:
    bits = {name: bit for name, bit in names.items() if value & bit}
    rest = value & ~sum(bits.values())
    return " | ".join([*bits, *([number_text(rest, 10)] if rest or not bits else [])])


def term_text(term: f.Term, beside: f.Term | None = None) -> str:
    """The text of a term. ``beside`` is the term on the other side: a number is printed as a time beside a time, and in
    decimal beside any field."""
    match term:
        case f.Int(value=value) if isinstance(beside, f.Reg) and beside.field:
            return duration_text(value) if beside.field in TIMES else str(value)
        case f.Reg(actor=actor, register=register, field=field):
            return f"{actor}:{register}.{field}" if field else f"{actor}:{register}"
        case f.Invariant(name=name):
            return f"invariant {name}"
        case f.Int(value=value):
            return number_text(value, 0x1000)
        case f.Word(value=word):
            return word


def expr_text(expr: f.Expr) -> str:
    match expr:
        case f.Compare(left=left, op=op, right=right):
            return f"{term_text(left, right)} {op} {term_text(right, left)}"
        case f.Not(arg=arg):
            return f"~ {bracketed_text(arg)}"
        case f.And(args=args):
            return " /\\ ".join(map(bracketed_text, args))
        case f.Or(args=args):
            return " \\/ ".join(map(bracketed_text, args))


def expect_text(expect: f.Expect) -> str:
    return f"expect {expect.verdict} {', '.join(expect.invariants)}{under_text(expect.under)}"


def under_text(under: tuple[str, ...]) -> str:
    """The designs that a line applies to; "" for all."""
    return f" under {', '.join(under)}" if under else ""


def bracketed_text(expr: f.Expr) -> str:
    return f"({expr_text(expr)})" if isinstance(expr, f.And | f.Or) else expr_text(expr)
