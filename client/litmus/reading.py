"""One statement of a parse tree on its way to a Stmt: its tokens, and the names that its text can refer to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from lark import Token

from client.litmus.expression import Condition, Constant, MsrRef, Operand
from client.litmus.lower_operand import OperandReader, dashed, first
from client.litmus.msr import SPELLINGS, bit_names, named
from client.litmus.numerals import cpu_number, duration, numeral
from client.litmus.places import Path, Places
from client.litmus.settings import read_settings
from client.litmus.spelling import hint, quote, unknown
from client.litmus.tree import Node, tokens, trees

if TYPE_CHECKING:
    from client.litmus.statements.program import LitmusStep


@dataclass(slots=True)
class Known:
    """Everything that the statements of a scenario can refer to, as far as the text is read."""

    places: Places
    cpus: int = 1
    """CPUs of all hosts. If there is only one, a host's branches need not name it."""
    constants: dict[str, int] = field(default_factory=dict)
    """The numbers of ``let``."""
    registers: dict[str, dict[str, None]] = field(default_factory=dict)
    """Actor to the registers that it has set."""

    def set(self, actor: str, register: str) -> None:
        """Record that ``actor`` has ``register`` from here on."""
        if register:
            self.registers.setdefault(actor, {})[register] = None


@dataclass(slots=True)
class Reading:
    node: Node
    actor: str
    register: str
    """The text before the ``=``, "" if there is none."""
    path: Path
    known: Known
    body: Callable[[Node, str], tuple[LitmusStep, ...]]
    """The statements between a pair of braces, for a field of this statement."""
    chained: Callable[[Node, str], LitmusStep]
    """A program statement without braces of its own (``else if``), for a field of this statement."""

    @property
    def tokens(self) -> list[Token]:
        return tokens(self.node)

    @property
    def trees(self) -> list[Node]:
        return list(trees(self.node))

    @property
    def cpus(self) -> int:
        return self.known.cpus

    def fail(self, token: Token, message: str) -> NoReturn:
        self.known.places.fail(token, message)

    def mark(self, token: Token, *part: str | int) -> str:
        """The text of ``token``, whose place becomes that of the operand ``part``."""
        return self.known.places.mark((*self.path, *part), token)

    def number(self, token: Token, *part: str | int) -> int:
        self.mark(token, *part)
        return numeral(token, self.known.places)

    def constant(self, token: Token, *part: str | int) -> Constant:
        """A number, or the name of a ``let``."""
        if token.type == "NUMBER":
            return self.number(token, *part)
        if token not in self.known.constants:
            lets = self.known.constants
            self.fail(token, f"expected a number or the name of a let, found {quote(token)}{hint(token, lets)}")
        return self.mark(token, *part)

    def time(self, token: Token, *part: str | int) -> int:
        """A time in nanoseconds."""
        self.mark(token, *part)
        return duration(token, self.known.places)

    def cpu(self, token: Token) -> int:
        self.mark(token, "cpu")
        return cpu_number(token, self.known.places)

    def vcpu(self) -> str:
        """The vCPU after the verb."""
        return self.mark(self.tokens[1], "vcpu")

    def thread(self) -> str:
        """The task after ``from``; "" if there is none."""
        origin = next((part for part in self.trees if part.data == "from"), None)
        return self.mark(tokens(origin)[0], "thread") if origin is not None else ""

    def settings(self, keys: tuple[str, ...]) -> dict[str, Token]:
        return read_settings(self.node, self.known.places, self.path, keys)

    def operand(self, node: Node, *part: str | int) -> Operand:
        return self._operands().operand(node, (*self.path, *part))

    def condition(self, node: Node, *part: str | int) -> Condition:
        return self._operands().condition(node, (*self.path, *part))

    def value(self, node: Node, ref: MsrRef, *part: str | int) -> Operand:
        """A value for the MSR ``ref``, in which the bits of that MSR can be named."""
        return self._operands(ref).operand(node, (*self.path, *part, "value"))

    def msr(self, node: Node, *part: str | int, also: tuple[str, ...] = ()) -> MsrRef:
        """An MSR. ``also``: other words that are allowed here."""
        (operand,) = trees(node)
        start = first(operand)
        self.mark(start, *part, "msr")
        operands = self._operands()
        if operand.data != "atom" or start.type == "DEPTH" or (start in operands.registers and named(start) is None):
            value = self.operand(operand, *part, "index")
            return MsrRef(f"{value:#x}") if isinstance(value, int) else MsrRef("", value)
        if start.type == "NUMBER":
            ref: MsrRef | None = MsrRef(f"{numeral(start, self.known.places):#x}")
        else:
            ref = named(start)
        if ref is None:
            near = dashed(start, operands.registers) or unknown("MSR", start, (*SPELLINGS, *also))
            self.fail(start, near)
        bracket = next(trees(operand), None)
        if bracket is None:
            return ref
        if ref.index is not None:
            self.fail(first(bracket), f"{start} names one entry already")
        return MsrRef(ref.name, self.operand(bracket, *part, "index"))

    def set(self, register: str) -> None:
        """Record that the actor has ``register`` from here on."""
        self.known.set(self.actor, register)

    def _operands(self, ref: MsrRef | None = None) -> OperandReader:
        registers = [*self.known.registers.get(self.actor, {}), *self.known.constants]
        if ref is None or not ref.name:
            return OperandReader(self.known.places, self.actor, registers)
        return OperandReader(self.known.places, self.actor, registers, bit_names(ref), ref.name)
