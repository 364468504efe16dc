"""The base of statements: what each statement class provides besides its operands."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar

import msgspec

from contract.control import AnyKvmCommand, AnyPerfCommand
from contract.machine import AnyOp

if TYPE_CHECKING:
    from client.litmus.checking import StmtCheck
    from client.litmus.execution import Execution
    from client.litmus.expression import MsrRef
    from client.litmus.reading import Reading
    from client.litmus.statements.program import AnyStmt

Examples = tuple[tuple[str, str], ...]
Rules = Mapping[str, str]


class ResultKind(Enum):
    """The kind of value that a statement puts into its register."""

    NONE = auto()
    NUMBER = auto()
    """A number, or the word that says why there is no number."""
    WORD = auto()
    """A word: ``ok``, or the reason for a failure."""
    EVENT = auto()
    """A host event. Other statements name it by the register."""
    STATE = auto()
    """The state of an event."""
    FIELDS = auto()
    """A table of the statement's ``fields``."""


class Stmt(msgspec.Struct, tag_field="stmt", tag=True, frozen=True):
    """Base of statements. ``register`` receives the result, if the statement has one ("" drops it)."""

    speaker: ClassVar[str] = ""
    """The kind of actor that may say it: ``host``, ``guest``, ``user``, or ``anyone``."""
    rules: ClassVar[Rules] = {}
    """Grammar rules of the whole statement, without a register, by name."""
    parts: ClassVar[Rules] = {}
    """Grammar rules that only ``rules`` use."""
    examples: ClassVar[Examples] = ()
    """Text of the statement and its meaning, for the reference of the language."""
    result: ClassVar[ResultKind] = ResultKind.NONE
    fields: ClassVar[tuple[str, ...]] = ()
    """The fields of the register that a final condition can name."""
    again: ClassVar[bool] = False
    """Whether the same statement may set its register a second time. A register with a number may always be set
    again."""
    loop: ClassVar[bool] = False
    """Whether ``break`` in its body leaves it."""
    blocks: ClassVar[tuple[str, ...]] = ()
    """The fields that hold statements between braces."""

    @staticmethod
    def read(at: Reading) -> AnyStmt:
        """The statement of a parse tree. Raises InputError for text that the grammar allows and no statement has."""
        raise NotImplementedError

    def action(self) -> str:
        """The text in its fixed form, without the register and the ``;``."""
        raise NotImplementedError

    def check(self, at: StmtCheck) -> None:
        """Raises InputError if an operand of the statement is impossible, or names something that does not exist."""

    @property
    def sets(self) -> str:
        """The register that the statement sets, "" if none."""
        register: str = getattr(self, "register", "")
        return register

    def text(self) -> str:
        """The text in its fixed form, without the ``;``."""
        register = getattr(self, "register", "")
        return f"{register} = {self.action()}" if register else self.action()


class HostStmt(Stmt, frozen=True):
    """A command to the perf core. ``StateOf`` has none: the driver answers it."""

    speaker: ClassVar[str] = "host"

    def command(self, at: Execution) -> AnyPerfCommand:
        raise NotImplementedError


class GuestStmt(Stmt, frozen=True):
    """Code that a vCPU executes."""

    speaker: ClassVar[str] = "guest"

    def ops(self, at: Execution) -> list[AnyOp]:
        """The instructions that the guest executes. Raises NoNumberError if an operand is a word."""
        raise NotImplementedError


class UserStmt(Stmt, frozen=True):
    """A command to the KVM that the vCPU is at. ``UserMigrate`` needs several commands; the driver gives them."""

    speaker: ClassVar[str] = "user"

    def command(self, at: Execution) -> AnyKvmCommand:
        """Raises NoNumberError if an operand is a word."""
        raise NotImplementedError


class MsrIoctl(UserStmt, frozen=True):
    """An ioctl for MSRs. Another thread than the vCPU's own can make it (``from``)."""

    def refs(self) -> tuple[MsrRef, ...]:
        """The MSRs that it reads or writes."""
        raise NotImplementedError


class ProgramStmt(Stmt, frozen=True):
    """A statement that is not a step: ``client.drive.program`` carries it out."""

    speaker: ClassVar[str] = "anyone"

    def head(self) -> str:
        """The text before the brace, for a statement with braces."""
        raise NotImplementedError

    def action(self) -> str:
        return f"{self.head()} {{ ... }}"
