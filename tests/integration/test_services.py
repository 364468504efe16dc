"""Both services as processes: the same calls give the same trace as in one process, and refusals change nothing."""

from __future__ import annotations

import pytest

from client.drive.grpc_wire import GrpcWire
from client.drive.sim import SimWire
from client.drive.wire import Wire
from contract.control import (
    AnyKvmCommand,
    AnyPerfCommand,
    Close,
    ConfigureKvm,
    ConfigurePerf,
    Enable,
    KvmSnapshot,
    MachineSpec,
    Open,
    PerfSnapshot,
    Retire,
    RunTask,
    SetMsr,
    StepVcpu,
    VmSpec,
)
from contract.design import Design
from contract.errors import RefusedError
from contract.machine import Branch, Nop
from contract.messages import HOST
from contract.network import Fate
from contract.trace import Statement, canonical
from tests.designs import DESIGNS, MERGED, REVOKE_GP
from tests.integration.story import SESSION, VCPU, decide, deliver, in_flight, set_up, tell

EVERY_DESIGN = pytest.mark.parametrize("design", DESIGNS.values(), ids=lambda d: d.name)


def both_views(wire: Wire) -> tuple[object, object]:
    return wire.perf(PerfSnapshot()).result, wire.kvm(SESSION, KvmSnapshot()).result


@EVERY_DESIGN
def test_both_wires_give_the_same_trace(wire: GrpcWire, design: Design) -> None:
    sim = SimWire()
    expected = tell(sim, design)

    assert tell(wire, design) == expected
    assert canonical(wire.log.records) == canonical(sim.log.records)
    assert (wire.log.clock, wire.log.now) == (sim.log.clock, sim.log.now)


def test_faults_of_delivery_are_the_same_on_both_wires(wire: GrpcWire) -> None:
    sim = SimWire()
    for each in (sim, wire):
        set_up(each, REVOKE_GP)
        each.perf(RunTask(VCPU, 0))
        decide(each, in_flight(each)[0], Fate.DUPLICATE)
        deliver(each)
        each.perf(RunTask("t0", 0))
        each.perf(RunTask(VCPU, 0))
        first, second, *_ = in_flight(each)
        decide(each, second, Fate.OVERTAKE)
        decide(each, first, Fate.DROP)
        deliver(each)

    assert canonical(wire.log.records) == canonical(sim.log.records)


def test_many_runs_one_after_another(wire: GrpcWire) -> None:
    tell(wire, REVOKE_GP)
    first = canonical(wire.log.records)
    for _ in range(5):
        set_up(wire, MERGED)
    tell(wire, REVOKE_GP)

    assert canonical(wire.log.records) == first


def test_a_run_that_was_left_in_the_middle_leaves_nothing(wire: GrpcWire) -> None:
    tell(wire, REVOKE_GP)
    expected = canonical(wire.log.records)
    set_up(wire, REVOKE_GP)
    wire.perf(RunTask(VCPU, 0))
    tell(wire, REVOKE_GP)

    assert canonical(wire.log.records) == expected


def test_the_drivers_own_records_lie_between_the_services(wire: GrpcWire) -> None:
    set_up(wire, MERGED)
    wire.log.add(Statement(thread="host", actor="host", text="run vm0/0 on cpu0", line=1))
    mine = wire.log.clock
    wire.perf(RunTask(VCPU, 0))

    assert [r.seq for r in wire.log.records] == list(range(1, wire.log.clock + 1))
    assert isinstance(wire.log.records[mine - 1], Statement)
    assert len(wire.log.records) > mine


REFUSED_BY_PERFCORE: list[AnyPerfCommand] = [
    RunTask("nobody", 0),
    RunTask("t0", 1),
    RunTask("t0", 5000),
    Open("h0", cpu=7),
    Enable("h9"),
    Close("h9"),
    Retire(0, 0),
    Retire(0, 1, branch="sideways"),
    ConfigurePerf(MachineSpec(lbr="z80"), MERGED, [], []),
    ConfigurePerf(MachineSpec(cpus=0), MERGED, [], []),
    ConfigurePerf(MachineSpec(), MERGED, ["t0", "t0"], []),
]
REFUSED_BY_KVM: list[AnyKvmCommand] = [
    StepVcpu("vm9/0", [Nop()]),
    StepVcpu(VCPU, []),
    StepVcpu(VCPU, [Nop()]),
    StepVcpu(VCPU, [Branch(0)]),
    SetMsr("", 0, 0),
    SetMsr(VCPU, 0, 2**64),
]


@pytest.mark.parametrize("command", REFUSED_BY_PERFCORE, ids=str)
def test_what_the_perf_core_refuses_changes_nothing(wire: GrpcWire, command: AnyPerfCommand) -> None:
    set_up(wire, MERGED)
    before, trace = both_views(wire), canonical(wire.log.records)
    with pytest.raises(RefusedError):
        wire.perf(command)

    assert both_views(wire) == before
    assert canonical(wire.log.records) == trace
    wire.perf(RunTask("t0", 0))


@pytest.mark.parametrize("command", REFUSED_BY_KVM, ids=str)
def test_what_kvm_refuses_changes_nothing(wire: GrpcWire, command: AnyKvmCommand) -> None:
    set_up(wire, MERGED)
    before, trace = both_views(wire), canonical(wire.log.records)
    with pytest.raises(RefusedError):
        wire.kvm(SESSION, command)

    assert both_views(wire) == before
    assert canonical(wire.log.records) == trace
    wire.perf(RunTask(VCPU, 0))


@pytest.mark.parametrize("command", [RunTask("nobody", 0), RunTask("t0", 3), Enable("h9")], ids=str)
def test_a_refusal_says_the_same_on_both_wires(wire: GrpcWire, command: AnyPerfCommand) -> None:
    said = []
    for each in (SimWire(), wire):
        set_up(each, MERGED)
        with pytest.raises(RefusedError) as caught:
            each.perf(command)
        said.append((str(caught.value), caught.value.errno))

    assert said[0] == said[1]


@pytest.mark.parametrize("command", [RunTask("t0", 0), PerfSnapshot()], ids=str)
def test_before_configure_everything_is_refused(wire: GrpcWire, command: AnyPerfCommand) -> None:
    for each in (SimWire(), wire):
        with pytest.raises(RefusedError, match="not configured yet"):
            each.perf(command)


def test_a_decision_on_a_message_that_was_decided_is_refused(wire: GrpcWire) -> None:
    set_up(wire, MERGED)
    before, trace = both_views(wire), canonical(wire.log.records)
    with pytest.raises(RefusedError, match="no message 1 of session 'kvm0'"):
        wire.decide(HOST, Fate.TAKE, SESSION, 1)

    assert both_views(wire) == before
    assert canonical(wire.log.records) == trace


def test_a_fate_that_is_impossible_is_refused(wire: GrpcWire) -> None:
    set_up(wire, REVOKE_GP)
    wire.perf(RunTask(VCPU, 0))
    wire.perf(RunTask("t0", 0))
    first, second, *_ = in_flight(wire)
    for message, fate in ((first, Fate.OVERTAKE), (second, Fate.TAKE), (second, Fate.DROP)):
        with pytest.raises(RefusedError, match=f"cannot {fate} message {message.n}"):
            decide(wire, message, fate)
    deliver(wire)


def test_a_kvm_of_another_name_is_refused(wire: GrpcWire) -> None:
    wire.begin()
    wire.perf(ConfigurePerf(MachineSpec(), MERGED, [], []))
    with pytest.raises(RefusedError, match="this service is 'kvm0', not 'kvm7'"):
        wire.kvm("kvm7", ConfigureKvm("kvm7", MachineSpec(), MERGED, [VmSpec("vm0")]))
    wire.kvm(SESSION, ConfigureKvm(SESSION, MachineSpec(), MERGED, [VmSpec("vm0")]))
