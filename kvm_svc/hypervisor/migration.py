"""Carrying a vCPU to another host: what user space reads here and sets up there.

KVM's own interface has no LBR MSRs in any list and QEMU asks for none, so a guest arrives with an empty LBR and its
DEBUGCTL 0 (kvm-facts 2.12); an image with an LBR is what an interface for it would carry. The image may go into the
ring only while the guest may use the LBR there: at the first entry at which its event is ACTIVE.
"""

from __future__ import annotations

from collections.abc import Generator

from contract.control import VcpuImage
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
from contract.x86 import LBR_FMT_MASK, MSR_LBR_TOS
from kvm_svc.hypervisor.capabilities import LBR_DEBUGCTL, can_have, read_capabilities, set_capabilities
from kvm_svc.hypervisor.counters import new_pmu
from kvm_svc.hypervisor.lbr import ask_for_event, has_event
from kvm_svc.hypervisor.msr import ThreadMovedError
from kvm_svc.hypervisor.state import Hypervisor, Vcpu

Exchange = Generator[AnyRequest, AnyReply, None]


def save_vcpu(hv: Hypervisor, vcpu: Vcpu, *, lbr: bool) -> Generator[AnyRequest, AnyReply, VcpuImage]:
    """Raises RefusedError, with nothing changed, where the thread cannot do it now."""
    if vcpu.cpu < 0:
        raise RefusedError(f"the thread of {vcpu.name} is not loaded on a CPU", "EAGAIN")
    if vcpu.waiting or vcpu.ops:
        raise RefusedError(f"{vcpu.name} is busy with guest code", "EAGAIN")
    image = VcpuImage(capabilities=read_capabilities(hv, vcpu.vm))
    try:
        if vcpu.guest_mode:
            yield from leave_guest_mode(vcpu)
        if lbr:
            image.debugctl = vcpu.debugctl
            image.lbr = yield from _lbr_of(hv, vcpu)
    except ThreadMovedError as error:
        raise RefusedError(str(error), "EAGAIN") from None
    hv.log.add(VcpuMoved(vcpu=vcpu.name, what="saved", debugctl=image.debugctl, lbr=image.lbr is not None))
    return image


def leave_guest_mode(vcpu: Vcpu) -> Exchange:
    """The thread comes back from KVM_RUN."""
    reply = yield Continue(vcpu.name, vcpu.cpu, [], kick=True)
    if isinstance(reply, NotRunning):
        raise ThreadMovedError(reply.why)
    if not isinstance(reply, Exit):
        raise LocalContractError(f"{vcpu.name}: the silicon answered a kick with {type(reply).__name__}")
    take_exit(vcpu, reply)
    vcpu.guest_mode = vcpu.kick = False


def take_exit(vcpu: Vcpu, exit_: Exit) -> None:
    """Where every transition switches the LBR, an exit brings the guest's."""
    if exit_.lbr is not None:
        vcpu.saved.snapshot = exit_.lbr


def _lbr_of(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, LbrImage | None]:
    """The guest's LBR, if there is one: on the CPU while the guest may use it, or waiting to be put there."""
    if vcpu.saved.arrived is not None:
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
        raise ThreadMovedError(reply.why)
    assert isinstance(reply, LbrStored)
    return reply.image


def _is_active(vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, bool]:
    if not vcpu.lbr_desc.event:
        return False
    reply = yield ReadMsr(vcpu.name, vcpu.cpu, MSR_LBR_TOS, vcpu.lbr_desc.event)
    if isinstance(reply, NotRunning):
        raise ThreadMovedError(reply.why)
    assert isinstance(reply, MsrDone)
    return reply.met


def load_vcpu(hv: Hypervisor, old: Vcpu, image: VcpuImage) -> None:
    """Raises RefusedError, with nothing changed, where this KVM cannot give the guest what the image has."""
    if old.waiting or old.ops or old.guest_mode:
        raise RefusedError(f"{old.name} runs here", "EBUSY")
    if not can_have(hv, old.vm, image.capabilities):
        raise RefusedError(f"PERF_CAPABILITIES {image.capabilities:#x}, this VM cannot have them here", "EINVAL")
    if image.debugctl & ~LBR_DEBUGCTL:
        raise RefusedError(f"DEBUGCTL {image.debugctl:#x} has bits that no guest has", "EINVAL")
    lbr = None if image.lbr is None else mended(hv.model, image.lbr)
    if lbr is not None and not (image.capabilities & LBR_FMT_MASK and _fits(hv, lbr)):
        raise RefusedError("the image's LBR is not the one that the guest has here", "EINVAL")
    vcpu = Vcpu(old.name, old.vm, cpu=old.cpu, debugctl=image.debugctl, host_debugctl=old.host_debugctl)
    vcpu.pmu = new_pmu(hv, old.vm)
    set_capabilities(hv, vcpu.vm, image.capabilities)
    hv.vcpus[old.name] = vcpu
    hv.log.add(VcpuMoved(vcpu=vcpu.name, what="loaded", debugctl=image.debugctl, lbr=lbr is not None))
    if lbr is None:
        return
    if not has_event(hv):
        vcpu.saved.active, vcpu.saved.snapshot = True, lbr
        vcpu.saved.restore = hv.design.save is not Save.VMX_TRANSITION
        vcpu.lbr_desc.passthrough = hv.design.save is Save.VMX_TRANSITION
    else:
        vcpu.saved.arrived = lbr
        ask_for_event(hv, vcpu, heeded=False)


def _fits(hv: Hypervisor, lbr: LbrImage) -> bool:
    return is_image(hv.model, lbr) and refused_register(hv.model, lbr) < 0


def put_arrived(hv: Hypervisor, vcpu: Vcpu) -> Exchange:
    """Before an entry: the LBR that came along goes into the ring, or is given up with the event it was waiting for."""
    image = vcpu.saved.arrived
    if image is None:
        return
    if not vcpu.lbr_desc.event or vcpu.claim.shut_off:
        vcpu.saved.arrived = None
    elif (yield from _is_active(vcpu)):
        reply = yield LoadLbr(vcpu.name, vcpu.cpu, image)
        if isinstance(reply, NotRunning):
            raise ThreadMovedError(reply.why)
        vcpu.saved.arrived = None
