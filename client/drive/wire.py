"""The interface of a wire, as the player needs it. Both wires give the same trace for the same calls."""

from __future__ import annotations

from typing import Protocol

import msgspec

from contract.control import AnyKvmCommand, AnyPerfCommand
from contract.effects import StepResult
from contract.network import Fate
from contract.results import AnyResult
from contract.trace import Recorder


class Layout(msgspec.Struct, frozen=True):
    """The services that a run needs: ``hosts`` perf cores, and the KVMs in order, each with the number of its host."""

    hosts: int = 1
    kvms: dict[str, int] = msgspec.field(default_factory=lambda: {"kvm0": 0})


SINGLE = Layout()


def perfcores_of(layout: Layout) -> list[str]:
    """The names of the perf cores in failures, and of the hosts in faults."""
    return ["perfcore", *(f"perfcore{i}" for i in range(1, layout.hosts))]


class Wire(Protocol):
    """Perf cores and the KVMs attached to them. ``log`` holds every record so far, also those of the player. ``host``
    is the number of a perf core.

    Every call is a step of all services together, and complete when it returns: its effects, on either side, are those
    that it has put into ``log``. Raises RefusedError where a core refuses, with nothing changed, and SystemFailedError
    where a service fails.
    """

    name: str
    log: Recorder

    @property
    def owns_services(self) -> bool:
        """Whether it can end and start the services."""

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]: ...

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]: ...

    def decide(
        self, receiver: str, fate: Fate, session: str, n: int, fault: str = "", field: str = ""
    ) -> StepResult[bool]:
        """Apply the fate of message ``n`` of ``session`` in the inbox of ``receiver`` (HOST or a session name).
        ``fault``, ``field``: as in Delivery. False: the message was lost with its link before."""

    def losses(self) -> list[str]:
        """The sessions that have lost their link by itself, and whose ends do not know it yet, in order. They resume
        when they are told of the loss and of the mend; ``perf`` and ``kvm`` tell them."""

    def begin(self, layout: Layout = SINGLE) -> None:
        """Begin a new run: an empty log, nothing in flight. The configure commands follow, host 0 first.

        Raises InputError if the wire does not have the services for it."""

    def crash(self, service: str) -> None:
        """The process of a service ends at once, with its state and the messages on its links. ``service``: a session,
        or a name of ``perfcores_of``. Raises InputError if this wire cannot end that service."""

    def start(self, service: str) -> None:
        """Begin a new process of a service that crashed. Its configure command follows; that of a host has the number
        of the run that continues."""

    def close(self) -> None: ...
