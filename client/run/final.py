"""A scenario's final condition on one run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container
from dataclasses import dataclass

from client.litmus import ast as a
from client.litmus.arithmetic import no_number
from client.litmus.text import expr_text, term_text, under_text
from contract.trace import AnyRecord, Outcome

Value = int | str | dict[str, int | str]
RegisterValues = dict[str, Value]

UNDECIDED = "undecided"

_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def registers_of(records: list[AnyRecord]) -> RegisterValues:
    """``actor:register`` to its last value."""
    return {f"{r.actor}:{r.register}": r.value for r in records if type(r) is Outcome and r.register}


def result_of(
    final: a.Final, registers: RegisterValues, verdicts: dict[str, str], unfinished: Container[str] = frozenset()
) -> tuple[str, str]:
    """The result and a reason. The result is ``witnessed`` or ``not witnessed`` for exists; ``held`` or ``violated``
    for ~exists and forall. It is ``undecided`` if it depends on registers that actors in ``unfinished`` have not set,
    on an invariant that is not in ``verdicts``, or on the order of a register that holds no number. The reason is given
    in this last case only, else it is ""."""
    condition = _Condition(registers, verdicts, unfinished)
    true = condition.truth(final.expr)
    if true is None:
        return UNDECIDED, condition.no_number
    if final.quantifier == "exists":
        return "witnessed" if true else "not witnessed", ""
    return "held" if true == (final.quantifier == "forall") else "violated", ""


def final_text(final: a.Final) -> str:
    return f"{final.quantifier} ({expr_text(final.expr)}){under_text(final.under)}"


@dataclass(slots=True)
class _Condition:
    registers: RegisterValues
    verdicts: dict[str, str]
    unfinished: Container[str]
    no_number: str = ""
    """The first comparison that lacks a number, in words."""

    def truth(self, expr: a.Expr) -> bool | None:
        """The truth of a condition; None if unknown. An unknown part makes the whole unknown unless the other parts
        decide it."""
        match expr:
            case a.Not(arg=arg):
                true = self.truth(arg)
                return None if true is None else not true
            case a.And(args=args):
                parts = [self.truth(arg) for arg in args]
                return False if False in parts else None if None in parts else True
            case a.Or(args=args):
                parts = [self.truth(arg) for arg in args]
                return True if True in parts else None if None in parts else False
            case a.Compare(left=left, op=op, right=right):
                if self.unknown(left) or self.unknown(right):
                    return None
                return self.compared(left, op, right)

    def compared(self, left: a.Term, op: str, right: a.Term) -> bool | None:
        """Compare two values. A register that never got its value equals nothing and differs from everything. Words
        have no order."""
        first, second = self.value(left), self.value(right)
        if op == "=":
            return first is not None and first == second
        if op == "!=":
            return first is None or first != second
        if isinstance(first, int) and isinstance(second, int):
            return _OPERATORS[op](first, second)
        term, word = (right, second) if isinstance(first, int) else (left, first)
        self.no_number = self.no_number or no_number("the condition", term_text(term), str(word or a.SKIPPED))
        return None

    def unknown(self, term: a.Term) -> bool:
        if isinstance(term, a.Invariant):
            return term.name not in self.verdicts
        if not isinstance(term, a.Reg) or term.actor not in self.unfinished:
            return False
        return f"{term.actor}:{term.register}" not in self.registers

    def value(self, term: a.Term) -> int | str | None:
        match term:
            case a.Int() | a.Word():
                return term.value
            case a.Invariant(name=name):
                return self.verdicts[name].replace(" ", "-")
            case a.Reg():
                value = self.registers.get(f"{term.actor}:{term.register}")
                if isinstance(value, dict):
                    return value.get(term.field)
                return value if isinstance(value, str) or not term.field else None
