"""Intercepted accesses of the guest: DEBUGCTL, PERF_CAPABILITIES and the LBR MSRs.

``vmx_get_msr``, ``vmx_set_msr``, ``intel_pmu_handle_lbr_msrs_access`` as merged; the variants of v7 and v8 if the
design's axes say so. Each function returns the result for the guest, or None while the thread waits for the host; it is
then called again with the same ``Handling``.
"""

from __future__ import annotations

from collections.abc import Generator

from contract.design import DebugctlWrite, Denial, FirstAccess, Passthrough, Recovery, Save
from contract.lbr_ring import LbrRing
from contract.machine import AnyReply, AnyRequest, GuestValue, LoadLbr, Look, MsrDone, NotRunning, ReadMsr, WriteMsr
from contract.messages import LbrImage
from contract.trace import Access, UserMsr, VcpuWait
from contract.x86 import (
    DEBUGCTL_BTF,
    DEBUGCTL_LBR,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    MSR_X2APIC_LVTPC,
)
from kvm_svc.hypervisor.capabilities import LBR_DEBUGCTL, guest_capabilities, supported_debugctl
from kvm_svc.hypervisor.counters import counter_access, pmu_msr
from kvm_svc.hypervisor.lapic import lvtpc_access
from kvm_svc.hypervisor.lbr import ask_again, ask_for_event, ask_to_enable, deny, has_event, set_passthrough, told
from kvm_svc.hypervisor.lbr_msrs import is_guest_lbr_msr
from kvm_svc.hypervisor.state import Handling, Hypervisor, Vcpu, Vm

Exchange = Generator[AnyRequest, AnyReply, GuestValue | None]


class ThreadMovedError(Exception):
    """The silicon says that the vCPU's thread is not where KVM believes it is."""


def intercepted_access(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Exchange:
    msr = work.exit.msr
    if msr == IA32_DEBUGCTL:
        return (yield from _debugctl(hv, vcpu, work))
    if msr == IA32_PERF_CAPABILITIES and not work.exit.write:
        value = guest_capabilities(hv, vcpu.vm)
        return _answer(hv, vcpu, work, "gp" if value is None else "done", value)
    if is_guest_lbr_msr(hv, vcpu.vm, msr):
        return (yield from lbr_msr_access(hv, vcpu, work))
    if (row := pmu_msr(hv, vcpu.vm, msr)) is not None:
        value = yield from counter_access(hv, vcpu, row, work.exit.value if work.exit.write else None)
        return _answer(hv, vcpu, work, "gp" if value is None else "done", value)
    if msr == MSR_X2APIC_LVTPC:
        value = lvtpc_access(vcpu, work.exit.value if work.exit.write else None)
        return _answer(hv, vcpu, work, "gp" if value is None else "done", value)
    return _answer(hv, vcpu, work, "gp")


def _answer(
    hv: Hypervisor, vcpu: Vcpu, work: Handling, result: str, value: int | None = None, *, denied: bool = False
) -> GuestValue:
    """``value``: the result of a read, or the value that a write stored."""
    write = work.exit.write
    shown = value if value is not None else work.exit.value if write else 0
    if work.by_user:
        done = result == "done"
        if work.exit.msr == IA32_DEBUGCTL:  # It is in the VMCS, not in the LBR.
            shown, done = vcpu.debugctl if write else shown, False
        hv.effects.add(UserMsr(vcpu.name, work.exit.msr, shown, result != "gp", not write, work.task, done))
    else:
        asked = work.exit.value if write else 0
        hv.effects.add(Access(vcpu.name, vcpu.cpu, write, work.exit.msr, shown, result, denied, asked))
    vcpu.lbr_desc.create_errno = ""
    return GuestValue(value=0 if write else shown, fault=result == "gp")


def _denied(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> GuestValue | None:
    """The answer to a guest, or to user space, that may not use the LBR in this design. Nothing is written. Under
    fail-entry the guest gets no answer, and sleeps until it may use the LBR."""
    if starves(hv, vcpu) and not work.by_user:
        refuse(hv, vcpu)
        return None
    if not work.by_user:
        told(hv, vcpu)
    if hv.design.denial in (Denial.GP, Denial.FAIL_ENTRY):
        return _answer(hv, vcpu, work, "gp", denied=True)
    if hv.design.denial is Denial.SILENT and not work.by_user:
        return _answer(hv, vcpu, work, "done", None if work.exit.write else 0)
    return _answer(hv, vcpu, work, "dropped" if work.exit.write else "zero", denied=True)


def starves(hv: Hypervisor, vcpu: Vcpu) -> bool:
    """Under fail-entry a denied guest sleeps instead, as long as its event may come back."""
    return hv.design.denial is Denial.FAIL_ENTRY and vcpu.lbr_desc.event != 0


def refuse(hv: Hypervisor, vcpu: Vcpu) -> None:
    """The guest does not run until the LBR is its own again."""
    vcpu.refused = True
    hv.effects.add(VcpuWait(vcpu.name, "Available"))


# DEBUGCTL ------------------------------------------------------------------------------------------------


def _debugctl_kept(hv: Hypervisor, value: int, supported: int) -> int | None:
    """The value that a DEBUGCTL write stores; None for #GP. An unsupported LBR or BTF is dropped, until v6.17 together
    with the other of the two. Any other unsupported bit faults (``vmx_set_msr``)."""
    ignored = DEBUGCTL_LBR | DEBUGCTL_BTF
    if value & ~supported & ~ignored:
        return None
    if hv.rules.btf_drops_lbr and value & ~supported:
        return value & ~ignored
    return value & supported


def masks_debugctl(hv: Hypervisor) -> bool:
    """v7, v8: DEBUGCTL is treated like the LBR MSRs, also for user space."""
    return hv.design.debugctl_write is DebugctlWrite.MASK


def has_debugctl(hv: Hypervisor, vm: Vm) -> bool:
    """Whether the guest has a DEBUGCTL. v7 and v8 check for a PMU of version 2 (``intel_is_valid_msr``), and have no
    other handler (v7, patch 11)."""
    return not masks_debugctl(hv) or vm.spec.pmu >= 2


def user_debugctl(hv: Hypervisor, vm: Vm, value: int) -> int | None:
    """The value that a DEBUGCTL write by user space stores; None: rejected."""
    if not has_debugctl(hv, vm):
        return None
    if masks_debugctl(hv):
        return value & LBR_DEBUGCTL
    return _debugctl_kept(hv, value, supported_debugctl(hv, vm, by_user=True))


def _debugctl(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Exchange:
    if masks_debugctl(hv):
        return (yield from debugctl_masked(hv, vcpu, work))
    if not work.exit.write:
        return _answer(hv, vcpu, work, "done", vcpu.debugctl)
    kept = _debugctl_kept(hv, work.exit.value, supported_debugctl(hv, vcpu.vm))
    if kept is None:
        return _answer(hv, vcpu, work, "gp")
    if kept & DEBUGCTL_LBR:
        ask_again(hv, vcpu)
        if vcpu.claim.shut_off:
            return _denied(hv, vcpu, work)
        if not has_event(hv):
            yield from activate(hv, vcpu)
        elif _must_ask(hv, vcpu):
            return None
        elif (vcpu.lbr_desc.create_errno and hv.design.denial in (Denial.GP, Denial.FAIL_ENTRY)) or not (
            yield from _may_turn_on(hv, vcpu)
        ):
            return _denied(hv, vcpu, work)
    vcpu.debugctl, vcpu.pmu.hardware_froze = kept, False
    return _answer(hv, vcpu, work, "done", kept)


def _may_turn_on(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, bool]:
    """Whether the guest has the LBR at this moment, in designs that check before each use."""
    if not vcpu.lbr_desc.event or not (hv.fenced or hv.design.denial is Denial.FAIL_ENTRY):
        return True
    active = yield from _look(vcpu, vcpu.grant.number if hv.fenced else 0)
    if not active:
        deny(hv, vcpu, "the LBR is not the guest's")
    return active


def _look(vcpu: Vcpu, grant: int = 0, task: str = "") -> Generator[AnyRequest, AnyReply, bool]:
    """Whether the guest's event is ACTIVE where that thread runs, under this grant if one is named."""
    reply = yield Look(vcpu.name, vcpu.cpu, vcpu.lbr_desc.event, grant, task)
    if isinstance(reply, NotRunning):
        raise ThreadMovedError(reply.reason)
    assert isinstance(reply, MsrDone)
    return reply.met


def debugctl_masked(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Exchange:
    """v7, v8: DEBUGCTL is treated like an LBR MSR, except that two bits are kept and the others silently dropped. So
    each access creates the event, also a read or a write of 0. This also holds for user space of a guest without an LBR
    (``intel_pmu_access_lbr_msr``, ``host_initiated``)."""
    if not (vcpu.vm.lbr_enabled or work.by_user):
        return _answer(hv, vcpu, work, "gp")
    if vcpu.claim.shut_off:
        if work.exit.write and work.exit.value & DEBUGCTL_LBR:
            return _denied(hv, vcpu, work)
    elif hv.design.first_access is FirstAccess.CREATE_THEN_ACCESS:
        if _must_ask(hv, vcpu, work.task):
            return None
        if vcpu.lbr_desc.create_errno or not (yield from _look(vcpu, task=work.task)):
            return _denied(hv, vcpu, work)
    if not work.accessed:
        work.accessed = True
        if work.exit.write:
            vcpu.debugctl, vcpu.pmu.hardware_froze = work.exit.value & LBR_DEBUGCTL, False
        if not vcpu.claim.shut_off:
            _mark_used(hv, vcpu, work.task)
    if vcpu.waiting:
        return None
    return _answer(hv, vcpu, work, "done", vcpu.debugctl)


# LBR MSRs ------------------------------------------------------------------------------------------------


def lbr_msr_access(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Exchange:
    """``intel_pmu_handle_lbr_msrs_access``, for the guest or for user space."""
    if not work.by_user:
        ask_again(hv, vcpu)
    if vcpu.claim.shut_off:
        return _denied(hv, vcpu, work)
    if not has_event(hv):
        return (yield from _without_event(hv, vcpu, work))
    if hv.design.first_access is FirstAccess.ACCESS_THEN_CREATE:
        return (yield from _access_then_create(hv, vcpu, work))
    if _must_ask(hv, vcpu, work.task):
        return None
    if vcpu.claim.shut_off or vcpu.lbr_desc.create_errno:
        return _denied(hv, vcpu, work)
    done = yield from _hardware(vcpu, work, vcpu.lbr_desc.event, vcpu.grant.number if hv.fenced else 0)
    vcpu.lbr_desc.in_use = done.met
    if not done.met:
        if hv.design.recovery is Recovery.ENABLE_ON_ACCESS and not work.enabled:
            work.enabled = True
            ask_to_enable(hv, vcpu)
            return None
        if hv.fenced:
            deny(hv, vcpu, "the fence: this grant is over")
        elif hv.design.denial is Denial.FAIL_ENTRY:
            deny(hv, vcpu, "the LBR is not the guest's")
        return _denied(hv, vcpu, work)
    _mark_used(hv, vcpu, work.task)
    return _served(hv, vcpu, work, done)


def _without_event(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Exchange:
    """KVM saves by itself. The register is the guest's own: in the hardware, or in the image if every transition
    switches the LBR. The guest gets its LBR and repeats the access itself."""
    yield from activate(hv, vcpu, work.task)
    if hv.design.save is not Save.VMX_TRANSITION:
        return _served(hv, vcpu, work, (yield from _hardware(vcpu, work, 0)))
    ring = LbrRing(hv.model)
    ring.load(vcpu.saved.snapshot or LbrImage(), with_select=True)
    msr, value = work.exit.msr, work.exit.value
    shown = ring.get(msr)
    if shown is None:
        return _answer(hv, vcpu, work, "gp")
    if not work.by_user:
        vcpu.handling = None
        return None
    if not work.exit.write:
        return _answer(hv, vcpu, work, "done", shown)
    if not ring.takes(msr, value):
        return _answer(hv, vcpu, work, "gp")
    ring.put(msr, value)
    vcpu.saved.snapshot = ring.store()
    return _answer(hv, vcpu, work, "done")


def _access_then_create(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Exchange:
    """v7: access the hardware first, also if another user has the LBR; then create the event. A failure of the creation
    is not seen."""
    if not work.accessed:
        done = yield from _hardware(vcpu, work, 0)
        work.accessed, work.value, work.fault = True, done.value, done.fault
        _mark_used(hv, vcpu, work.task)
        if hv.design.passthrough is not Passthrough.ON_ACCESS:
            _must_ask(hv, vcpu, work.task)
    if vcpu.waiting:
        return None
    return _served(hv, vcpu, work, MsrDone(True, work.value, work.fault))


def _served(hv: Hypervisor, vcpu: Vcpu, work: Handling, done: MsrDone) -> GuestValue:
    """A write that faults faults in the host, whose fix-up drops it. So the guest gets no #GP here, but would if the
    register were passed through. Under the fence the guest gets the #GP."""
    if work.exit.write and done.fault:
        return _answer(hv, vcpu, work, "gp" if hv.fenced and not work.by_user else "dropped")
    if work.exit.write:
        return _answer(hv, vcpu, work, "done")
    return _answer(hv, vcpu, work, "done", done.value)


def _hardware(vcpu: Vcpu, work: Handling, event: int, grant: int = 0) -> Generator[AnyRequest, AnyReply, MsrDone]:
    """The access on the CPU of the thread that makes it. With ``event``: only if that event is ACTIVE, under this
    grant."""
    msr = work.exit.msr
    if work.exit.write:
        reply = yield WriteMsr(vcpu.name, vcpu.cpu, msr, work.exit.value, event, work.task, grant)
    else:
        reply = yield ReadMsr(vcpu.name, vcpu.cpu, msr, event, work.task, grant)
    if isinstance(reply, NotRunning):
        raise ThreadMovedError(reply.reason)
    assert isinstance(reply, MsrDone)
    return reply


def _must_ask(hv: Hypervisor, vcpu: Vcpu, task: str = "") -> bool:
    """Whether the thread now waits for an event to be created. A creation that just failed is not repeated."""
    if vcpu.lbr_desc.event or vcpu.lbr_desc.create_errno:
        return False
    ask_for_event(hv, vcpu, task)
    return True


def _mark_used(hv: Hypervisor, vcpu: Vcpu, task: str = "") -> None:
    """The first access of a slice turns passthrough on for the rest of it (v7, v8). If user space accesses DEBUGCTL of
    a guest without an LBR, the set of MSRs that KVM passes through is empty."""
    if hv.design.passthrough is not Passthrough.ON_ACCESS or vcpu.lbr_desc.used:
        return
    vcpu.lbr_desc.used = True
    if vcpu.vm.lbr_enabled:
        set_passthrough(hv, vcpu, True, "first LBR access in this slice")
    if has_event(hv) and not vcpu.lbr_desc.event:
        ask_for_event(hv, vcpu, task)


def activate(hv: Hypervisor, vcpu: Vcpu, task: str = "") -> Generator[AnyRequest, AnyReply, None]:
    """KVM saves by itself: the guest's LBR starts empty and is passed through from now on."""
    if vcpu.saved.active:
        return
    if hv.design.save is not Save.VMX_TRANSITION:
        reply = yield LoadLbr(vcpu.name, vcpu.cpu, LbrImage(), hv.saves_select, task)
        if isinstance(reply, NotRunning):
            raise ThreadMovedError(reply.reason)
    vcpu.saved.active = True
    set_passthrough(hv, vcpu, True, "first LBR access")
