"""The commands that carry statements to the services, with the names of events, CPUs and threads in them."""

from __future__ import annotations

from collections.abc import Hashable

from client.litmus import ast as a
from client.litmus.arithmetic import NoNumberError
from client.litmus.execution import Execution
from contract.canonical import EventName
from contract.control import AnyPerfCommand, Open, Retire, RunTask, SetMuxInterval
from contract.x86 import is_lbr_msr


class EventNames:
    """The perf core's name for the event in a register: the newest event that the actor has opened into it.

    With a single host, an event has the name of its register. With several hosts, the name of the actor stands in
    front. From the second open into the same register on (in a loop), the name ends in the number of the open:
    ``h0#2``."""

    __slots__ = ("_opens", "hosts", "opened")

    def __init__(self) -> None:
        self._opens: dict[tuple[str, str], int] = {}
        """Actor and register to the number of opens that have begun."""
        self.opened: dict[tuple[str, str], str] = {}
        """Actor and register to the event of the newest open that is done, in the order of the first of each."""
        self.hosts: dict[str, int] = {}
        """Event to the number of the host that it is on."""

    def clone(self) -> EventNames:
        twin = EventNames()
        twin._opens, twin.opened, twin.hosts = self._opens.copy(), self.opened.copy(), self.hosts.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        begun = [(*place, EventName(self.of(*place))) for place in self._opens]
        opened = tuple([(*place, EventName(name)) for place, name in self.opened.items()])
        return frozenset(begun), opened, frozenset([(EventName(name), host) for name, host in self.hosts.items()])

    def open(self, actor: str, register: str) -> None:
        """Begin one more open into ``register``."""
        self._opens[actor, register] = self._opens.get((actor, register), 0) + 1

    def done(self, actor: str, register: str) -> str:
        """The open is done. Gives the earlier event of that register, which can no longer be named; "" if there was
        none."""
        before = self.opened.get((actor, register), "")
        self.opened[actor, register] = self.of(actor, register)
        self.hosts.pop(before, None)
        return before

    def of(self, actor: str, register: str) -> str:
        name = register if actor == "host" else f"{actor}:{register}"
        nth = self._opens.get((actor, register), 1)
        return name if nth == 1 else f"{name}#{nth}"


def cpu_of(command: AnyPerfCommand) -> int:
    """The CPU that a command is for; -1 if none in particular."""
    return command.cpu if isinstance(command, (RunTask, Open, Retire, SetMuxInterval)) else -1


def needs_its_thread(stmt: a.MsrIoctl, at: Execution) -> bool:
    """Whether user space's thread must be on a CPU for this command: LBR MSRs are accessed on the CPU where it runs."""
    return any(_is_lbr(ref, at) for ref in stmt.refs())


def _is_lbr(ref: a.MsrRef, at: Execution) -> bool:
    try:
        return is_lbr_msr(at.model, at.address(ref))
    except NoNumberError:
        return False
