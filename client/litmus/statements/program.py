"""Statements of programs, which any actor may say: assignments, loops, conditions. They are not steps."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from client.litmus.checking import StmtCheck
from client.litmus.expression import Condition, Operand
from client.litmus.reading import Reading
from client.litmus.statements.guest import AnyGuest
from client.litmus.statements.host import AnyHost
from client.litmus.statements.statement import Examples, ProgramStmt, ResultKind, Rules, Stmt
from client.litmus.statements.user import AnyUser
from client.litmus.text import condition_text, operand_text
from client.litmus.tree import Node


class Assign(ProgramStmt, frozen=True):
    """``r1 = r0 + 1;``: not a step, like all statements of programs."""

    rules: ClassVar[Rules] = {"let": "operand"}
    examples: ClassVar[Examples] = (
        (
            "a = 0x680 + lbr_depth;",
            "~ * % + - << >> & ^ | bind as in C, on unsigned 64 bits; #GP stays #GP, % 0 is #DE",
        ),
    )
    result = ResultKind.NUMBER

    register: str
    value: Operand

    @staticmethod
    def read(at: Reading) -> Assign:
        return Assign(at.register, at.operand(at.trees[0], "value"))

    def action(self) -> str:
        return operand_text(self.value)

    def check(self, at: StmtCheck) -> None:
        at.operand(self.value, "value")
        if not self.register:
            at.fail("an assignment needs a register", "register")


class Repeat(ProgramStmt, frozen=True):
    """``repeat 40 { ... }``: ``count`` is read once, before the first turn."""

    rules: ClassVar[Rules] = {"repeat": "REPEAT operand body"}
    examples: ClassVar[Examples] = (
        ("repeat turns { a = a + 1; }", "repeat the block; a number, or a let that run --let turns=9 can change"),
    )
    loop = True
    blocks = ("body",)

    count: Operand
    body: tuple[LitmusStep, ...]

    @staticmethod
    def read(at: Reading) -> Repeat:
        count, body = at.trees
        return Repeat(at.operand(count, "count"), at.body(body, "body"))

    def head(self) -> str:
        return f"repeat {operand_text(self.count)}"

    def check(self, at: StmtCheck) -> None:
        at.operand(self.count, "count")


class For(ProgramStmt, frozen=True):
    """``for i in 0 .. lbr_depth { ... }``: ``counter`` from ``first`` to the number before ``end``. ``end`` is read
    before each turn."""

    rules: ClassVar[Rules] = {"for": 'FOR WORD "in" operand ".." operand body'}
    examples: ClassVar[Examples] = (
        ("for i in 0 .. lbr_depth { a = a ^ i; }", "from the first number to the one before the second"),
    )
    result = ResultKind.NUMBER
    loop = True
    blocks = ("body",)

    counter: str
    first: Operand
    end: Operand
    body: tuple[LitmusStep, ...]

    @staticmethod
    def read(at: Reading) -> For:
        start, end, body = at.trees
        counter = at.mark(at.tokens[1], "register")
        first = at.operand(start, "first")
        at.set(counter)
        return For(counter, first, at.operand(end, "end"), at.body(body, "body"))

    @property
    def sets(self) -> str:
        return self.counter

    def head(self) -> str:
        return f"for {self.counter} in {operand_text(self.first)} .. {operand_text(self.end)}"

    def check(self, at: StmtCheck) -> None:
        at.operand(self.first, "first")
        at.having(self.counter, self).operand(self.end, "end")
        if not self.counter:
            at.fail("an assignment needs a register", "register")


class While(ProgramStmt, frozen=True):
    """``while r0 != #GP { ... }``"""

    rules: ClassVar[Rules] = {"while": "WHILE test body"}
    examples: ClassVar[Examples] = (
        ("while a < 2000 { a = a + 1; }", "repeat the block as long as the condition is true"),
    )
    loop = True
    blocks = ("body",)

    test: Condition
    body: tuple[LitmusStep, ...]

    @staticmethod
    def read(at: Reading) -> While:
        test, body = at.trees
        return While(at.condition(test, "test"), at.body(body, "body"))

    def head(self) -> str:
        return f"while {condition_text(self.test)}"

    def check(self, at: StmtCheck) -> None:
        at.condition(self.test, "test")


class If(ProgramStmt, frozen=True):
    """``if r0 = #GP { ... } else { ... }``"""

    rules: ClassVar[Rules] = {"if": 'IF test body ("else" (if | body))?'}
    examples: ClassVar[Examples] = (
        (
            "if a = #GP \\/ a > 9 { } else if a != 1 { } else { }",
            "= != < <= > >=, joined by /\\ and \\/, evaluated from left to right until the result is known; = and != "
            "also compare with #GP, ok, skipped, #DE or an errno; any other comparison with a register that holds no "
            "number is an error",
        ),
    )
    blocks = ("then", "orelse")

    test: Condition
    then: tuple[LitmusStep, ...]
    orelse: tuple[LitmusStep, ...] = ()

    @staticmethod
    def read(at: Reading) -> If:
        test, body, *other = at.trees
        condition = at.condition(test, "test")
        then = at.body(body, "then")
        return If(condition, then, If._orelse(at, other[0]) if other else ())

    @staticmethod
    def _orelse(at: Reading, node: Node) -> tuple[LitmusStep, ...]:
        return at.body(node, "orelse") if node.data == "body" else (at.chained(node, "orelse"),)

    def head(self) -> str:
        return f"if {condition_text(self.test)}"

    def check(self, at: StmtCheck) -> None:
        at.condition(self.test, "test")


class Break(ProgramStmt, frozen=True):
    """``break;`` leaves the innermost loop."""

    rules: ClassVar[Rules] = {"break": "BREAK"}
    examples: ClassVar[Examples] = (("while a < 9 { break; }", "break leaves the innermost loop"),)

    @staticmethod
    def read(at: Reading) -> Break:
        return Break()

    def action(self) -> str:
        return "break"

    def check(self, at: StmtCheck) -> None:
        if not at.scope.loops:
            at.fail("break must stand in a loop")


AnyProgram = Assign | Repeat | For | While | If | Break
AnyStmt = AnyHost | AnyGuest | AnyUser | AnyProgram


class LitmusStep(msgspec.Struct, eq=False):
    """One statement of one actor. ``line`` is its line in the file, ``printed`` its line in the text that
    ``format_scenario`` gives (0: built in Python). Neither is compared."""

    actor: str
    stmt: AnyStmt
    line: int = 0
    printed: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LitmusStep) and (self.actor, self.stmt) == (other.actor, other.stmt)

    def __ne__(self, other: object) -> bool:
        # Struct has an __ne__ of its own, which does not use this __eq__.
        return not self == other

    def __hash__(self) -> int:
        return hash((self.actor, self.stmt))


def bodies(stmt: Stmt) -> dict[str, tuple[LitmusStep, ...]]:
    """The statements between the braces of a statement, by field."""
    return {field: getattr(stmt, field) for field in stmt.blocks}
