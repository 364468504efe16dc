"""Hosts for tests: made in one call, looked at in one call."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

import msgspec

from contract.control import (
    Advance,
    AnyPerfCommand,
    Close,
    ConfigurePerf,
    Disable,
    Enable,
    MachineSpec,
    Open,
    Read,
    Retire,
    RunTask,
    Sample,
)
from contract.design import Design
from contract.effects import Effects, StepResult
from contract.machine import AnyReply, AnyRequest
from contract.messages import Envelope
from contract.results import AnyResult, Branches, Counted, Done
from contract.trace import AnyRecord, Recorder
from perfcore_svc.core import HostCore
from perfcore_svc.endpoint import HostEndpoint
from perfcore_svc.grants import Grants
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import sched
from perfcore_svc.perf.core import Perf
from perfcore_svc.perf.event import PerfEvent
from perfcore_svc.perf.walk import next_tick
from tests.designs import MERGED

TASKS = ["t", "u"]
VCPUS = ["v", "w"]


class Host:
    """A HostCore with short words for its commands. ``log``: its records. ``elsewhere``: the other ends of its
    sessions. ``states``: the state of every event by name."""

    def __init__(self, core: HostCore) -> None:
        self.core = core
        self.log = Recorder()
        self.elsewhere = Effects(core.clock)
        self._said: list[Envelope] = []

    @property
    def perf(self) -> Perf:
        return self.core.perf

    @property
    def machine(self) -> Machine:
        return self.core.machine

    @property
    def grants(self) -> Grants:
        return self.core.grants

    @property
    def endpoint(self) -> HostEndpoint:
        return self.core.endpoint

    @property
    def design(self) -> Design:
        return self.core.design

    def command(self, command: AnyPerfCommand) -> AnyResult:
        return self._done(self.core.command(command, self.log.now))

    def request(self, request: AnyRequest) -> AnyReply:
        return self._done(self.core.request(request, self.log.now))

    def take(self, envelope: Envelope) -> None:
        self._done(self.core.take(envelope, self.log.now))

    def settle(self) -> None:
        """Tell the KVMs of what a test has changed by itself."""
        self._done(self.core.step(self.log.now, lambda: None))

    def drain(self) -> list[Envelope]:
        """The messages since the last call."""
        said, self._said = self._said, []
        return said

    def _done(self, step: StepResult[T]) -> T:
        self.log.write(step.effects, step.now)
        self._said += step.messages
        return step.result

    def do(self, command: AnyPerfCommand) -> str:
        """The errno, "" for success."""
        result = self.command(command)
        assert isinstance(result, Done)
        return result.errno

    def open(self, name: str, *branch: str, task: str = "", cpu: int | None = None, **options: Any) -> str:
        where = (-1 if task else 0) if cpu is None else cpu
        return self.do(Open(name, where, task, branch=list(branch), **options))

    def guest(self, vcpu: str = "v") -> PerfEvent:
        event = self.perf.open_guest(f"vlbr:{vcpu}", vcpu)
        self.settle()
        return event

    def enable(self, name: str) -> None:
        event = next((e for e in self.perf.events.values() if e.name == name and e.guest), None)
        if event is None:
            self.do(Enable(name))
        else:
            sched.enable(self.perf.kernel, event)
            self.settle()

    def lease(self, event: int) -> tuple[int, int]:
        """Number and end of the lease of an event's current grant."""
        return self.grants.current(self.perf.events[event])

    def disable(self, name: str) -> None:
        self.do(Disable(name))

    def close(self, name: str) -> None:
        self.do(Close(name))

    def read(self, name: str) -> Counted:
        result = self.command(Read(name))
        assert isinstance(result, Counted)
        return result

    def times(self, name: str) -> tuple[int, int]:
        """Enabled and running nanoseconds."""
        counted = self.read(name)
        assert counted.errno == ""
        return counted.enabled, counted.running

    def advance(self, ns: int) -> None:
        until = self.perf.kernel.now + ns
        while self.perf.kernel.now < until:
            assert self.command(Advance(until - self.perf.kernel.now)) in (Done(), Done(errno="EINPROGRESS"))

    def tick(self, times: int = 1) -> None:
        """On to the next point of the multiplex timer's grid on cpu0, as often as said; a tick due there fires."""
        for _ in range(times):
            state = self.perf.kernel
            self.advance(next_tick(state, state.cpus[0]) - state.now)

    def run(self, task: str, cpu: int = 0) -> None:
        self.do(RunTask(task, cpu))

    def retire(self, count: int = 1, branch: str = "jmp", privilege: str = "user", cpu: int = 0) -> None:
        self.do(Retire(cpu, count, branch, privilege))

    def sample(self, name: str) -> Branches:
        result = self.command(Sample(name))
        assert isinstance(result, Branches)
        return result

    def states(self) -> dict[str, str]:
        letters = {"ACTIVE": "A", "INACTIVE": "I", "ERROR": "ERR"}
        return {e.name: letters.get(e.state.name, e.state.name) for e in self.perf.events.values()}

    def news(self) -> list[AnyRecord]:
        """The records since the last call, those of parts that a test has moved by itself among them."""
        self.log.write(self.core.effects.end(), self.core.clock.now)
        records, self.log.records = self.log.records, []
        return records


H = TypeVar("H", bound="Host")
T = TypeVar("T")


def make_host(**machine: Any) -> Host:
    """A host as ``set_up`` makes it."""
    return set_up(Host, **machine)


def set_up(
    kind: type[H],
    *,
    lbr: str = "skylake",
    depth: int = 4,
    cpus: int = 1,
    counters: int = 4,
    fixed: int = 3,
    pmu: str = "intel",
    kernel: str = "v5.12",
    design: Design = MERGED,
    running: str = "",
) -> H:
    machine = MachineSpec(cpus, lbr, depth, counters, fixed, pmu, kernel)
    host = kind(HostCore.configured(ConfigurePerf(machine, design, TASKS, VCPUS)))
    if running:
        host.run(running)
    host.log.records.clear()
    return host


def picture(thing: Any, seen: dict[int, int] | None = None) -> Any:
    """All state reachable from ``thing`` as plain values, comparable with ==. Objects are numbered as they are met; one
    met again is its number."""
    seen = {} if seen is None else seen
    if thing is None or isinstance(thing, Enum | type):
        return str(thing)
    if isinstance(thing, int | str | bytes):
        return thing
    if isinstance(thing, dict):
        return {key: picture(value, seen) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [picture(value, seen) for value in thing]
    if isinstance(thing, set | frozenset):
        return sorted(picture(value) for value in thing)
    if isinstance(thing, msgspec.Struct):
        return type(thing).__name__, [picture(getattr(thing, name), seen) for name in thing.__struct_fields__]
    if id(thing) in seen:
        return type(thing).__name__, seen[id(thing)]
    seen[id(thing)] = len(seen)
    if is_dataclass(thing):
        return type(thing).__name__, [picture(getattr(thing, field.name), seen) for field in fields(thing)]
    names = list(getattr(thing, "__dict__", ())) + list(getattr(type(thing), "__slots__", ()))
    assert names, f"no picture of {thing!r}"
    return type(thing).__name__, {name: picture(getattr(thing, name), seen) for name in sorted(names)}
