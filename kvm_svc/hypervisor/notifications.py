"""What the host tells KVM: its vCPU threads' preempt notifiers, and the fate of the guests' events."""

from __future__ import annotations

from contract.design import Notifier, Recovery, Release, Save
from contract.messages import Available, EventCreated, EventState, Revoke, SchedIn, SchedOut
from contract.trace import GuestEvent, VcpuLoad, VcpuPut, VcpuWait, VcpuWake
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.counters import counter_created, slice_begins
from kvm_svc.hypervisor.lbr import deny, drop_grant, hold_grant, release_event, set_passthrough
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def sched_in(hv: Hypervisor, message: SchedIn) -> None:
    """``kvm_sched_in``: ``vcpu_load``, and the per-slice rules of releasing an unused event."""
    vcpu = hv.vcpus.get(message.vcpu)
    if vcpu is None:
        return
    vcpu.cpu, vcpu.host_debugctl = message.cpu, message.debugctl
    hv.log.add(VcpuLoad(vcpu.name, message.cpu))
    if hv.design.release is Release.IDLE_SLICES:
        if vcpu.lbr_desc.used:
            vcpu.lbr_desc.used = False
            set_passthrough(hv, vcpu, False, "new slice")
        elif not vcpu.debugctl & DEBUGCTL_LBR:
            release_event(hv, vcpu, "a slice without LBR use")
    slice_begins(vcpu)
    vcpu.lbr_desc.cleanup = vcpu.lbr_desc.event != 0
    vcpu.saved.restore = vcpu.saved.active and hv.design.save is Save.KVM_SWITCH


def sched_out(hv: Hypervisor, message: SchedOut) -> None:
    vcpu = hv.vcpus.get(message.vcpu)
    if vcpu is None:
        return
    hv.log.add(VcpuPut(vcpu.name, message.cpu))
    vcpu.cpu = -1
    # What the ring holds is not the guest's where its own has not been put back since.
    if vcpu.saved.active and message.lbr is not None and not vcpu.saved.restore:
        vcpu.saved.snapshot = message.lbr


def event_created(hv: Hypervisor, message: EventCreated) -> None:
    vcpu = hv.vcpus.get(message.vcpu)
    if vcpu is None or counter_created(hv, vcpu, message) or vcpu.lbr_desc.asked != message.request:
        return
    vcpu.lbr_desc.asked = 0
    vcpu.lbr_desc.event, vcpu.lbr_desc.create_errno = message.event, message.errno
    vcpu.lbr_desc.in_use = vcpu.lbr_desc.in_use or message.event != 0
    what = "created" if message.event else "failed"
    hv.log.add(GuestEvent(vcpu.name, message.event, what, message.errno))
    hv.log.add(VcpuWake(vcpu.name))
    if vcpu.ioctl is not None:
        hv.log.add(VcpuWait(vcpu.name, "the end of an ioctl"))
    if hv.design.notifier is not Notifier.NONE and message.event:
        if message.grant and hv.early_revokes.pop(message.event, 0) >= message.grant:
            vcpu.claim.newest = message.grant
            _told_state(hv, vcpu, "ERROR", 0, "Revoke before EventCreated")
        else:
            _told_state(hv, vcpu, message.state, message.grant, "EventCreated")


def event_state(hv: Hypervisor, message: EventState) -> None:
    vcpu = _owner(hv, message.event)
    if vcpu is not None:
        _told_state(hv, vcpu, message.state, message.grant, "EventState")


def _told_state(hv: Hypervisor, vcpu: Vcpu, state: str, grant: int, why: str) -> None:
    vcpu.claim.state = state
    if state == "ACTIVE":
        hold_grant(hv, vcpu, grant, why)
    elif state == "ERROR":
        deny(hv, vcpu, f"{why}: ERROR")
    else:
        drop_grant(hv, vcpu, f"{why}: {state}")


def revoke(hv: Hypervisor, message: Revoke) -> None:
    """The agreed notifier: cancel passthrough; from now on accesses trap and are denied. A late Revoke of an older
    grant is ignored (R6)."""
    vcpu = _owner(hv, message.event)
    if vcpu is None:
        hv.early_revokes[message.event] = message.grant
    elif message.grant >= vcpu.claim.newest:
        vcpu.claim.newest = message.grant
        vcpu.claim.state = "ERROR"
        deny(hv, vcpu, "Revoke")


def available(hv: Hypervisor, message: Available) -> None:
    """The dead event goes; the guest's next access asks for a fresh one, which starts with an empty ring. But a guest
    that has not been told of its loss yet is told first: it is denied once."""
    vcpu = _owner(hv, message.event)
    if vcpu is not None and hv.design.recovery is Recovery.AVAILABLE and vcpu.claim.denied:
        release_event(hv, vcpu, "Available")
        vcpu.claim.denied = vcpu.claim.untold


def _owner(hv: Hypervisor, event: int) -> Vcpu | None:
    return next((vcpu for vcpu in hv.vcpus.values() if event and vcpu.lbr_desc.event == event), None)
