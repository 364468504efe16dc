"""The guest's event, passthrough, grants, and losing them."""

from __future__ import annotations

from contract.design import Denial, Event, OtherThreads, Passthrough, Recovery
from contract.messages import CreateEvent, EnableEvent, ReleaseEvent, Renew
from contract.trace import ClaimChange, Granted, GuestEvent, PassthroughSet, VcpuWait
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.claim import Input, Phase
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from kvm_svc.hypervisor.waiting import wake


def move_claim(hv: Hypervisor, vcpu: Vcpu, given: Input, why: str = "") -> None:
    old = vcpu.claim.phase
    if vcpu.claim.move(given):
        hv.effects.add(ClaimChange(vcpu.name, old, vcpu.claim.phase, why or given))


# The event -----------------------------------------------------------------------------------------------


def ask_for_event(hv: Hypervisor, vcpu: Vcpu, task: str = "", *, heeded: bool = True) -> None:
    """``intel_pmu_create_guest_lbr_event`` for ``current``, the vCPU's thread if no other is named: it sleeps until
    EventCreated. ``heeded``: who asks looks at what comes of it."""
    if hv.design.other_threads is OtherThreads.REJECTED:
        task = ""
    move_claim(hv, vcpu, Input.ASK)
    vcpu.lbr_desc.asked, vcpu.lbr_desc.heeded, vcpu.lbr_desc.enabling = hv.next_request(), heeded, 0
    hv.outgoing.append(CreateEvent(vcpu.name, vcpu.lbr_desc.asked, task))
    hv.effects.add(VcpuWait(vcpu.name, "EventCreated"))


def ask_to_enable(hv: Hypervisor, vcpu: Vcpu) -> None:
    """``perf_event_enable`` of the vCPU's event, by its thread, which sleeps until EventCreated."""
    vcpu.lbr_desc.asked, vcpu.lbr_desc.enabling = hv.next_request(), vcpu.lbr_desc.event
    hv.outgoing.append(EnableEvent(vcpu.name, vcpu.lbr_desc.asked, vcpu.lbr_desc.event))
    hv.effects.add(VcpuWait(vcpu.name, "EventCreated"))


def release_event(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """``intel_pmu_release_guest_lbr_event``. Passthrough is put right at the next entry."""
    if vcpu.lbr_desc.event:
        hv.effects.add(GuestEvent(vcpu.name, vcpu.lbr_desc.event, "released", why))
        hv.outgoing.append(ReleaseEvent(vcpu.lbr_desc.event))
        vcpu.lbr_desc.event = 0
        vcpu.claim.state = ""
        _forget_grant(hv, vcpu, why)
        move_claim(hv, vcpu, Input.RELEASED, why)
        _let_in(hv, vcpu)


def ask_again(hv: Hypervisor, vcpu: Vcpu) -> None:
    """A guest that has been told of its loss touches the LBR once more: its dead event goes, so that it gets a fresh
    one."""
    if hv.design.recovery is Recovery.ASKS_AGAIN and vcpu.claim.phase is Phase.DENIED:
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
        move_claim(hv, vcpu, Input.GRANT, why)
        hv.effects.add(Granted(vcpu.name, grant, why))
        _let_in(hv, vcpu)


def _let_in(hv: Hypervisor, vcpu: Vcpu) -> None:
    """Its thread sleeps no longer for want of the LBR."""
    if vcpu.refused:
        vcpu.refused = False
        if not vcpu.waiting:
            wake(hv, vcpu)


def drop_grant(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The grant is over for now; the guest is not running, or will leave guest mode first."""
    _end_grant(hv, vcpu, why)
    if vcpu.claim.phase is Phase.HELD:
        move_claim(hv, vcpu, Input.OFF, why)


def _end_grant(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    _forget_grant(hv, vcpu, why)
    set_passthrough(hv, vcpu, False, why)


def _forget_grant(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    if vcpu.grant.end():
        hv.effects.add(Granted(vcpu.name, 0, why))


def deny(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The guest may not use the LBR any more: no passthrough, and its DEBUGCTL.LBR goes out as a PMI freeze would do
    it; unless it is not entered at all until it may, and never knows."""
    _end_grant(hv, vcpu, why)
    if vcpu.claim.phase is not Phase.NONE and vcpu.claim.phase is not Phase.ASKED:
        move_claim(hv, vcpu, Input.LOSS, why)
    if hv.design.denial is not Denial.FAIL_ENTRY:
        turn_off(vcpu)


def lose_without_event(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The guest has its LBR on, and nothing that stands for it on the host: its next access is denied, so that it
    learns of the branches that nobody recorded."""
    if vcpu.claim.phase is Phase.NONE:
        move_claim(hv, vcpu, Input.LOSS, why)
    deny(hv, vcpu, why)


def stop(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """For good."""
    release_event(hv, vcpu, why)
    _end_grant(hv, vcpu, why)
    move_claim(hv, vcpu, Input.STOP, why)
    turn_off(vcpu)


def turn_off(vcpu: Vcpu) -> None:
    if vcpu.debugctl & DEBUGCTL_LBR:
        vcpu.debugctl &= ~DEBUGCTL_LBR
        vcpu.kick = vcpu.kick or vcpu.guest_mode


def told(hv: Hypervisor, vcpu: Vcpu) -> None:
    """The guest has met its denial. If the event is gone meanwhile, its next access asks for the LBR anew."""
    move_claim(hv, vcpu, Input.TOLD)
    if vcpu.claim.phase is Phase.DENIED and not vcpu.lbr_desc.event:
        move_claim(hv, vcpu, Input.RELEASED)


def let_leases_end(hv: Hypervisor, vcpu: Vcpu) -> None:
    """A grant whose lease was not prolonged in time is over, whatever the host has said or not. Nobody need have taken
    the LBR, so that no news of a free one would come: the event goes, and once it has been told the guest asks anew."""
    if vcpu.grant.is_over(hv.clock.now):
        why = f"the lease of grant {vcpu.grant.number} is over"
        deny(hv, vcpu, why)
        if hv.design.denial is not Denial.FAIL_ENTRY:
            release_event(hv, vcpu, why)


def renew_leases(hv: Hypervisor) -> None:
    for vcpu in hv.vcpus.values():
        if number := vcpu.grant.renew(hv.clock.now):
            hv.outgoing.append(Renew(number))


def forbids_unbacked_use(hv: Hypervisor) -> bool:
    """Where no use may pass without a right to it, even user space cannot turn a guest's LBR on."""
    return hv.fenced or hv.design.passthrough is Passthrough.ON_GRANT or hv.design.denial is Denial.FAIL_ENTRY


def has_event(hv: Hypervisor) -> bool:
    """Whether an event stands for guests in this design."""
    return hv.design.event is not Event.NONE
