"""A scenario's final condition on one run."""

from __future__ import annotations

import operator
from collections.abc import Callable

from client.litmus import ast as a
from client.litmus.text import expr_text
from contract.trace import AnyRecord, Outcome

Value = int | str | dict[str, int | str]
Registers = dict[str, Value]

_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def registers_of(records: list[AnyRecord]) -> Registers:
    """``actor:register`` to its last value."""
    return {f"{r.actor}:{r.register}": r.value for r in records if isinstance(r, Outcome) and r.register}


def result_of(final: a.Final, registers: Registers, verdicts: dict[str, str]) -> str:
    """``witnessed`` or ``not witnessed`` for exists; ``held`` or ``violated`` for ~exists and forall."""
    true = _holds(final.expr, registers, verdicts)
    if final.quantifier == "exists":
        return "witnessed" if true else "not witnessed"
    return "held" if true == (final.quantifier == "forall") else "violated"


def final_text(final: a.Final) -> str:
    under = f" under {', '.join(final.under)}" if final.under else ""
    return f"{final.quantifier} ({expr_text(final.expr)}){under}"


def _holds(expr: a.Expr, registers: Registers, verdicts: dict[str, str]) -> bool:
    match expr:
        case a.Not(arg=arg):
            return not _holds(arg, registers, verdicts)
        case a.And(args=args):
            return all(_holds(arg, registers, verdicts) for arg in args)
        case a.Or(args=args):
            return any(_holds(arg, registers, verdicts) for arg in args)
        case a.Compare(left=left, op=op, right=right):
            return _compare(_value(left, registers, verdicts), op, _value(right, registers, verdicts))


def _value(term: a.Term, registers: Registers, verdicts: dict[str, str]) -> int | str | None:
    match term:
        case a.Int() | a.Word():
            return term.value
        case a.Invariant(name=name):
            return verdicts.get(name, "not exercised").replace(" ", "-")
        case a.Reg():
            value = registers.get(f"{term.actor}:{term.register}")
            if isinstance(value, dict):
                return value.get(term.field)
            return value if isinstance(value, str) or not term.field else None


def _compare(left: int | str | None, op: str, right: int | str | None) -> bool:
    """A register that never got its value equals nothing and differs from everything; words have no order."""
    if op == "=":
        return left is not None and left == right
    if op == "!=":
        return left is None or left != right
    return isinstance(left, int) and isinstance(right, int) and _OPERATORS[op](left, right)
