"""Commands of statements on their way to the services: names of events, CPUs, threads."""

from __future__ import annotations

from client.litmus import ast as a
from client.litmus.arithmetic import NoNumberError
from client.litmus.execution import Execution
from contract.control import AnyPerfCommand, Open, Retire, RunTask, SetMuxInterval
from contract.x86 import is_lbr_msr


class EventNames:
    """The perf core's name for the event of a register: the newest that its actor has opened into it.

    The usual single host's events have the names of their registers, those of other hosts the actor's in front. From
    the second open into the same register on, a loop's, the name ends in the number of the open: ``h0#2``."""

    __slots__ = ("_opens",)

    def __init__(self) -> None:
        self._opens: dict[tuple[str, str], int] = {}

    def open(self, actor: str, register: str) -> None:
        """One more open into ``register`` begins."""
        self._opens[actor, register] = self._opens.get((actor, register), 0) + 1

    def of(self, actor: str, register: str) -> str:
        name = register if actor == "host" else f"{actor}:{register}"
        nth = self._opens.get((actor, register), 1)
        return name if nth == 1 else f"{name}#{nth}"


def cpu_of(command: AnyPerfCommand) -> int:
    """The CPU that a command is for; -1: none in particular."""
    return command.cpu if isinstance(command, RunTask | Open | Retire | SetMuxInterval) else -1


def needs_its_thread(stmt: a.MsrIoctl, at: Execution) -> bool:
    """Whether user space's thread must be on a CPU for this: LBR MSRs are touched where it runs."""
    return any(_is_lbr(ref, at) for ref in stmt.refs())


def _is_lbr(ref: a.MsrRef, at: Execution) -> bool:
    try:
        return is_lbr_msr(at.model, at.address(ref))
    except NoNumberError:
        return False
