"""Services that die, hang, are missing or speak another protocol: the driver names the one and the reason, soon."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pytest

from client.drive.grpc_service import BrokenCallError, Service
from client.drive.grpc_wire import GrpcWire
from client.drive.pair import Child, Pair
from client.drive.sim import SimWire
from client.drive.wire import Wire
from contract.control import (
    AnyPerfCommand,
    ConfigureKvm,
    KvmSnapshot,
    MachineSpec,
    PerfSnapshot,
    Retire,
    RunTask,
    VmSpec,
)
from contract.design import Design
from contract.effects import StepResult
from contract.errors import SystemFailedError
from contract.machine import Branch, Wrmsr
from contract.messages import PROTOCOL_VERSION
from contract.results import AnyResult
from contract.trace import Recorder, SessionChange, canonical
from contract.x86 import IA32_DEBUGCTL
from lbrlab.v1 import info_pb2
from tests.designs import FENCED, MERGED, REVOKE_GP
from tests.integration.health import NOT_SERVING, SERVING, health_of
from tests.integration.story import SESSION, VCPU, deliver, guest, host, set_up

ANOTHER = PROTOCOL_VERSION + 1
CALL_TIMEOUT = 2.0
IMPATIENT = {"kvm": ["--answer-timeout", "1"]}
SOON = 15.0
"""Seconds in which a failure has to be told: call, probe and a busy machine."""


@contextmanager
def told_soon(service: str, reason: str) -> Iterator[None]:
    start = time.monotonic()
    with pytest.raises(SystemFailedError, match=reason) as caught:
        yield
    assert caught.value.service == service
    assert time.monotonic() - start < SOON


@contextmanager
def pair_that_ends() -> Iterator[Pair]:
    """A pair of one test's own; nothing of it is left afterwards."""
    with Pair(timeout=CALL_TIMEOUT, flags=IMPATIENT) as pair:
        processes = [pair.perfcore.process, pair.kvm.process]
        yield pair
    assert all(process.poll() is not None for process in processes)


def begin(wire: Wire) -> None:
    set_up(wire, REVOKE_GP)
    host(wire, RunTask(VCPU, 0))
    guest(wire, Wrmsr(IA32_DEBUGCTL, 1))


def goes_on(wire: Wire) -> None:
    while True:
        guest(wire, Branch(3))
        host(wire, Retire(0, 2))


def host_goes_on(wire: Wire) -> None:
    """As the player does it: it looks for lost links after each step."""
    while True:
        host(wire, Retire(0, 2))
        wire.losses()


def is_prefix_of_the_truth(wire: Wire, story: Callable[[Wire], None]) -> bool:
    """Whether the records are the first ones of the same story where nothing fails, and all that were asked for, up to
    the loss of the link that the other end notices."""
    told = list(takewhile(lambda record: not isinstance(record, SessionChange), wire.log.records))

    class Enough(Exception):
        pass

    class Bounded(SimWire):
        def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
            if len(self.log.records) > len(told) + 200:
                raise Enough
            return super().perf(command, host)

    sim = Bounded()
    begin(sim)
    with pytest.raises(Enough):
        story(sim)
    return canonical(sim.log.records[: len(told)]) == canonical(told)


@pytest.mark.parametrize("victim", ["perfcore", "kvm"])
@pytest.mark.parametrize("story", [goes_on, host_goes_on])
def test_a_service_that_is_killed(victim: str, story: Callable[[Wire], None]) -> None:
    with pair_that_ends() as pair:
        begin(pair.wire)
        known = len(pair.wire.log.records)
        getattr(pair, victim).process.kill()
        with told_soon(victim, "^[a-z]+: killed by signal 9$"):
            story(pair.wire)

        assert len(pair.wire.log.records) >= known
        assert is_prefix_of_the_truth(pair.wire, story)


@pytest.mark.parametrize("victim", ["perfcore", "kvm"])
def test_a_service_that_hangs(victim: str) -> None:
    with pair_that_ends() as pair:
        begin(pair.wire)
        known = len(pair.wire.log.records)
        getattr(pair, victim).process.send_signal(signal.SIGSTOP)
        with told_soon(victim, "does not answer at unix:"):
            goes_on(pair.wire)

        assert len(pair.wire.log.records) >= known
        assert is_prefix_of_the_truth(pair.wire, goes_on)


def test_a_kvm_that_hangs_is_not_said_to_have_died() -> None:
    """With the default timeout, which is as long as the transport takes to give the connection up."""
    with Pair() as pair:
        begin(pair.wire)
        pair.kvm.process.send_signal(signal.SIGSTOP)
        with pytest.raises(SystemFailedError, match=r"^kvm: does not answer at unix:"):
            goes_on(pair.wire)


def test_a_service_that_hangs_before_the_first_call() -> None:
    with pair_that_ends() as pair:
        pair.kvm.process.send_signal(signal.SIGSTOP)
        with told_soon("kvm", "does not answer at unix:"):
            begin(pair.wire)


def test_a_service_that_ends_in_good_order_is_missed_too() -> None:
    with pair_that_ends() as pair:
        begin(pair.wire)
        pair.kvm.process.terminate()
        with told_soon("kvm", "^kvm: exited with 0$"):
            goes_on(pair.wire)


def test_a_failed_wire_stays_failed_until_the_next_run() -> None:
    with pair_that_ends() as pair:
        begin(pair.wire)
        pair.perfcore.process.kill()
        for _ in range(2):
            with told_soon("perfcore", "killed by signal 9"):
                pair.wire.perf(PerfSnapshot())


def test_records_whose_answer_never_came_are_fetched() -> None:
    """The perf core carried out a command, but the driver heard only that KVM failed."""
    with pair_that_ends() as pair:
        begin(pair.wire)
        known = pair.wire.log.clock
        perfcore = Service("perfcore", pair.perfcore.address, owner=pair.wire.owner)
        perfcore.call(perfcore.info(5).run, pair.wire.log, Retire(0, 2), 5)
        perfcore.close()
        pair.kvm.process.kill()
        with told_soon("kvm", "killed by signal 9"):
            goes_on(pair.wire)

        assert pair.wire.log.clock > known
        assert is_prefix_of_the_truth(pair.wire, host_goes_on)


def test_records_that_do_not_follow_ours_end_the_run(pair: Pair, wire: GrpcWire) -> None:
    begin(wire)
    known = canonical(wire.log.records)
    perfcore = Service("perfcore", pair.perfcore.address, owner=wire.owner)
    perfcore.call(perfcore.info(5).run, wire.log, Retire(0, 2), 5)
    perfcore.close()
    with told_soon("perfcore", "its records do not follow ours, expected one numbered"):
        wire.perf(Retire(0, 2))

    assert canonical(wire.log.records) == known


@pytest.mark.parametrize("missing", ["perfcore", "kvm"])
def test_a_service_that_is_missing(pair: Pair, missing: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        nowhere = f"unix:{folder}/x"
        addresses = {"perfcore": pair.perfcore.address, "kvm": pair.kvm.address, missing: nowhere}
        wire = GrpcWire(addresses["perfcore"], addresses["kvm"])
        with told_soon(missing, f"nothing listens at {nowhere}"):
            set_up(wire, MERGED)
        wire.close()
        assert wire.log.records == []


def test_addresses_that_are_mixed_up(pair: Pair) -> None:
    wire = GrpcWire(pair.kvm.address, pair.perfcore.address)
    with told_soon("perfcore", "a kvm service is at unix:"):
        set_up(wire, MERGED)
    wire.close()


def test_something_else_at_the_address(pair: Pair) -> None:
    with tempfile.TemporaryDirectory() as folder:
        code = f"import socket, sys; s = socket.create_server({folder + '/x'!r}, family=socket.AF_UNIX)"
        loop = "print('up', flush=True)\nwhile True: c = s.accept()[0]; c.sendall(b'220 hello'); c.close()"
        with subprocess.Popen([sys.executable, "-c", f"{code}\n{loop}"], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            wire = GrpcWire(pair.perfcore.address, f"unix:{folder}/x", timeout=CALL_TIMEOUT)
            with told_soon("kvm", "listens at|not an lbrlab service: |does not answer at"):
                set_up(wire, MERGED)
            wire.close()
            other.kill()


@pytest.mark.parametrize("service", ["perfcore", "kvm"])
def test_a_service_of_another_protocol_version(service: str) -> None:
    with (
        Pair(flags={service: ["--protocol", str(ANOTHER)]}) as pair,
        told_soon(service, f"^{service}: speaks protocol {ANOTHER}, expected {PROTOCOL_VERSION}$"),
    ):
        set_up(pair.wire, MERGED)


def logged(service: Child, pattern: str) -> None:
    """Wait until a line of its log matches."""
    deadline = time.monotonic() + 10
    while not any(re.search(pattern, line) for line in service.tail.copy()):
        assert time.monotonic() < deadline, f"{pattern} is not in the log"
        time.sleep(0.01)


def refused(kvm: Service) -> info_pb2.GetInfoResponse:
    """The service's state once its perf core has refused it."""
    deadline = time.monotonic() + 10
    while (info := kvm.info(5)).link != info_pb2.LINK_STATE_REFUSED:
        assert time.monotonic() < deadline
    return info


def test_services_of_different_versions_refuse_each_other() -> None:
    """R1: the streams are refused. KVM tells each later caller."""
    with Pair(flags={"kvm": ["--protocol", str(ANOTHER)]}) as pair:
        kvm = Service("kvm", pair.kvm.address)
        info = refused(kvm)
        reason = f"protocol {ANOTHER}, this host speaks {PROTOCOL_VERSION}"
        with pytest.raises(BrokenCallError, match=f"UNAVAILABLE: perfcore: refuses the session: {reason}"):
            kvm.call(1, Recorder(), ConfigureKvm(SESSION, MachineSpec(), MERGED, [VmSpec("vm0")]), 5)
        kvm.close()

        assert info.link_detail == reason


def test_a_second_kvm_of_one_name_is_refused_and_both_sides_say_so(tmp_path: Path) -> None:
    with Pair() as pair:
        begin(pair.wire)
        second = Child("kvm", "kvm_svc.service.main", ["--perfcore", pair.perfcore.address], str(tmp_path))
        second.wait_ready(time.monotonic() + 10)
        kvm = Service("kvm", second.address)
        info = refused(kvm)
        host(pair.wire, Retire(0, 2))
        pair.kvm.process.kill()
        deadline = time.monotonic() + 10
        while kvm.info(5).link != info_pb2.LINK_STATE_UP:
            assert time.monotonic() < deadline
        kvm.close()
        second.ask_to_stop()
        second.see_off(time.monotonic() + 2)

        assert info.link_detail.startswith("another KVM service named kvm0 is attached, from unix:")
        assert sum("event=link-refused" in line for line in second.tail) == 1
        assert any("event=kvm-refused" in line for line in pair.perfcore.tail)


def wait_for_link(kvm: str) -> None:
    """Until this KVM has a perf core: it dials again after a pause that grows up to half a second."""
    service = Service("kvm", kvm)
    until = time.monotonic() + 10
    while service.info(5).link != info_pb2.LINK_STATE_UP:
        assert time.monotonic() < until, "no link within 10 s"
        time.sleep(0.02)
    service.close()


def test_kvm_finds_the_perf_core_again() -> None:
    with pair_that_ends() as pair:
        begin(pair.wire)
        pair.perfcore.process.kill()
        pair.perfcore.process.wait()
        with told_soon("perfcore", "killed by signal 9"):
            goes_on(pair.wire)
        folder = str(Path(pair.perfcore.address.removeprefix("unix:")).parent)
        again = Child("perfcore", "perfcore_svc.service.main", [], folder)
        again.wait_ready(time.monotonic() + 10)
        wait_for_link(pair.kvm.address)
        wire = GrpcWire(again.address, pair.kvm.address)
        begin(wire)
        host(wire, Retire(0, 2))
        wire.close()
        again.ask_to_stop()
        again.see_off(time.monotonic() + 2)

        assert is_prefix_of_the_truth(wire, host_goes_on)


def test_without_a_perf_core_kvm_says_so() -> None:
    with pair_that_ends() as pair:
        pair.perfcore.process.kill()
        pair.perfcore.process.wait()
        kvm = Service("kvm", pair.kvm.address)
        with pytest.raises(BrokenCallError, match=r"UNAVAILABLE: perfcore: no link to unix:.* within 1 s"):
            kvm.call(1, Recorder(), ConfigureKvm(SESSION, MachineSpec(), MERGED, [VmSpec("vm0")]), 5)
        info = kvm.info(5)
        kvm.close()
        health = health_of(pair.kvm.address, "", "readiness", "lbrlab.v1.KvmControlService", "lbrlab.v1.DriveService")
        well = health_of(pair.kvm.address, "liveness", "lbrlab.v1.InfoService", "lbrlab.v1.TraceService", "run")

        assert (info.link, info.run) == (info_pb2.LINK_STATE_DIALLING, 0)
        assert (health, well) == ([NOT_SERVING] * 4, [SERVING] * 4)


@pytest.mark.parametrize("victim", ["perfcore", "kvm"])
@pytest.mark.parametrize("design", [REVOKE_GP, FENCED], ids=lambda design: design.name)
def test_a_service_that_is_asked_to_stop_ends_its_session_in_order_first(victim: str, design: Design) -> None:
    with Pair() as pair:
        set_up(pair.wire, design)
        host(pair.wire, RunTask(VCPU, 0))
        guest(pair.wire, Wrmsr(IA32_DEBUGCTL, 1))
        getattr(pair, victim).process.terminate()
        with told_soon(victim, f"^{victim}: exited with 0$"):
            while True:
                pair.wire.perf(PerfSnapshot())
                pair.wire.kvm(SESSION, KvmSnapshot())
                deliver(pair.wire)

        if victim == "perfcore":
            logged(pair.kvm, "event=link-lost .*reason=.perfcore: is stopping")
        changes = [(r.to_host, r.new) for r in pair.wire.log.records if isinstance(r, SessionChange)]
        assert (victim == "kvm", "draining") in changes
        assert (victim == "kvm", "ended") in changes
        assert (victim != "kvm", "leaving") in changes, "the other end may not have heard the last word"
        assert "lost" not in [new for _, new in changes]
