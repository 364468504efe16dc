"""A pair of services, a neighbour that plays a run on it, and a hostile client beside."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from client.drive.grpc_service import Service
from client.drive.grpc_wire import GrpcWire
from client.drive.pair import START_TIMEOUT, STOP_TIMEOUT, Child
from contract.control import ConfigureKvm, ConfigurePerf, MachineSpec, RunTask, VmSpec
from contract.messages import HOST
from contract.network import Fate
from contract.trace import Send
from tests.designs import FENCED
from tests.hostile.client import MEMBERS
from tests.hostile.client import VCPU as THEIRS

OURS = "vm0/0"
SESSION = "kvm0"
TCP = ["--listen", "127.0.0.1:0"]
"""Each connection over TCP is a peer of its own. All clients of a Unix socket are one."""
MIB = 1 << 20


@dataclass(slots=True)
class Seen:
    """``rounds``: seconds of each round. ``cpu``: seconds of CPU of each service. ``peak``: bytes of memory of each."""

    rounds: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)

    def __iadd__(self, more: Seen) -> Seen:
        self.rounds += more.rounds
        for name, cpu in more.cpu.items():
            self.cpu[name] = self.cpu.get(name, 0.0) + cpu
            self.peak[name] = max(self.peak.get(name, 0), more.peak[name])
        return self

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def cpu_of_a_round(self, service: str) -> float:
        """Seconds of CPU of a service for each round, whatever it did meanwhile."""
        return self.cpu[service] / len(self.rounds)


class Neighbour:
    """A driver whose run must not suffer. In each round a vCPU goes on a CPU and off again, and every message of its
    session is decided; so does the vCPU of the hostile KVM, if that takes part."""

    def __init__(self, perfcore: Child, kvm: Child) -> None:
        self.children = {"perfcore": perfcore, "kvm": kvm}
        self.services = {name: psutil.Process(child.process.pid) for name, child in self.children.items()}
        self.wire = GrpcWire(perfcore.address, kvm.address)

    def begin(self) -> None:
        self.wire.begin()
        machine = MachineSpec(cpus=2)
        self.wire.perf(ConfigurePerf(machine, FENCED, [], [OURS, THEIRS]))
        step = self.wire.kvm(SESSION, ConfigureKvm(SESSION, machine, FENCED, [VmSpec("vm0")]))
        self._deliver([record for record in step.effects if isinstance(record, Send)])
        self.run = self._perfcore().info(5).run

    def _perfcore(self) -> Service:
        return self.wire._services["perfcore"]

    def let_in(self) -> None:
        """Take the two messages with which the hostile KVM begins its session."""
        for n in (1, 2):
            self._deliver(self.wire.decide(HOST, Fate.TAKE, "evil", n).effects)

    def _deliver(self, effects: object) -> None:
        waiting = [record for record in effects if isinstance(record, Send)]  # type: ignore[attr-defined]
        while waiting:
            send = waiting.pop(0)
            if send.session == SESSION:
                receiver = HOST if send.to_host else SESSION
                step = self.wire.decide(receiver, Fate.TAKE, send.session, send.n)
                waiting += [record for record in step.effects if isinstance(record, Send)]

    def round(self) -> None:
        for cpu, vcpu in enumerate((OURS, THEIRS)):
            self._deliver(self.wire.perf(RunTask(vcpu, cpu)).effects)
        for cpu in (0, 1):
            self._deliver(self.wire.perf(RunTask("", cpu)).effects)
        self.wire.log.records.clear()

    def watch(self, seconds: float = 0.0, rounds: int = 0) -> Seen:
        """Play for so long, or for so many rounds, and look on."""
        seen = Seen()
        before = {name: _cpu(process) for name, process in self.services.items()}
        end = time.monotonic() + seconds
        while len(seen.rounds) < rounds or time.monotonic() < end:
            start = time.perf_counter()
            self.round()
            seen.rounds.append(time.perf_counter() - start)
            if len(seen.rounds) % 5 == 1:
                for name, process in self.services.items():
                    seen.peak[name] = max(seen.peak.get(name, 0), process.memory_info().rss)
        seen.cpu = {name: _cpu(process) - before[name] for name, process in self.services.items()}
        return seen


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


Start = Callable[[str, list[str]], Any]
"""Starts a module with arguments, and gives its process."""


def cores() -> tuple[set[int], set[int]]:
    """The cores of the neighbour with its services, and those of the client: the first, and all others. A client on
    another machine takes no CPU of the services. Where there is one core, or no way to choose, both sets are empty."""
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (set(own[:1]), set(own[1:])) if len(own) > 1 else (set(), set())


def on_cores(chosen: set[int]) -> Start:
    """Starts modules that run on these cores only; on all of this process if there are none."""

    def start(module: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        mine = os.sched_getaffinity(0) if chosen else set()
        if chosen:
            os.sched_setaffinity(0, chosen)
        try:
            # A process inherits the cores of the thread that starts it.
            command = [sys.executable, "-m", module, *arguments]
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        finally:
            if chosen:
                os.sched_setaffinity(0, mine)

    return start


class Hostile:
    """A hostile client under way. ``told``: after its end, what the service answered."""

    def __init__(self, attack: str, service: str, neighbour: Neighbour, start: Start) -> None:
        arguments = [attack, neighbour.children[service].address, service, str(neighbour.run)]
        if attack in MEMBERS:
            arguments.append(neighbour.wire.owner)
        self.process = start("tests.hostile.client", arguments)
        self.told: dict[str, int] = {}
        if attack in MEMBERS:
            assert self.process.stdout.readline() == b"here\n"
            neighbour.let_in()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The client does nothing for a while."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        self.process.stdin.close()
        self.told = json.loads(self.process.stdout.read())
        self.process.stdout.close()
        self.process.wait()


@contextmanager
def hostile(attack: str, service: str, neighbour: Neighbour, start: Start) -> Iterator[Hostile]:
    client = Hostile(attack, service, neighbour, start)
    try:
        yield client
    finally:
        client.end()


@contextmanager
def scene() -> Iterator[Neighbour]:
    with tempfile.TemporaryDirectory() as folder:
        perfcore = Child("perfcore", "perfcore_svc.service.main", TCP, folder)
        perfcore.wait_ready(time.monotonic() + START_TIMEOUT)
        kvm = Child("kvm", "kvm_svc.service.main", ["--perfcore", perfcore.address, *TCP], folder)
        kvm.wait_ready(time.monotonic() + START_TIMEOUT)
        neighbour = Neighbour(perfcore, kvm)
        try:
            yield neighbour
        finally:
            neighbour.wire.close()
            for child in (kvm, perfcore):
                child.ask_to_stop()
                child.see_off(time.monotonic() + STOP_TIMEOUT)
