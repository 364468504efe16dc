"""Expressions of programs: numbers, words, computations on registers, and comparisons."""

from __future__ import annotations

import errno
from typing import TypeGuard

import msgspec

DEPTH = "lbr_depth"
"""The number of entries of the machine's LBR, as an operand of an expression."""
FAULT = "#GP"
"""The word in a register after an access that faulted."""
DIVISION = "#DE"
"""The word in a register after a division by zero."""
DONE = "ok"
"""The word in a register after a call that succeeded and has no value of its own."""
SKIPPED = "skipped"
"""The word in a register that no statement has set, or whose statement could not be carried out."""
ERRNOS = tuple(name for name in dir(errno) if name.startswith("E"))
ANSWERS = frozenset({FAULT, DIVISION, DONE, SKIPPED, *ERRNOS})
"""The words that a program can compare a register with. A register cannot have one of these names."""


Constant = int | str
"""A number, or the name of a ``let``."""

OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
"""The comparisons."""


class Arith(msgspec.Struct, tag=True, frozen=True):
    """``left op right`` on unsigned 64-bit numbers, op one of + - * % & | ^ << >>. Shifts of 64 and more give
    0, % 0 gives ``#DE``."""

    op: str
    left: Operand
    right: Operand


class Inverse(msgspec.Struct, tag=True, frozen=True):
    """``~arg``"""

    arg: Operand


Operand = int | str | Arith | Inverse
"""A number, the name of a register of the same actor, ``lbr_depth``, or a computation on these. An operand made only of
numbers is itself a number. If a register holds a word (``#GP``, ``skipped``), the result is that word."""


class Test(msgspec.Struct, tag=True, frozen=True):
    """``left op right``, op one of = != < <= > >=. ``right`` may be a word of ``ANSWERS`` (``#GP``, ``ok``); op is then
    = or !=. Otherwise both sides must be numbers when the program gets there."""

    left: Operand
    op: str
    right: Operand


def is_answer(operand: Operand) -> TypeGuard[str]:
    """Whether the right side of a Test is a word of ``ANSWERS``."""
    return isinstance(operand, str) and operand in ANSWERS


class AllOf(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Condition, ...]


class AnyOf(msgspec.Struct, tag=True, frozen=True):
    args: tuple[Condition, ...]


Condition = Test | AllOf | AnyOf


class MsrRef(msgspec.Struct, frozen=True):
    """An MSR by name (``LBR_TOS``, ``LBR_FROM``, ``IA32_DEBUGCTL`` ...) or number (``0x1c9``). ``index`` selects an
    entry of FROM, TO or INFO, by its position in the ring. Without a name, ``index`` is the address; only its low 32
    bits count (as in ECX): ``rdmsr 0x680 + r1``."""

    name: str
    index: Operand | None = None
