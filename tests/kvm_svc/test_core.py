"""The door of KvmCore: refusals that change nothing, forks, and user space taking the LBR away."""

from __future__ import annotations

from copy import deepcopy

import pytest

from contract.control import ConfigureKvm, GetMsr, KvmSnapshot, MachineSpec, RunTask, SetMsr, StepVcpu, StopLbr, VmSpec
from contract.design import Denial, Design, Event
from contract.errors import RefusedError
from contract.machine import AnyOp, Branch, Exit, Nop, NotRunning, Rdmsr, Wrmsr
from contract.messages import CreateEvent, Hello, RegisterVcpu, ReleaseEvent, SchedIn, Welcome
from contract.network import Fate
from contract.results import KvmView
from contract.trace import Access, VmEntry, canonical
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_TOS
from kvm_svc.core import KvmCore
from tests.cases import cases
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP
from tests.kvm_svc.rig import FROM0, KVM, VCPU, Rig, Script

every_design = cases("design", DESIGNS.values(), ids=DESIGNS)


def refused(rig: Rig, command: StepVcpu | SetMsr | GetMsr | StopLbr) -> str:
    """The errno of a refusal that has left no trace in KVM's state and log."""
    before, records = deepcopy(rig.core.hv.vcpus), len(rig.wire.log.records)
    with pytest.raises(RefusedError) as error:
        rig.kvm(command)
    assert rig.core.hv.vcpus == before
    assert len(rig.wire.log.records) == records
    return error.value.errno


def test_unknown_vcpu() -> None:
    rig = Rig(MERGED)

    for command in (StepVcpu("vm9/0", [Nop()]), SetMsr("vm9/0", 0x345, 0), GetMsr("vm9/0", 0x345), StopLbr("vm9/0")):
        assert refused(rig, command) == "ENOENT"


@cases(
    ("vms", "kvm", "machine"),
    [
        ([VmSpec("vm0"), VmSpec("vm0")], KVM, MachineSpec()),
        ([VmSpec("vm0", 0)], KVM, MachineSpec()),
        ([VmSpec("vm0", 17)], KVM, MachineSpec()),
        ([VmSpec("vm0")], "", MachineSpec()),
        ([VmSpec("vm0")], KVM, MachineSpec(lbr="vax")),
    ],
)
def test_bad_configuration(vms: list[VmSpec], kvm: str, machine: MachineSpec) -> None:
    rig = Rig(MERGED)
    hv = rig.core.hv

    with pytest.raises(RefusedError):
        rig.kvm(ConfigureKvm(kvm, machine, MERGED, vms))
    assert rig.core.hv is hv


def test_begins_with_hello_and_every_vcpu() -> None:
    core = KvmCore.configured(ConfigureKvm(KVM, MachineSpec(), MERGED, [VmSpec("vm0", 2), VmSpec("vm1")]))

    names = ["vm0/0", "vm0/1", "vm1/0"]
    assert [e.body for e in core.begin(0).messages] == [Hello(KVM), *(RegisterVcpu(name, name) for name in names)]


def test_refused_welcome_is_remembered() -> None:
    script = Script(MERGED)
    script.tell(Welcome(False, reason="protocol 2"))
    assert script.core.endpoint.refused == "protocol 2"

    script.tell(Welcome(True))
    assert script.core.endpoint.refused == ""


def test_not_loaded() -> None:
    assert refused(Rig(MERGED, place=False), StepVcpu(VCPU, [Nop()])) == "EAGAIN"


def test_busy_and_idle() -> None:
    rig = Rig(MERGED)
    assert refused(rig, StepVcpu(VCPU)) == "EINVAL"

    rig.step(Rdmsr(FROM0))
    assert refused(rig, StepVcpu(VCPU, [Nop()])) == "EBUSY"


def test_waiting() -> None:
    rig = Rig(MERGED)
    rig.step(Rdmsr(FROM0))
    rig.step()

    assert refused(rig, StepVcpu(VCPU)) == "EAGAIN"
    rig.settle()
    assert rig.step().finished


@cases("op", [Nop(), Rdmsr(FROM0)])
def test_thread_has_moved(op: AnyOp) -> None:
    """The host has switched the thread out, and KVM does not know it yet."""
    rig = Rig(MERGED)
    rig.perf(RunTask("t0", 0), settle=False)

    assert refused(rig, StepVcpu(VCPU, [op])) == "EAGAIN"
    rig.settle()
    rig.place(VCPU)
    assert len(rig.guest(op)) == 1


def test_thread_has_moved_before_activation() -> None:
    """A refused command has no effect: the guest's LBR is not in use yet."""
    script = Script(KVM_SWITCH)
    script.tell(SchedIn(VCPU, 0, 0))
    script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0))

    with pytest.raises(RefusedError):
        script.step([], NotRunning("gone"))
    assert (script.vcpu().saved.active, script.vcpu().lbr_desc.passthrough) == (False, False)


@every_design
def test_forks(design: Design) -> None:
    """A copy in the middle of an exit goes its own way, and the same way when told the same."""
    rig = Rig(design)
    rig.step(Wrmsr(IA32_DEBUGCTL, 1), Branch(3), Rdmsr(MSR_LBR_TOS))
    rig.step()
    fork = deepcopy(rig)
    before = canonical(fork.wire.log.records)

    ends = []
    for one in (rig, fork):
        assert canonical(one.wire.log.records) == before
        one.settle()
        while not (result := one.step()).finished:
            one.settle()
        ends.append((result, canonical(one.wire.log.records), repr(one.vcpu())))

    assert ends[0] == ends[1]
    assert ends[0][1] != before


def test_snapshot() -> None:
    rig = Rig(REVOKE_GP)
    rig.debugctl(1)

    view = rig.kvm(KvmSnapshot())

    assert isinstance(view, KvmView)
    (vcpu,) = view.vcpus
    assert (vcpu.vcpu, vcpu.cpu, vcpu.event, vcpu.state, vcpu.grant) == (VCPU, 0, 1, "ACTIVE", 1)
    assert (vcpu.passthrough, vcpu.debugctl) == (False, 1)


def test_doubled_and_dropped_messages() -> None:
    rig = Rig(MERGED)
    rig.perf(RunTask("t0", 0), settle=False)
    (out,) = rig.wire.network.waiting(KVM, False)

    rig.wire.decide(KVM, Fate.DUPLICATE, KVM, out.seq)
    assert rig.vcpu().cpu == -1
    rig.wire.decide(KVM, Fate.DROP, KVM, out.seq)
    with pytest.raises(RefusedError):
        rig.wire.decide(KVM, Fate.TAKE, KVM, out.seq)


# User space stops LBR use --------------------------------------------------------------------------------


def stopped(design: Design, *, used: bool = True) -> Rig:
    rig = Rig(design)
    if used:
        rig.debugctl(1)
        rig.guest(Branch(3), Rdmsr(FROM0), Nop())
    rig.kvm(StopLbr(VCPU))
    rig.settle()
    return rig


@every_design
def test_stop(design: Design) -> None:
    rig = stopped(design)

    vcpu = rig.vcpu()
    assert (vcpu.lbr_desc.event, vcpu.grant.number, vcpu.lbr_desc.passthrough, vcpu.debugctl) == (0, 0, False, 0)
    assert rig.sent(ReleaseEvent) == int(design.event is not Event.NONE)
    rig.guest(Nop())
    assert not rig.records(VmEntry)[-1].passthrough


@every_design
def test_stopped_guest_is_told_as_the_design_denies(design: Design) -> None:
    rig = stopped(design)

    value = rig.rdmsr(FROM0)

    assert value.fault == (design.denial in (Denial.GP, Denial.FAIL_ENTRY))
    assert value.value == 0
    assert rig.records(Access)[-1].denied == (design.denial is not Denial.SILENT)
    assert rig.sent(CreateEvent) == int(design.event is not Event.NONE)


@every_design
@cases("used", [True, False], ids=["used", "unused"])
def test_stopped_stays_stopped(design: Design, used: bool) -> None:
    """Turning the LBR on in DEBUGCTL is no way round user space: no event, no passthrough, nothing recorded."""
    rig = stopped(design, used=used)
    asked = rig.sent(CreateEvent)

    rig.debugctl(1)
    rig.guest(Nop())

    assert rig.sent(CreateEvent) == asked
    entry = rig.records(VmEntry)[-1]
    assert (entry.passthrough, entry.debugctl & 1) == (False, 0)
