"""Hosts for tests: made in one call, looked at in one call."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from contract.control import (
    AnyPerfCommand,
    Branches,
    Close,
    ConfigurePerf,
    Disable,
    Done,
    Enable,
    MachineSpec,
    Open,
    Retire,
    RunTask,
    Sample,
)
from contract.design import Design
from contract.designs import MERGED
from contract.trace import AnyRecord, TraceLog
from perfcore_svc.core import HostCore
from perfcore_svc.perf.event import PerfEvent

TASKS = ["t", "u"]
VCPUS = ["v", "w"]


class Host(HostCore):
    """A HostCore with short words for its commands. ``states`` tells of every event by name."""

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
        self.endpoint.notify()
        return event

    def enable(self, name: str) -> None:
        event = next((e for e in self.perf.events.values() if e.name == name and e.guest), None)
        if event is None:
            self.do(Enable(name))
        else:
            self.perf.sched.enable(event)
            self.endpoint.notify()

    def disable(self, name: str) -> None:
        self.do(Disable(name))

    def close(self, name: str) -> None:
        self.do(Close(name))

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
        """The records since the last call."""
        records, self.log.records = self.log.records, []
        return records


def make_host(
    *,
    lbr: str = "skylake",
    depth: int = 4,
    cpus: int = 1,
    counters: int = 4,
    kernel: str = "v5.12",
    design: Design = MERGED,
    running: str = "",
) -> Host:
    host = Host(TraceLog())
    host.do(ConfigurePerf(MachineSpec(cpus, lbr, depth, counters, kernel), design, TASKS, VCPUS))
    if running:
        host.run(running)
    host.log.records.clear()
    return host


def picture(thing: Any) -> Any:
    """All state reachable from ``thing`` as plain values, comparable with ==."""
    if thing is None or isinstance(thing, int | str | bytes):
        return thing
    if isinstance(thing, dict):
        return {key: picture(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [picture(value) for value in thing]
    if isinstance(thing, set | frozenset):
        return sorted(picture(value) for value in thing)
    if isinstance(thing, msgspec.Struct):
        return type(thing).__name__, [picture(getattr(thing, name)) for name in thing.__struct_fields__]
    if is_dataclass(thing):
        return type(thing).__name__, [picture(getattr(thing, field.name)) for field in fields(thing)]
    names = list(getattr(thing, "__dict__", ())) + list(getattr(type(thing), "__slots__", ()))
    assert names, f"no picture of {thing!r}"
    return type(thing).__name__, {name: picture(getattr(thing, name)) for name in sorted(names)}
