"""Every RPC of both services, from its descriptor: sound requests, each rule broken once, and damaged bytes.

No INTERNAL, no state changed by a refused call, no task and no session left behind. The services are those of
``tests.integration.in_process``; ``test_fuzz_control.py`` asks real processes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.drive.grpc_service import CONTROLS
from contract.control import ConfigureKvm, ConfigurePerf, MachineSpec, RunTask, VmSpec
from contract.messages import PROTOCOL_VERSION
from contract.wire.codec import to_proto
from contract.wire.field_rules import keeps_rules
from contract.wire.methods import Decide
from lbrlab.v1 import contract_pb2, control_pb2, lease_pb2, trace_pb2
from tests.cases import cases
from tests.designs import FENCED, KVM_SWITCH, MERGED
from tests.integration.in_process import Aborted, Both
from tests.integration.story import VCPU
from tests.wire_messages import breaks, sound

OWNER = "me"
REFUSED = {
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "ABORTED",
    "PERMISSION_DENIED",
    "ALREADY_EXISTS",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
}
FUZZ = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
ATTACH = "/lbrlab.v1.ContractService/Attach"


async def settle() -> None:
    """Let the streams between the services come to rest."""
    for _ in range(12):
        await asyncio.sleep(0)


class Ground:
    """A run in the middle, on services in this process."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.tasks = 0
        """Tasks of services at rest."""
        self.both = self.runner.run(Both().__aenter__())
        for shell in self.both.shells.values():
            shell.arrival_timeout = 0.0
        self.both.kvm_shell.answer_timeout = 1.0
        self.runner.run(self.begin())

    def close(self) -> None:
        self.runner.run(self.both.__aexit__())
        self.runner.close()

    async def begin(self) -> None:
        """A new run: a vCPU on its CPU, its session open."""
        await settle()
        while not (self.both.kvm_shell.link.up.is_set() and "kvm0" in self.both.perf_shell.attached):
            await asyncio.sleep(0.01)
        self.clock = self.run = 0
        take = lease_pb2.AcquireRequest(owner=OWNER, take_over=True)
        await self.both.perfcore.call("/lbrlab.v1.LeaseService/Acquire", take.SerializeToString())
        machine = MachineSpec(cpus=2)
        stamp = await self.command("perfcore", ConfigurePerf(machine, FENCED, ["t0"], [VCPU]))
        self.run = stamp.run
        await self.command("kvm", ConfigureKvm("kvm0", machine, FENCED, [VmSpec("vm0")]))
        self.both.perf_shell.arrival_timeout = 1.0
        for n in (1, 2):
            await self.command("perfcore", Decide("kvm0", n, "take"))  # type: ignore[arg-type]
        self.both.perf_shell.arrival_timeout = 0.0
        await self.command("perfcore", RunTask(VCPU, 0))
        await settle()
        self.tasks = self.tasks or len(asyncio.all_tasks())

    async def command(self, service: str, command: Any) -> trace_pb2.Stamp:
        descriptor, _ = CONTROLS[service]
        method = descriptor.methods_by_name[type(command).__name__.removesuffix("Perf").removesuffix("Kvm")]
        request: Any = to_proto(command, GetMessageClass(method.input_type))
        request.stamp.CopyFrom(self.stamp())
        raw = await self.both.services[service].call(
            f"/{descriptor.full_name}/{method.name}", request.SerializeToString()
        )
        response: Any = GetMessageClass(method.output_type).FromString(raw)
        self.clock = response.stamp.clock
        stamp: trace_pb2.Stamp = response.stamp
        return stamp

    def stamp(self) -> trace_pb2.Stamp:
        return trace_pb2.Stamp(run=self.run, clock=self.clock, owner=OWNER)

    def state(self) -> list[object]:
        """All that a refused call must leave alone."""
        kept: list[object] = [self.both.perf_shell.lease.owner, sorted(self.both.perf_shell.attached)]
        for shell in self.both.shells.values():
            run = shell.run
            waiting = [(way, [e.seq for e in queue]) for way, queue in sorted(run.network.queues.items()) if queue]
            kept += [run.number, run.log.clock, run.log.now, len(run.log.records), waiting, sorted(run.cut)]
            kept += [run.failed and str(run.failed), pickle.dumps(run.core.state)]
        return kept

    def ask(self, service: str, path: str, requests: list[bytes]) -> tuple[str, str]:
        """The outcome of a call: a status and its text. A refusal has changed nothing, and no task is left."""
        return self.runner.run(self._ask(service, path, requests))

    async def _ask(self, service: str, path: str, requests: list[bytes]) -> tuple[str, str]:
        before = self.state()
        asked = self.both.services[service]
        output = GetMessageClass(asked.methods[path].output_type)
        try:
            async with asyncio.timeout(1):  # A request to wait for the lease may be one for hours.
                answers = [output.FromString(raw) for raw in await asked.answers(path, requests)]
            outcome = "OK", ""
        except TimeoutError:
            assert path.endswith("/Acquire")
            answers, outcome = [], ("RESOURCE_EXHAUSTED", "")
        except Aborted as error:
            answers, outcome = [], (error.code.name, error.details)
        await settle()
        assert all(map(keeps_rules, answers)), answers
        if outcome[0] == "OK":
            await self._go_on()
        else:
            assert outcome[0] in REFUSED, outcome
            assert "Traceback" not in outcome[1]
            assert self.state() == before or outcome[0] == "UNAVAILABLE"
            if outcome[0] == "UNAVAILABLE":
                await self.begin()
        assert len(asyncio.all_tasks()) == self.tasks, "a task is left, or gone"
        return outcome

    async def _go_on(self) -> None:
        """After a call that was carried out: a run that is over, or lost its KVM, is begun again."""
        await settle()
        shells = self.both.shells.values()
        runs = {shell.run.number for shell in shells}
        if runs != {self.run} or any(
            shell.run.failed or shell.run.cut or shell.run.free or shell.run.parted for shell in shells
        ):
            await self.begin()
        self.clock = max(shell.run.log.clock for shell in shells)
        await settle()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    ground = Ground()
    yield ground
    ground.close()


def _paths() -> list[tuple[str, str]]:
    from kvm_svc.service import servicer as kvm
    from perfcore_svc.service import servicer as perfcore

    return [
        (name, f"/{service.full_name}/{method.name}")
        for name, module in (("perfcore", perfcore), ("kvm", kvm))
        for service in module.SERVICES
        for method in service.methods
    ]


PATHS = _paths()
DESIGNS = st.sampled_from([to_proto(design, control_pb2.Design) for design in (FENCED, KVM_SWITCH, MERGED)])
MACHINES = st.sampled_from([to_proto(MachineSpec(cpus=cpus), control_pb2.MachineSpec) for cpus in (1, 2)])


def known(ground: Ground) -> dict[str, st.SearchStrategy[Message]]:
    """Messages that mean something here and now."""
    return {"Design": DESIGNS, "MachineSpec": MACHINES, "Stamp": st.builds(ground.stamp)}


def tamed(request: Any) -> Any:
    """The request without the wish to wait for hours."""
    if isinstance(request, lease_pb2.AcquireRequest):
        request.wait_ms = 0
    if request.DESCRIPTOR.name == "PerfControlServiceConfigureRequest":
        request.stamp.run = 0
    return request


def frames(path: str, request: Message) -> list[bytes]:
    """The frames of one call: on the contract stream a first one comes before."""
    first = contract_pb2.AttachRequest(kvm="evil", protocol=PROTOCOL_VERSION, instance="evil")
    return [*([first.SerializeToString()] if path == ATTACH else []), request.SerializeToString()]


@cases(("service", "path"), PATHS)
def test_sound_requests(ground: Ground, service: str, path: str) -> None:
    descriptor = ground.both.services[service].methods[path].input_type

    @FUZZ
    @given(sound(descriptor, known(ground)))
    def holds(request: Any) -> None:
        ground.ask(service, path, frames(path, tamed(request)))

    holds()


@cases(("service", "path"), PATHS)
def test_each_rule_broken_once(ground: Ground, service: str, path: str) -> None:
    """At every level below the request. The answer names the field."""
    descriptor = ground.both.services[service].methods[path].input_type
    ways = list(breaks(descriptor))

    @settings(FUZZ, max_examples=2)
    @given(sound(descriptor, known(ground)), st.data())
    def holds(request: Any, data: st.DataObject) -> None:
        for way in ways:
            broken = type(request)()
            broken.CopyFrom(request)
            way.apply(broken, lambda inner: data.draw(sound(inner, known(ground), 1)))
            code, details = ground.ask(service, path, frames(path, broken))
            assert code == "INVALID_ARGUMENT", (str(way), code, details)
            assert not way.path or way.path[-1].name in details, (str(way), details)

    holds()


@cases(("service", "path"), PATHS)
def test_damaged_bytes(ground: Ground, service: str, path: str) -> None:
    descriptor = ground.both.services[service].methods[path].input_type

    @settings(FUZZ, max_examples=10)
    @given(sound(descriptor, known(ground)), st.data())
    def holds(request: Any, data: st.DataObject) -> None:
        raw = bytearray(tamed(request).SerializeToString() or b"\\0")
        # The length depends on the clock of the run, and a draw must not.
        at = data.draw(st.integers(0, 999)) % len(raw)
        if data.draw(st.booleans()):
            del raw[at:]
        else:
            raw[at] ^= data.draw(st.integers(1, 255))
        ground.ask(service, path, [*frames(path, request)[:-1], bytes(raw)])

    holds()
