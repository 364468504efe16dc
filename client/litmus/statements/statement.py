"""The base of statements: what a row of the language has beside its operands."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar

import msgspec

from contract.control import AnyKvmCommand, AnyPerfCommand
from contract.machine import AnyOp

if TYPE_CHECKING:
    from client.litmus.checking import Check
    from client.litmus.execution import Execution
    from client.litmus.expression import MsrRef
    from client.litmus.reading import Reading
    from client.litmus.statements.program import AnyStmt

Examples = tuple[tuple[str, str], ...]
Rules = Mapping[str, str]


class Result(Enum):
    """The kind of value that a statement puts into its register."""

    NONE = auto()
    NUMBER = auto()
    """A number, or the word for why there is none."""
    WORD = auto()
    """A word: ``ok``, or why not."""
    EVENT = auto()
    """A host event, which other statements name by the register."""
    STATE = auto()
    """The state of an event."""
    FIELDS = auto()
    """A table of the statement's ``fields``."""


class Stmt(msgspec.Struct, tag_field="stmt", tag=True, frozen=True):
    """Base of statements. ``register``, where a statement has one, receives its result ("" drops it)."""

    speaker: ClassVar[str] = ""
    """Who may say it: ``host``, ``guest``, ``user``, or ``anyone``."""
    rules: ClassVar[Rules] = {}
    """Grammar rules of the whole statement, without a register, by name."""
    parts: ClassVar[Rules] = {}
    """Grammar rules that only ``rules`` use."""
    examples: ClassVar[Examples] = ()
    """Text of the statement and its meaning, for the reference of the language."""
    result: ClassVar[Result] = Result.NONE
    fields: ClassVar[tuple[str, ...]] = ()
    """What a final condition can ask of the register."""
    again: ClassVar[bool] = False
    """Whether the same statement may set its register a second time. Numbers may always be set again."""
    loop: ClassVar[bool] = False
    """Whether ``break`` inside it leaves it."""
    blocks: ClassVar[tuple[str, ...]] = ()
    """The fields that hold statements between braces."""

    @staticmethod
    def read(at: Reading) -> AnyStmt:
        """The statement of a parse tree. Raises InputError for what the grammar lets through and no statement has."""
        raise NotImplementedError

    def action(self) -> str:
        """The text in its fixed form, without the register and the ``;``."""
        raise NotImplementedError

    def check(self, at: Check) -> None:
        """Raises InputError where the statement has an impossible operand, or names what is not there."""

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
    """A command to the perf core. ``StateOf`` has none: the driver answers it from the trace."""

    speaker: ClassVar[str] = "host"

    def command(self, at: Execution) -> AnyPerfCommand:
        raise NotImplementedError


class GuestStmt(Stmt, frozen=True):
    """Code that a vCPU executes."""

    speaker: ClassVar[str] = "guest"

    def ops(self, at: Execution) -> list[AnyOp]:
        """The instructions that the guest executes. Raises NoNumberError where an operand comes to a word."""
        raise NotImplementedError


class UserStmt(Stmt, frozen=True):
    """A command to the KVM that the vCPU is at. ``UserMigrate``, which takes several, has none: the driver gives
    them."""

    speaker: ClassVar[str] = "user"

    def command(self, at: Execution) -> AnyKvmCommand:
        """Raises NoNumberError where an operand comes to a word."""
        raise NotImplementedError


class MsrIoctl(UserStmt, frozen=True):
    """An ioctl for MSRs, which another thread than the vCPU's own can make (``from``)."""

    def refs(self) -> tuple[MsrRef, ...]:
        """The MSRs that it reads or writes."""
        raise NotImplementedError


class ProgramStmt(Stmt, frozen=True):
    """A statement that is no step of its own: ``client.drive.program`` carries it out."""

    speaker: ClassVar[str] = "anyone"

    def head(self) -> str:
        """The text before the brace, of a statement with braces."""
        raise NotImplementedError

    def action(self) -> str:
        return f"{self.head()} {{ ... }}"
