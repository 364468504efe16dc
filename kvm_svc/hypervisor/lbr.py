"""The guest's event, passthrough, grants, and their loss."""

from __future__ import annotations

from contract.design import Denial, Event, OtherThreads, Passthrough, Recovery
from contract.messages import CreateEvent, EnableEvent, ReleaseEvent, Renew
from contract.trace import ClaimChange, Granted, GuestEvent, PassthroughSet, VcpuWait
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.claim import ClaimInput, ClaimPhase
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from kvm_svc.hypervisor.waiting import wake


def move_claim(hv: Hypervisor, vcpu: Vcpu, given: ClaimInput, why: str = "") -> None:
    old = vcpu.claim.phase
    if vcpu.claim.move(given):
        hv.effects.add(ClaimChange(vcpu.name, old, vcpu.claim.phase, why or given))


# The event -----------------------------------------------------------------------------------------------


def ask_for_event(hv: Hypervisor, vcpu: Vcpu, task: str = "", *, for_access: bool = True) -> None:
    """``intel_pmu_create_guest_lbr_event`` for ``current``, by default the vCPU's thread. The thread sleeps until
    EventCreated. ``for_access``: the access in progress uses the result."""
    if hv.design.other_threads is OtherThreads.REJECTED:
        task = ""
    move_claim(hv, vcpu, ClaimInput.ASK)
    vcpu.lbr_desc.request, vcpu.lbr_desc.for_access, vcpu.lbr_desc.enabling = hv.next_request(), for_access, 0
    hv.outgoing.append(CreateEvent(vcpu.name, vcpu.lbr_desc.request, task))
    hv.effects.add(VcpuWait(vcpu.name, "EventCreated"))


def ask_to_enable(hv: Hypervisor, vcpu: Vcpu) -> None:
    """``perf_event_enable`` of the vCPU's event, by its thread, which sleeps until EventCreated."""
    vcpu.lbr_desc.request, vcpu.lbr_desc.enabling = hv.next_request(), vcpu.lbr_desc.event
    hv.outgoing.append(EnableEvent(vcpu.name, vcpu.lbr_desc.request, vcpu.lbr_desc.event))
    hv.effects.add(VcpuWait(vcpu.name, "EventCreated"))


def release_event(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """``intel_pmu_release_guest_lbr_event``. Passthrough is corrected at the next entry."""
    if vcpu.lbr_desc.event:
        hv.effects.add(GuestEvent(vcpu.name, vcpu.lbr_desc.event, "released", why))
        hv.outgoing.append(ReleaseEvent(vcpu.lbr_desc.event))
        vcpu.lbr_desc.event = 0
        vcpu.claim.state = ""
        _forget_grant(hv, vcpu, why)
        move_claim(hv, vcpu, ClaimInput.RELEASED, why)
        _let_in(hv, vcpu)


def ask_again(hv: Hypervisor, vcpu: Vcpu) -> None:
    """A guest that was told of its loss touches the LBR again: its dead event is released, so that it gets a fresh
    one."""
    if hv.design.recovery is Recovery.ASKS_AGAIN and vcpu.claim.phase is ClaimPhase.DENIED:
        release_event(hv, vcpu, "asking again")


# Passthrough -----------------------------------------------------------------------------------------------


def set_passthrough(hv: Hypervisor, vcpu: Vcpu, on: bool, why: str) -> None:
    """``vmx_update_intercept_for_lbr_msrs``; takes effect at the next entry."""
    if vcpu.lbr_desc.passthrough != on:
        vcpu.lbr_desc.passthrough = on
        hv.effects.add(PassthroughSet(vcpu.name, on, why))
        if not on and vcpu.guest_mode:
            vcpu.kick = True


# Grants --------------------------------------------------------------------------------------------------


def hold_grant(hv: Hypervisor, vcpu: Vcpu, grant: int, until: int, why: str) -> None:
    """The host granted the LBR, or prolonged the lease."""
    if vcpu.grant.hold(grant, until):
        move_claim(hv, vcpu, ClaimInput.GRANT, why)
        hv.effects.add(Granted(vcpu.name, grant, why))
        _let_in(hv, vcpu)


def _let_in(hv: Hypervisor, vcpu: Vcpu) -> None:
    """The vCPU's thread no longer sleeps because the LBR is missing."""
    if vcpu.refused:
        vcpu.refused = False
        if not vcpu.waiting:
            wake(hv, vcpu)


def drop_grant(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The grant is over for now; the guest is not running, or will leave guest mode first."""
    _end_grant(hv, vcpu, why)
    if vcpu.claim.phase is ClaimPhase.HELD:
        move_claim(hv, vcpu, ClaimInput.OFF, why)


def _end_grant(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    _forget_grant(hv, vcpu, why)
    set_passthrough(hv, vcpu, False, why)


def _forget_grant(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    if vcpu.grant.end():
        hv.effects.add(Granted(vcpu.name, 0, why))


def deny(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The guest may no longer use the LBR: passthrough is off, and its DEBUGCTL.LBR is cleared as by a freeze at a PMI.
    Under fail-entry the guest is not entered until it may use the LBR again, and does not learn of the loss."""
    _end_grant(hv, vcpu, why)
    if vcpu.claim.phase is not ClaimPhase.NONE and vcpu.claim.phase is not ClaimPhase.ASKED:
        move_claim(hv, vcpu, ClaimInput.LOSS, why)
    if hv.design.denial is not Denial.FAIL_ENTRY:
        turn_off(vcpu)


def lose_without_event(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The guest has its LBR on, and no event stands for it on the host. Its next access is denied, so the guest learns
    that branches were not recorded."""
    if vcpu.claim.phase is ClaimPhase.NONE:
        move_claim(hv, vcpu, ClaimInput.LOSS, why)
    deny(hv, vcpu, why)


def stop(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """Stop the guest's use for the rest of the run."""
    release_event(hv, vcpu, why)
    _end_grant(hv, vcpu, why)
    move_claim(hv, vcpu, ClaimInput.STOP, why)
    turn_off(vcpu)


def turn_off(vcpu: Vcpu) -> None:
    if vcpu.debugctl & DEBUGCTL_LBR:
        vcpu.debugctl &= ~DEBUGCTL_LBR
        vcpu.kick = vcpu.kick or vcpu.guest_mode


def told(hv: Hypervisor, vcpu: Vcpu) -> None:
    """The guest has seen its denial. If its event is gone by then, its next access asks for the LBR again."""
    move_claim(hv, vcpu, ClaimInput.TOLD)
    if vcpu.claim.phase is ClaimPhase.DENIED and not vcpu.lbr_desc.event:
        move_claim(hv, vcpu, ClaimInput.RELEASED)


def let_leases_end(hv: Hypervisor, vcpu: Vcpu) -> None:
    """End each grant whose lease was not prolonged in time, even if the host has said nothing. Perhaps no other user
    took the LBR, so no message about a free LBR would come. Therefore the event is released, and after its denial the
    guest asks again."""
    if vcpu.grant.is_over(hv.own_time()):
        why = f"the lease of grant {vcpu.grant.number} is over"
        deny(hv, vcpu, why)
        if hv.design.denial is not Denial.FAIL_ENTRY:
            release_event(hv, vcpu, why)


def renew_leases(hv: Hypervisor) -> None:
    for vcpu in hv.vcpus.values():
        if number := vcpu.grant.renew(hv.own_time()):
            hv.outgoing.append(Renew(number))


def forbids_unbacked_use(hv: Hypervisor) -> bool:
    """Whether even user space cannot turn a guest's LBR on, because no use is allowed without a right to it."""
    return hv.fenced or hv.design.passthrough is Passthrough.ON_GRANT or hv.design.denial is Denial.FAIL_ENTRY


def has_event(hv: Hypervisor) -> bool:
    """Whether an event stands for guests in this design."""
    return hv.design.event is not Event.NONE
