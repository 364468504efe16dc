"""One statement under validation: whether its operands are possible, and whether everything it names exists at that
point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

from client.litmus.arithmetic import ARITHMETIC
from client.litmus.expression import (
    DEPTH,
    OPERATORS,
    Arith,
    Condition,
    Constant,
    Inverse,
    MsrRef,
    Operand,
    Test,
    is_answer,
)
from client.litmus.limits import MAX_BRANCHES, MAX_NESTING
from client.litmus.msr import BANKS, MAX_MSR, SINGLE, SPELLINGS, number
from client.litmus.places import Path
from client.litmus.spelling import hint, quote, unknown
from client.litmus.statements.statement import ResultKind, Stmt
from client.litmus.text import duration_text
from contract.spec import ADVANCE_LIMIT
from contract.x86 import BRANCH_KINDS, MASK64, PRIVILEGES, LbrModel


class Fail(Protocol):
    def __call__(self, message: str, *path: str | int) -> NoReturn: ...


# The statement that set each register of each actor.
SetRegisters = dict[str, dict[str, Stmt]]


@dataclass(slots=True)
class Scope:
    """Everything that the statements of a scenario can refer to, up to the statement under validation."""

    cpus: int
    """CPUs of all hosts."""
    model: LbrModel
    model_name: str
    vcpus: set[str]
    tasks: set[str]
    """Host tasks, threads of vCPUs among them."""
    placement: dict[str, int]
    """KVM service to the number of its host."""
    stays: dict[str, set[str]]
    """VM to the KVM services that it is at during the scenario."""
    lets: dict[str, int]
    fail: Fail
    registers: SetRegisters
    closed: set[tuple[str, str]]
    """Events that are closed before this statement, as actor and register."""
    loops: int = 0
    """The number of loops around the statement."""


@dataclass(slots=True)
class StmtCheck:
    """The checks of one statement. Each method raises InputError at the operand ``part`` of the statement."""

    actor: str
    known: Mapping[str, Stmt]
    """The actor's registers, with the statements that set them."""
    path: Path
    scope: Scope

    def having(self, register: str, stmt: Stmt) -> StmtCheck:
        """This check with one more register, which ``stmt`` sets."""
        return replace(self, known={**self.known, register: stmt})

    def fail(self, message: str, *part: str | int) -> NoReturn:
        self.scope.fail(message, *self.path, *part)

    def member(self, what: str, name: str, known: Iterable[str], *part: str | int) -> None:
        if name not in known:
            self.fail(unknown(what, name, sorted(known)), *part)

    def vcpu(self, name: str) -> None:
        self.member("vCPU", name, self.scope.vcpus, "vcpu")

    def task(self, name: str, part: str = "task") -> None:
        self.member("task", name, self.scope.tasks, part)

    def cpu(self, cpu: int) -> None:
        cpus = self.scope.cpus
        if not 0 <= cpu < cpus:
            last = f"cpu0 to cpu{cpus - 1}" if cpus > 1 else "cpu0 only"
            self.fail(f"no CPU 'cpu{cpu}', the machine has {last}", "cpu")

    def time(self, verb: str, ns: int, least: int) -> None:
        if not least <= ns <= ADVANCE_LIMIT:
            expected = f"{duration_text(least)} to {duration_text(ADVANCE_LIMIT)}"
            self.fail(f"{verb} {duration_text(ns)} is impossible, expected {expected}", "ns")

    def constant(self, constant: Constant, *part: str | int) -> int:
        """The number of a constant, which may be the name of a ``let``."""
        if isinstance(constant, int):
            return constant
        if constant not in self.scope.lets:
            self.fail(unknown("let", constant, self.scope.lets), *part)
        return self.scope.lets[constant]

    def branches(self, count: Constant, kind: str, privilege: str) -> None:
        number = self.constant(count, "count")
        if not 1 <= number <= MAX_BRANCHES:
            self.fail(f"{number} branches are impossible, expected 1 to {MAX_BRANCHES}", "count")
        self.member("branch kind", kind, BRANCH_KINDS, "branch")
        self.member("privilege", privilege, PRIVILEGES, "privilege")

    def event(self, event: str, part: str = "event") -> None:
        """Check that the actor has opened ``event``, and has not closed it."""
        setter = self.known.get(event)
        if setter is None:
            events = [name for name, stmt in self.known.items() if stmt.result is ResultKind.EVENT]
            others = (
                other
                for other, registers in self.scope.registers.items()
                if event in registers and registers[event].result is ResultKind.EVENT
            )
            near = next((f", it is {other}'s" for other in others), hint(event, events))
            self.fail(f"{self.actor} has not opened event {quote(event)} by here{near}", part)
        if setter.result is not ResultKind.EVENT:
            self.fail(f"{quote(event)} is not an event: {self.actor} set it by {quote(setter.text())}", part)
        if (self.actor, event) in self.scope.closed:
            self.fail(f"event {quote(event)} is closed by here", part)

    def msr(self, msr: MsrRef, *part: str | int) -> None:
        """Check that the MSR of the operand ``part`` exists on the machine."""
        if not msr.name:
            if msr.index is None or isinstance(msr.index, int):
                self.fail("an MSR without a name needs an address to compute", *part, "msr")
            self.operand(msr.index, *part, "index")
        elif msr.name in BANKS:
            self._entry(msr, *part)
        elif msr.index is not None:
            self.fail(f"{msr.name} takes no index", *part, "index")
        elif self._is_missing(msr.name):
            self.fail(
                f"lbr = {self.scope.model_name} has no {msr.name}; name its address, 0x1c8 or 0x1c9", *part, "msr"
            )
        elif msr.name not in SINGLE:
            address = number(msr.name)
            if address is None:
                self.fail(unknown("MSR", msr.name, SPELLINGS), *part, "msr")
            if address > MAX_MSR:
                self.fail(f"MSR {msr.name} does not fit 32 bits", *part, "msr")

    def _is_missing(self, name: str) -> bool:
        model = self.scope.model
        if name == "LBR_SELECT" and not model.has_select and not model.architectural:
            return True
        return name in ("LBR_SELECT", "LBR_TOS") and not model.has_lbr

    def _entry(self, msr: MsrRef, *part: str | int) -> None:
        model = self.scope.model
        if not model.has_lbr or (msr.name == "LBR_INFO" and not model.info_base):
            self.fail(f"lbr = {self.scope.model_name} has no {msr.name}; name an address, 0x680", *part, "msr")
        if msr.index is None:
            self.fail(f"{msr.name} needs an index: '{msr.name}[0]'", *part, "msr")
        if not isinstance(msr.index, int):
            self.operand(msr.index, *part, "index")
        elif not 0 <= msr.index < model.depth:
            last = model.depth - 1
            self.fail(f"no {msr.name}[{msr.index}], the ring has entries 0 to {last}", *part, "index")

    def operand(self, operand: Operand, *part: str | int, word: bool = False, depth: int = 0) -> None:
        """Check an operand. ``word``: it is only compared with a word, so any register that may hold a word is
        allowed."""
        if depth > MAX_NESTING:
            self.fail(f"the expression nests deeper than {MAX_NESTING}", *part)
        match operand:
            case int():
                if not 0 <= operand <= MASK64:
                    self.fail(f"{quote(f'{operand:#x}')} does not fit 64 bits", *part)
            case str():
                if operand != DEPTH:
                    self._number(operand, word, *part)
            case Inverse(arg=arg):
                if isinstance(arg, int):
                    self.fail("this computes a constant, write the number", *part)
                self.operand(arg, *part, depth=depth + 1)
            case Arith(op="%", right=0):
                self.fail("this divides by zero", *part)
            case Arith(op=op, left=left, right=right):
                if op not in ARITHMETIC:
                    self.fail(unknown("operator", op, ARITHMETIC), *part)
                if isinstance(left, int) and isinstance(right, int):
                    self.fail("this computes a constant, write the number", *part)
                for side in (left, right):
                    self.operand(side, *part, depth=depth + 1)

    def _number(self, register: str, word: bool, *part: str | int) -> None:
        setter = self.known.get(register)
        if setter is None and register in self.scope.lets:
            return
        if setter is None:
            near = hint(register, self.known)
            self.fail(f"{self.actor} has set no register {quote(register)} by here{near}", *part)
        if setter.result is not ResultKind.NUMBER and not (word and setter.result is ResultKind.WORD):
            self.fail(f"{quote(register)} is not a number: {self.actor} set it by {quote(setter.text())}", *part)

    def condition(self, condition: Condition, *part: str | int, depth: int = 0) -> None:
        if depth > MAX_NESTING:
            self.fail(f"the condition nests deeper than {MAX_NESTING}", *part)
        if not isinstance(condition, Test):
            if len(condition.args) < 2:
                self.fail("a conjunction or disjunction needs two operands", *part)
            for arg in condition.args:
                self.condition(arg, *part, depth=depth + 1)
            return
        if condition.op not in OPERATORS:
            self.fail(unknown("comparison", condition.op, OPERATORS), *part)
        word = is_answer(condition.right)
        if word and condition.op not in ("=", "!="):
            self.fail(f"named values have no order, expected '=' or '!=', found '{condition.op}'", *part)
        self.operand(condition.left, *part, word=word)
        if not word:
            self.operand(condition.right, *part)
