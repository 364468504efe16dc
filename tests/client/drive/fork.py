"""A simulated wire whose inputs are kept, and copies of it that go on by themselves."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from client.drive.sim import SimWire
from client.drive.wire import SINGLE, Layout
from contract.canonical import Scoped, canonical
from contract.control import AnyKvmCommand, AnyPerfCommand
from contract.effects import StepResult
from contract.errors import RefusedError
from contract.network import Fate
from contract.results import AnyResult
from contract.trace import AnyRecord, Recorder

Input = Callable[[SimWire], Any]


class Kept(SimWire):
    """``inputs`` so far; ``seen`` is called before each."""

    def __init__(self, seen: Callable[[Kept], None] | None = None) -> None:
        self.inputs: list[Input] = []
        self.seen = seen
        super().__init__()

    def begin(self, layout: Layout = SINGLE) -> None:
        super().begin(layout)
        self.inputs.clear()

    def _keep(self, given: Input) -> None:
        if self.seen is not None:
            self.seen(self)
        now = self.log.now

        def at_that_time(wire: SimWire) -> Any:
            # Where there are several hosts the player lets each of them reach the same time by itself.
            wire.log.now = now
            return given(wire)

        self.inputs.append(at_that_time)

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
        self._keep(lambda wire: wire.perf(command, host))
        return super().perf(command, host)

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        self._keep(lambda wire: wire.kvm(session, command))
        return super().kvm(session, command)

    def decide(
        self, receiver: str, fate: Fate, session: str, n: int, fault: str = "", field: str = ""
    ) -> StepResult[bool]:
        self._keep(lambda wire: wire.decide(receiver, fate, session, n))
        return super().decide(receiver, fate, session, n)


def fork(wire: SimWire) -> SimWire:
    """A copy whose trace begins here."""
    twin = wire.clone()
    twin.log = Recorder()
    twin.log.witness(wire.log.clock, wire.log.now)
    return twin


def give(wire: SimWire, given: Input) -> Any:
    """The result of an input, or the errno of its refusal."""
    try:
        return given(wire)
    except RefusedError as error:
        return error.errno


def parts(wire: SimWire) -> Hashable:
    """The keys of all cores, and what is in flight."""
    hosts = [Scoped(f"host{i}", "", host.key()) for i, host in wire.hosts.items()]
    kvms = [Scoped(f"host{wire.layout.kvms[name]}", name, kvm.key()) for name, kvm in wire.kvms.items()]
    flying = [Scoped(f"host{wire.layout.kvms[way[0]]}", way[0], (way, queue)) for way, queue in wire.network.key()]
    return tuple(hosts), tuple(kvms), tuple(flying)


def key(wire: SimWire) -> Hashable:
    return canonical(parts(wire), wire.log.now)


def records(wire: SimWire) -> list[AnyRecord]:
    return wire.log.records
