"""Checks of the final condition: registers that some statement sets, their fields, and the values that they can be
compared with."""

from __future__ import annotations

from client.litmus import ast as a
from client.litmus.checking import Fail, SetRegisters
from client.litmus.expression import OPERATORS
from client.litmus.limits import MAX_NESTING
from client.litmus.places import Path
from client.litmus.spelling import hint, listed, quote, unknown
from client.litmus.text import term_text
from client.litmus.words import (
    EVENT_STATES,
    QUANTIFIERS,
    REGISTER_WORDS,
    STATE_NOW_WORDS,
    STATE_WORDS,
    STMT_FIELDS,
    VERDICTS,
    is_name,
)
from contract.invariants import INVARIANTS
from contract.x86 import MASK64

# The named values that a term can have. A register can also have numbers; the other terms cannot.
Words = tuple[str, ...]
# The name for values that are too many to list.
_USUAL = {
    REGISTER_WORDS: ("a number", "#GP", "EOF", "an errno"),
    STATE_WORDS: (*EVENT_STATES, "an errno"),
    STATE_NOW_WORDS: (*EVENT_STATES, "an errno", "none"),
}


def check_final(final: a.Final, registers: SetRegisters, fail: Fail) -> None:
    if final.quantifier not in QUANTIFIERS:
        fail(unknown("quantifier", final.quantifier, QUANTIFIERS), "final")
    _check_under(final.under, ("final",), fail)
    _FinalChecker(registers, fail).expr(final.expr, ("final", "expr"))


def check_expects(expects: list[a.Expect], fail: Fail) -> None:
    """Check that each ``expect`` names existing verdicts and invariants, and one verdict for each invariant under each
    design."""
    for nth, expect in enumerate(expects):
        path = ("expect", nth)
        if expect.verdict not in VERDICTS:
            fail(unknown("verdict", expect.verdict, VERDICTS), *path, "verdict")
        if not expect.invariants:
            fail("expect needs an invariant", *path)
        _check_under(expect.under, path, fail)
        for i, name in enumerate(expect.invariants):
            if name not in INVARIANTS:
                fail(unknown("invariant", name, INVARIANTS), *path, "invariant", i)
            both = any(
                name in other.invariants and (not other.under or not expect.under or {*other.under} & {*expect.under})
                for other in expects[:nth]
            )
            if both or name in expect.invariants[:i]:
                fail(f"a verdict of {quote(name)} is expected twice", *path, "invariant", i)


def _check_under(under: tuple[str, ...], path: Path, fail: Fail) -> None:
    for i, name in enumerate(under):
        if not is_name(name) or name in under[:i]:
            fail(f"{quote(name)} cannot name a design here: malformed, or named before", *path, "under", i)


class _FinalChecker:
    def __init__(self, registers: SetRegisters, fail: Fail) -> None:
        self.registers = registers
        self.fail = fail

    def expr(self, expr: a.Expr, path: Path) -> None:
        if len(path) > MAX_NESTING + 2:
            self.fail(f"the condition nests deeper than {MAX_NESTING}", "final")
        match expr:
            case a.Compare():
                self.compare(expr, path)
            case a.Not(arg=arg):
                self.expr(arg, (*path, 0))
            case a.And(args=args) | a.Or(args=args):
                if len(args) < 2:
                    self.fail("a conjunction or disjunction needs two operands", *path)
                for i, operand in enumerate(args):
                    self.expr(operand, (*path, i))

    def compare(self, compare: a.Compare, path: Path) -> None:
        if compare.op not in OPERATORS:
            self.fail(unknown("comparison", compare.op, OPERATORS), *path)
        terms = (compare.left, (*path, "left")), (compare.right, (*path, "right"))
        left, right = (self.variable(*term) for term in terms)
        words = left or right
        if words is None:
            self.fail("this compares two constants", *path, "left")
        if left and right and left != right:
            message = f"{term_text(compare.left)} and {term_text(compare.right)} are never equal"
            self.fail(message, *path, "right")
        for term, place in terms:
            self.constant(term, words, place)
        if not any(isinstance(term, a.Word) for term, _ in terms):
            for term, place in terms:
                self.number(term, place)
        named = words != REGISTER_WORDS or any(isinstance(term, a.Word) for term, _ in terms)
        if named and compare.op not in ("=", "!="):
            self.fail(f"named values have no order, expected '=' or '!=', found '{compare.op}'", *path, "op")

    def variable(self, term: a.Term, path: Path) -> Words | None:
        """The named values that ``term`` can have; None for a constant."""
        match term:
            case a.Reg():
                return self.register(term, path)
            case a.Invariant(name=name):
                if name not in INVARIANTS:
                    self.fail(unknown("invariant", name, INVARIANTS), *path)
                return VERDICTS
            case _:
                return None

    def number(self, term: a.Term, path: Path) -> None:
        """A register that is compared with another, or with a number, can hold one itself."""
        if not isinstance(term, a.Reg) or term.field:
            return
        setter = self.registers[term.actor][term.register]
        if setter.result in (a.ResultKind.NUMBER, a.ResultKind.STATE):
            return
        said = f"{term_text(term)} is not a number: {term.actor} set it by {quote(setter.text())}"
        fields = [f"{term_text(term)}.{field}" for field in STMT_FIELDS.get(type(setter), ())]
        self.fail(f"{said}, expected {listed(fields)}" if fields else said, *path, "register")

    def constant(self, term: a.Term, words: Words, path: Path) -> None:
        match term:
            case a.Int(value=value) if words != REGISTER_WORDS:
                self.fail(f"expected {listed(_USUAL.get(words, words))}, found {term_text(term)}", *path)
            case a.Int(value=value) if not 0 <= value <= MASK64:
                self.fail(f"{quote(str(value))} does not fit 64 bits", *path)
            case a.Word(value=word) if word not in words:
                near = hint(word, words) or f", expected {listed(_USUAL.get(words, words))}"
                self.fail(f"unknown value {quote(word)}{near}", *path)

    def register(self, reg: a.Reg, path: Path) -> Words:
        known = self.registers.get(reg.actor)
        if known is None:
            self.fail(unknown("actor", reg.actor, self.registers), *path, "actor")
        setter = known.get(reg.register)
        if setter is None:
            message = f"{reg.actor} never sets register {quote(reg.register)}{hint(reg.register, known)}"
            self.fail(message, *path, "register")
        fields = STMT_FIELDS.get(type(setter), ())
        if not reg.field and isinstance(setter, a.OpenEvent):
            name = f"{reg.actor}:{reg.register}"
            expected = listed(f"{name}.{field}" for field in fields)
            self.fail(f"{name} is an event, expected {expected}", *path, "register")
        if isinstance(setter, a.StateOf):
            return STATE_NOW_WORDS
        if not reg.field:
            return REGISTER_WORDS
        if not fields:
            self.fail(f"{reg.actor}:{reg.register} has no fields", *path, "field")
        if reg.field not in fields:
            self.fail(unknown("field", reg.field, fields), *path, "field")
        return STATE_WORDS if reg.field == "state" else REGISTER_WORDS
