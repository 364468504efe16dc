"""The commands that carry statements to the services, with the names of events, CPUs and threads in them."""

from __future__ import annotations

from client.litmus import ast as a
from client.litmus.arithmetic import NoNumberError
from client.litmus.execution import Execution
from contract.control import AnyPerfCommand, Open, Retire, RunTask, SetMuxInterval
from contract.x86 import is_lbr_msr


class EventNames:
    """The perf core's name for the event in a register: the newest event that the actor has opened into it.

    With a single host, an event has the name of its register. With several hosts, the name of the actor stands in
    front. From the second open into the same register on (in a loop), the name ends in the number of the open:
    ``h0#2``."""

    __slots__ = ("_opens",)

    def __init__(self) -> None:
        self._opens: dict[tuple[str, str], int] = {}

    def open(self, actor: str, register: str) -> None:
        """Begin one more open into ``register``."""
        self._opens[actor, register] = self._opens.get((actor, register), 0) + 1

    def of(self, actor: str, register: str) -> str:
        name = register if actor == "host" else f"{actor}:{register}"
        nth = self._opens.get((actor, register), 1)
        return name if nth == 1 else f"{name}#{nth}"


def cpu_of(command: AnyPerfCommand) -> int:
    """The CPU that a command is for; -1 if none in particular."""
    return command.cpu if isinstance(command, RunTask | Open | Retire | SetMuxInterval) else -1


def needs_its_thread(stmt: a.MsrIoctl, at: Execution) -> bool:
    """Whether user space's thread must be on a CPU for this command: LBR MSRs are accessed on the CPU where it runs."""
    return any(_is_lbr(ref, at) for ref in stmt.refs())


def _is_lbr(ref: a.MsrRef, at: Execution) -> bool:
    try:
        return is_lbr_msr(at.model, at.address(ref))
    except NoNumberError:
        return False
