"""The guest's claim to the LBR: the host event that stands for it, passthrough, grants, and losing it."""

from __future__ import annotations

from contract.messages import CreateEvent, ReleaseEvent
from contract.trace import Granted, GuestEvent, PassthroughSet, VcpuWait
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def ask_for_event(hv: Hypervisor, vcpu: Vcpu, task: str = "") -> None:
    """``intel_pmu_create_guest_lbr_event`` for ``current``, the vCPU's thread if no other is named: it sleeps until
    EventCreated."""
    hv.requests += 1
    vcpu.lbr_desc.asked = hv.requests
    hv.outgoing.append(CreateEvent(vcpu.name, vcpu.lbr_desc.asked, task))
    hv.log.add(VcpuWait(vcpu.name, "EventCreated"))


def release_event(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """``intel_pmu_release_guest_lbr_event``. Passthrough is put right at the next entry."""
    if vcpu.lbr_desc.event:
        hv.log.add(GuestEvent(vcpu.name, vcpu.lbr_desc.event, "released", why))
        hv.outgoing.append(ReleaseEvent(vcpu.lbr_desc.event))
        vcpu.lbr_desc.event = 0
        vcpu.claim.state = ""
        vcpu.claim.grant = 0


def set_passthrough(hv: Hypervisor, vcpu: Vcpu, on: bool, why: str) -> None:
    """``vmx_update_intercept_for_lbr_msrs``; takes effect at the next entry."""
    if vcpu.lbr_desc.passthrough != on:
        vcpu.lbr_desc.passthrough = on
        hv.log.add(PassthroughSet(vcpu.name, on, why))
        if not on and vcpu.guest_mode:
            vcpu.kick = True


def hold_grant(hv: Hypervisor, vcpu: Vcpu, grant: int, why: str) -> None:
    """The host granted the LBR. News older than the newest known grant is ignored (R6)."""
    if grant > vcpu.claim.newest:
        vcpu.claim.newest = vcpu.claim.grant = grant
        vcpu.claim.denied = False
        hv.log.add(Granted(vcpu.name, grant, why))


def drop_grant(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The grant is over for now; the guest is not running, or will leave guest mode first."""
    if vcpu.claim.grant:
        vcpu.claim.grant = 0
        hv.log.add(Granted(vcpu.name, 0, why))
    set_passthrough(hv, vcpu, False, why)


def deny(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The guest may not use the LBR any more: no passthrough, and its DEBUGCTL.LBR goes out as a PMI freeze would do
    it."""
    drop_grant(hv, vcpu, why)
    vcpu.claim.untold = vcpu.claim.untold or not vcpu.claim.denied
    vcpu.claim.denied = True
    if vcpu.debugctl & DEBUGCTL_LBR:
        vcpu.debugctl &= ~DEBUGCTL_LBR
        vcpu.kick = vcpu.kick or vcpu.guest_mode
