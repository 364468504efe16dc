"""Migration of a vCPU to another host: the state that user space reads here and sets there.

User space carries the MSRs of the source kernel's save list, in its order: the counters and PERF_CAPABILITIES, and
since v7.1 DEBUGCTL. No list has LBR MSRs and QEMU does not ask for them, so a guest arrives with an empty LBR. An image
with an LBR models an interface that would carry it. The image may go into the ring only while the guest may use the LBR
there: at the first entry at which its event is ACTIVE.
"""

from __future__ import annotations

from collections.abc import Generator

from contract.control import MsrEntry, VcpuImage
from contract.design import Save
from contract.errors import LocalContractError, RefusedError
from contract.lbr_ring import is_image, mended, refused_register
from contract.machine import (
    AnyReply,
    AnyRequest,
    Continue,
    Exit,
    LbrStored,
    LoadLbr,
    MsrDone,
    NotRunning,
    ReadMsr,
    StoreLbr,
)
from contract.messages import LbrImage
from contract.trace import VcpuMoved
from contract.x86 import DEBUGCTL_LBR, IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, LBR_FMT_MASK, MSR_LBR_TOS
from kvm_svc.hypervisor.capabilities import LBR_DEBUGCTL, can_have, read_capabilities, set_capabilities
from kvm_svc.hypervisor.claim import ClaimPhase
from kvm_svc.hypervisor.counters import counter_access, new_pmu, pmu_msr
from kvm_svc.hypervisor.lapic import WRITABLE
from kvm_svc.hypervisor.lbr import ask_for_event, forbids_unbacked_use, has_event, lose_without_event
from kvm_svc.hypervisor.msr import ThreadMovedError, has_debugctl, user_debugctl
from kvm_svc.hypervisor.pmu_msrs import Bank, save_list
from kvm_svc.hypervisor.pmu_refresh import refreshes
from kvm_svc.hypervisor.state import Hypervisor, Vcpu

Exchange = Generator[AnyRequest, AnyReply, None]


def save_vcpu(hv: Hypervisor, vcpu: Vcpu, *, lbr: bool) -> Generator[AnyRequest, AnyReply, VcpuImage]:
    """Raises RefusedError, with nothing changed, if the thread cannot do it now."""
    if vcpu.cpu < 0:
        raise RefusedError(f"the thread of {vcpu.name} is not loaded on a CPU", "EAGAIN")
    if vcpu.waiting or vcpu.ops:
        raise RefusedError(f"{vcpu.name} is busy with guest code", "EAGAIN")
    msrs = yield from _saved_msrs(hv, vcpu)
    image = VcpuImage(capabilities=read_capabilities(hv, vcpu.vm), msrs=msrs, lvtpc=vcpu.lvtpc)
    try:
        if vcpu.guest_mode:
            yield from leave_guest_mode(vcpu)
        if lbr:
            image.debugctl = vcpu.debugctl
            image.lbr = yield from _lbr_of(hv, vcpu)
            image.owes_denial = image.lbr is None and _owes_denial(hv, vcpu)
    except ThreadMovedError as error:
        raise RefusedError(str(error), "EAGAIN") from None
    carried = image.debugctl or next((entry.value for entry in image.msrs if entry.msr == IA32_DEBUGCTL), 0)
    hv.effects.add(VcpuMoved(vcpu=vcpu.name, action="saved", debugctl=carried, lbr=image.lbr is not None))
    return image


def _saved_msrs(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, list[MsrEntry]]:
    """KVM_GET_MSRS of the save list. User space leaves out the MSRs that the guest's CPUID lacks."""
    entries = []
    for msr in save_list(hv.rules.pmu, hv.machine.counters, hv.machine.fixed):
        if msr == IA32_DEBUGCTL:
            value: int | None = vcpu.debugctl if has_debugctl(hv, vcpu.vm) else None
        elif msr == IA32_PERF_CAPABILITIES:
            value = read_capabilities(hv, vcpu.vm)
        else:
            row = pmu_msr(hv, vcpu.vm, msr)
            if row is None or row.bank in (Bank.ABSENT, Bank.P6):
                continue
            value = yield from counter_access(hv, vcpu, row, None, by_user=True)
        if value is not None:
            entries.append(MsrEntry(msr, value))
    return entries


def _load_msrs(hv: Hypervisor, vcpu: Vcpu, entries: list[MsrEntry]) -> Generator[AnyRequest, AnyReply, bool]:
    """KVM_SET_MSRS of the list for a vCPU that has not run. True if DEBUGCTL with LBR set is to create the event,
    because the LBR is enabled at that moment. Raises RefusedError naming the first register that is rejected."""
    creates = False
    for entry in entries:
        taken: int | None = None
        if entry.msr == IA32_DEBUGCTL:
            if (taken := user_debugctl(hv, vcpu.vm, entry.value)) is not None:
                vcpu.debugctl = taken
                creates = vcpu.vm.lbr_enabled and bool(taken & DEBUGCTL_LBR)
        elif entry.msr == IA32_PERF_CAPABILITIES:
            if can_have(hv, vcpu.vm, entry.value):
                taken = entry.value
                if refreshes(hv, vcpu.vm, taken):
                    vcpu.pmu, creates = new_pmu(hv, vcpu.vm), False
                set_capabilities(hv, vcpu.vm, taken)
        elif (row := pmu_msr(hv, vcpu.vm, entry.msr)) is not None:
            taken = yield from counter_access(hv, vcpu, row, entry.value, by_user=True)
        if taken is None:
            raise RefusedError(f"MSR {entry.msr:#x} of the save list cannot be {entry.value:#x} here", "EINVAL")
    return creates


def _owes_denial(hv: Hypervisor, vcpu: Vcpu) -> bool:
    """Whether the guest's LBR is not its own at this moment, and the guest does not know it yet."""
    untold = vcpu.claim.phase in (ClaimPhase.HELD, ClaimPhase.OFF, ClaimPhase.LOST)
    return has_event(hv) and forbids_unbacked_use(hv) and untold


def leave_guest_mode(vcpu: Vcpu) -> Exchange:
    """The thread returns from KVM_RUN."""
    reply = yield Continue(vcpu.name, vcpu.cpu, [], kick=True)
    if isinstance(reply, NotRunning):
        raise ThreadMovedError(reply.reason)
    if not isinstance(reply, Exit):
        raise LocalContractError(f"{vcpu.name}: the silicon answered a kick with {type(reply).__name__}")
    take_exit(vcpu, reply)
    vcpu.guest_mode = vcpu.kick = False


def take_exit(vcpu: Vcpu, exit_: Exit) -> None:
    """Take the guest's LBR from an exit, if every transition switches the LBR."""
    if exit_.lbr is not None:
        vcpu.saved.snapshot = exit_.lbr


def _lbr_of(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, LbrImage | None]:
    """The guest's LBR, if it has one: on the CPU while the guest may use it, or waiting to be loaded. An image that
    waits is too old once the guest has been entered without its LBR (``put_arrived`` drops it then)."""
    if vcpu.saved.arrived is not None and not vcpu.claim.shut_off:
        return vcpu.saved.arrived
    if vcpu.saved.restore or hv.design.save is Save.VMX_TRANSITION:
        return vcpu.saved.snapshot
    if not has_event(hv):
        if not vcpu.saved.active:
            return None
    elif not (yield from _is_active(vcpu)):
        return None
    reply = yield StoreLbr(vcpu.name, vcpu.cpu)
    if isinstance(reply, NotRunning):
        raise ThreadMovedError(reply.reason)
    assert isinstance(reply, LbrStored)
    return reply.image


def _is_active(vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, bool]:
    if not vcpu.lbr_desc.event:
        return False
    reply = yield ReadMsr(vcpu.name, vcpu.cpu, MSR_LBR_TOS, vcpu.lbr_desc.event)
    if isinstance(reply, NotRunning):
        raise ThreadMovedError(reply.reason)
    assert isinstance(reply, MsrDone)
    return reply.met


def load_vcpu(hv: Hypervisor, old: Vcpu, image: VcpuImage) -> Exchange:
    """Raises RefusedError, with nothing changed, if this KVM cannot give the guest the features of the image."""
    if old.waiting or old.ops or old.guest_mode:
        raise RefusedError(f"{old.name} runs here", "EBUSY")
    if not can_have(hv, old.vm, image.capabilities):
        raise RefusedError(f"PERF_CAPABILITIES {image.capabilities:#x}, this VM cannot have them here", "EINVAL")
    if image.debugctl & ~LBR_DEBUGCTL:
        raise RefusedError(f"DEBUGCTL {image.debugctl:#x} has bits that no guest has", "EINVAL")
    if image.lvtpc & ~WRITABLE:
        raise RefusedError(f"LVTPC {image.lvtpc:#x} has bits that no guest has", "EINVAL")
    lbr = None if image.lbr is None else mended(hv.model, image.lbr)
    if lbr is not None and not (image.capabilities & LBR_FMT_MASK and _fits(hv, lbr)):
        raise RefusedError("the image's LBR is not the one that the guest has here", "EINVAL")
    vcpu = Vcpu(old.name, old.vm, cpu=old.cpu, debugctl=image.debugctl, host_debugctl=old.host_debugctl)
    vcpu.lvtpc = image.lvtpc
    before = vcpu.vm.capabilities
    set_capabilities(hv, vcpu.vm, image.capabilities)
    vcpu.pmu = new_pmu(hv, old.vm)
    try:
        creates = yield from _load_msrs(hv, vcpu, image.msrs)
    except RefusedError:
        set_capabilities(hv, vcpu.vm, before)
        raise
    hv.vcpus[old.name] = vcpu
    hv.effects.add(VcpuMoved(vcpu=vcpu.name, action="loaded", debugctl=vcpu.debugctl, lbr=lbr is not None))
    if image.owes_denial and has_event(hv):
        lose_without_event(hv, vcpu, "lost before it migrated")
        return
    if lbr is None:
        if creates and has_event(hv):
            ask_for_event(hv, vcpu, for_access=False)
        return
    if not has_event(hv):
        vcpu.saved.active, vcpu.saved.snapshot = True, lbr
        vcpu.saved.restore = hv.design.save is not Save.VMX_TRANSITION
        vcpu.lbr_desc.passthrough = hv.design.save is Save.VMX_TRANSITION
    else:
        vcpu.saved.arrived = lbr
        ask_for_event(hv, vcpu, for_access=False)


def _fits(hv: Hypervisor, lbr: LbrImage) -> bool:
    return is_image(hv.model, lbr) and refused_register(hv.model, lbr) < 0


def put_arrived(hv: Hypervisor, vcpu: Vcpu) -> Exchange:
    """Before an entry: load the LBR that came with the migration into the ring, or drop it together with the event that
    it waited for."""
    image = vcpu.saved.arrived
    if image is None:
        return
    if not vcpu.lbr_desc.event or vcpu.claim.shut_off:
        vcpu.saved.arrived = None
    elif (yield from _is_active(vcpu)):
        reply = yield LoadLbr(vcpu.name, vcpu.cpu, image)
        if isinstance(reply, NotRunning):
            raise ThreadMovedError(reply.reason)
        vcpu.saved.arrived = None
