"""Exits that are no access: HLT continues at once, and user space serves I/O."""

from __future__ import annotations

from contract.control import Close, StepVcpu
from contract.design import Design, HostDebugctl, Passthrough
from contract.machine import Exit, Hlt, Nop, Out
from contract.messages import SchedIn
from contract.trace import LbrRestore, LbrSave, UserExit, UserReturn, VcpuPut, VmEntry, VmExit
from contract.x86 import DEBUGCTL_LBR
from tests.cases import cases
from tests.designs import DESIGNS, MERGED
from tests.kvm_svc.rig import VCPU, Rig, Script

EVERY_DESIGN = cases("design", DESIGNS.values(), ids=DESIGNS)


@EVERY_DESIGN
def test_a_halted_guest_goes_on_at_once(design: Design) -> None:
    rig = Rig(design)
    rig.guest(Hlt(), Nop())

    assert [r.reason for r in rig.records(VmExit)] == ["hlt"]
    assert len(rig.records(VmEntry)) == 2
    assert not rig.records(UserExit)


@EVERY_DESIGN
def test_io_goes_to_user_space_and_back(design: Design) -> None:
    """``vcpu_put`` and ``vcpu_load``, but no switch: nothing is saved or restored but by the exit itself (C20)."""
    rig = Rig(design)
    rig.guest(Out(0x80), Nop())

    exit_, out, back = (rig.records(kind)[-1].seq for kind in (VmExit, UserExit, UserReturn))
    assert exit_ < out < back < rig.records(VmEntry)[-1].seq
    assert rig.records(VmExit)[-1].reason == rig.records(UserExit)[-1].reason == "io"
    assert not rig.records(VcpuPut)
    moved: list[LbrSave | LbrRestore] = [*rig.records(LbrSave), *rig.records(LbrRestore)]
    assert {r.component for r in moved} == ({"vmx"} if design.passthrough is Passthrough.ALWAYS else set())
    assert not [r for r in moved if out < r.seq < back]


def test_user_space_runs_between_two_steps() -> None:
    script = Script(MERGED)
    script.tell(SchedIn(VCPU, 0, 0))

    assert not script.step([Out(0x80)], Exit("io", [], 0)).finished
    assert not script.step([]).finished
    assert [len(script.records(kind)) for kind in (UserExit, UserReturn)] == [1, 0]


@cases("design", [d for d in DESIGNS.values() if d.host_debugctl is HostDebugctl.AT_LOAD], ids=lambda d: d.name)
def test_the_hosts_debugctl_is_remembered_anew(design: Design) -> None:
    """A host event that went while user space ran: vcpu_load sees its bits gone, as the last one saw them set."""
    rig = Rig(design)
    rig.host_event()
    rig.slice()
    rig.kvm(StepVcpu(VCPU, [Out(0x80)]))
    rig.kvm(StepVcpu(VCPU, []))
    remembered = rig.vcpu().host_debugctl
    rig.perf(Close("h0"))
    rig.kvm(StepVcpu(VCPU, []))

    assert (remembered & DEBUGCTL_LBR, rig.vcpu().host_debugctl) == (DEBUGCTL_LBR, 0)
