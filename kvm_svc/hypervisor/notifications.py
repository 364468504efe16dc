"""The messages of the host to KVM: the preempt notifiers of its vCPU threads, and changes of the guests' events."""

from __future__ import annotations

from contract.design import Activation, Denial, Enablement, Notifier, Recovery, Release, Save
from contract.messages import Ack, Available, EventCreated, EventState, Revoke, SchedIn, SchedOut
from contract.trace import GuestEvent, VcpuLoad, VcpuPut, VcpuWake
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.claim import ClaimInput, ClaimPhase
from kvm_svc.hypervisor.counters import counter_created, slice_begins
from kvm_svc.hypervisor.lbr import (
    ask_to_enable,
    deny,
    drop_grant,
    hold_grant,
    lose_without_event,
    move_claim,
    release_event,
    set_passthrough,
    stop,
)
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from kvm_svc.hypervisor.waiting import note_wait


def sched_in(hv: Hypervisor, message: SchedIn) -> None:
    """``kvm_sched_in``: ``vcpu_load``, and the per-slice rules of releasing an unused event."""
    vcpu = hv.vcpus.get(message.vcpu)
    if vcpu is None:
        return
    vcpu.cpu, vcpu.host_debugctl = message.cpu, message.debugctl
    hv.effects.add(VcpuLoad(vcpu.name, message.cpu))
    if hv.design.release is Release.IDLE_SLICES:
        if vcpu.lbr_desc.used:
            vcpu.lbr_desc.used = False
            set_passthrough(hv, vcpu, False, "new slice")
        elif not vcpu.debugctl & DEBUGCTL_LBR:
            release_event(hv, vcpu, "a slice without LBR use")
    if vcpu.lbr_desc.event:
        _told_grant(hv, vcpu, message)
    slice_begins(vcpu)
    vcpu.lbr_desc.cleanup = vcpu.lbr_desc.event != 0
    vcpu.saved.restore = vcpu.saved.active and hv.design.save is Save.KVM_SWITCH


def _told_grant(hv: Hypervisor, vcpu: Vcpu, message: SchedIn) -> None:
    """Switches of the thread itself do not end a grant; the grant in this message is the valid one."""
    if message.grant:
        hold_grant(hv, vcpu, message.grant, message.expires, "SchedIn")
        if message.grant == vcpu.grant.number:
            vcpu.claim.state = "ACTIVE"
    elif vcpu.grant.number:
        deny(hv, vcpu, "SchedIn: the grant is over")


def sched_out(hv: Hypervisor, message: SchedOut) -> None:
    vcpu = hv.vcpus.get(message.vcpu)
    if vcpu is None:
        return
    hv.effects.add(VcpuPut(vcpu.name, message.cpu))
    vcpu.cpu = -1
    # The ring does not hold the guest's records if they have not been restored since.
    if vcpu.saved.active and message.lbr is not None and not vcpu.saved.restore:
        vcpu.saved.snapshot = message.lbr


def event_created(hv: Hypervisor, message: EventCreated) -> None:
    vcpu = hv.vcpus.get(message.vcpu)
    if vcpu is None or not message.request or counter_created(hv, vcpu, message):
        return
    if vcpu.lbr_desc.request != message.request:
        return
    desc = vcpu.lbr_desc
    enabled, given_back = desc.enabling != 0, desc.enabling != desc.event
    errno = message.errno
    if errno and hv.design.enablement is Enablement.KVM_CAP:
        errno = "ENOENT"  # intel_pmu_enable_save_guest_lbr of v7 and v8 says so, independently of perf.
    desc.request, desc.create_errno = 0, errno if desc.for_access and not enabled else ""
    desc.in_use = desc.in_use or message.event != 0
    if not enabled:
        desc.event = message.event
        hv.effects.add(GuestEvent(vcpu.name, message.event, "created" if message.event else "failed", errno))
        move_claim(hv, vcpu, ClaimInput.CREATED if message.event else ClaimInput.FAILED)
    elif message.event and not given_back:
        hv.effects.add(GuestEvent(vcpu.name, message.event, "enabled"))
    hv.effects.add(VcpuWake(vcpu.name))
    if not message.event and not enabled and not desc.for_access and hv.design.activation is Activation.LBR_ON:
        lose_without_event(hv, vcpu, "no event could be made")
    if vcpu.claim.phase is ClaimPhase.STOPPED:
        stop(hv, vcpu, "stopped while the event was made")
    elif hv.design.grants and message.event and message.event == desc.event:
        if hv.early_revokes.end(message.event, message.grant):
            vcpu.grant.revoke(message.grant)
            _told_state(hv, vcpu, "ERROR", 0, 0, "Revoke before EventCreated")
        else:
            _told_state(hv, vcpu, message.state, message.grant, message.expires, "EventCreated")
    if not _awaits_event(hv):
        hv.early_revokes.grants.clear()
    note_wait(hv, vcpu)


def event_state(hv: Hypervisor, message: EventState) -> None:
    vcpu = _owner(hv, message.event)
    if vcpu is not None:
        _told_state(hv, vcpu, message.state, message.grant, message.expires, "EventState")


def _told_state(hv: Hypervisor, vcpu: Vcpu, state: str, grant: int, until: int, why: str) -> None:
    if grant and vcpu.grant.is_old(grant):
        return
    vcpu.claim.state = state
    if grant:
        hold_grant(hv, vcpu, grant, until, why)
    elif state == "ERROR":
        deny(hv, vcpu, f"{why}: ERROR")
    elif state != "ACTIVE":
        drop_grant(hv, vcpu, f"{why}: {state}")


def revoke(hv: Hypervisor, message: Revoke) -> None:
    """The agreed notifier: cancel passthrough; from now on accesses trap and are denied. If the host waits, KVM
    acknowledges in every case."""
    vcpu = _owner(hv, message.event)
    if vcpu is None:
        if _awaits_event(hv):
            hv.early_revokes.keep(message.event, message.grant)
    elif vcpu.grant.revoke(message.grant):
        vcpu.claim.state = "ERROR"
        deny(hv, vcpu, "Revoke")
    if hv.design.notifier is Notifier.ACKNOWLEDGED:
        hv.outgoing.append(Ack(message.grant))


def available(hv: Hypervisor, message: Available) -> None:
    """The dead event is released; the guest's next access asks for a fresh one, which starts with an empty ring. A
    guest that does not know its loss yet is denied once first. A guest that is never told gets its event back, with its
    ring."""
    vcpu = _owner(hv, message.event)
    if vcpu is None or hv.design.recovery is not Recovery.AVAILABLE or vcpu.claim.phase not in _LOST:
        return
    if hv.design.denial is not Denial.FAIL_ENTRY:
        release_event(hv, vcpu, "Available")
    elif not vcpu.lbr_desc.request:
        ask_to_enable(hv, vcpu)


_LOST = (ClaimPhase.LOST, ClaimPhase.DENIED)


def _awaits_event(hv: Hypervisor) -> bool:
    """Whether the news of a new event can still come. A Revoke that overtook this news is kept until then."""
    return any(vcpu.lbr_desc.request and not vcpu.lbr_desc.enabling for vcpu in hv.vcpus.values())


def _owner(hv: Hypervisor, event: int) -> Vcpu | None:
    return next((vcpu for vcpu in hv.vcpus.values() if event and vcpu.lbr_desc.event == event), None)
