"""The host has forgotten this KVM, because it was restarted or has ended the session; or a single thread of it is gone.

The guests' events are gone with the host, and with them the contents of the LBR. A guest that used the LBR must learn
this (R15): its next access is denied, as after any other loss. Where KVM saves the LBR itself, the guest finds it as it
was if KVM had saved all of it; otherwise the guest finds it reset, which shows it that branches are lost.
"""

from __future__ import annotations

from contract.design import Save
from contract.messages import EventCreated
from contract.trace import CounterEvent, GuestEvent, VcpuPut
from kvm_svc.hypervisor.grant import KnownGrant
from kvm_svc.hypervisor.lbr import deny, set_passthrough, turn_off
from kvm_svc.hypervisor.notifications import event_created
from kvm_svc.hypervisor.state import Hypervisor, KvmSavedLbr, Vcpu

LOST = "ECONNRESET"
"""The errno of a request that the old host never answered."""


def forget_host(hv: Hypervisor, why: str) -> None:
    """No event and no grant of the old session is valid any more, and no thread sleeps for its answers."""
    hv.early_revokes.grants.clear()
    for vcpu in hv.vcpus.values():
        forget_vcpu(hv, vcpu, why)
    hv.outgoing.clear()


def forget_vcpu(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The host has nothing of this vCPU any more."""
    _forget_counters(hv, vcpu, why)
    _fail_requests(hv, vcpu)
    _forget_event(hv, vcpu, why)
    _keep_what_was_saved(hv, vcpu, why)
    if vcpu.cpu >= 0:
        hv.effects.add(VcpuPut(vcpu.name, vcpu.cpu))
        vcpu.cpu = -1
    vcpu.guest_mode = vcpu.kick = False


def _fail_requests(hv: Hypervisor, vcpu: Vcpu) -> None:
    for counter in [counter for counter in vcpu.pmu.counters.values() if counter.request]:
        event_created(hv, EventCreated(vcpu.name, counter.request, 0, LOST))
    if vcpu.lbr_desc.request:
        event_created(hv, EventCreated(vcpu.name, vcpu.lbr_desc.request, 0, LOST))


def _forget_counters(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    for number, counter in vcpu.pmu.counters.items():
        if counter.event:
            hv.effects.add(CounterEvent(vcpu.name, number, counter.event, "released", why))
            counter.event, counter.base, counter.running, counter.reprogram = 0, 0, False, True
            vcpu.pmu.requested = True


def _forget_event(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    if vcpu.lbr_desc.event:
        hv.effects.add(GuestEvent(vcpu.name, vcpu.lbr_desc.event, "released", why))
        vcpu.lbr_desc.event, vcpu.claim.state = 0, ""
        deny(hv, vcpu, why)
    vcpu.grant = KnownGrant()


def _keep_what_was_saved(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The LBR that KVM saves by itself. What it has recorded since the last save is lost, and then all of it goes."""
    if not vcpu.saved.active:
        return
    at_exits = hv.design.save is Save.VMX_TRANSITION
    if not vcpu.guest_mode if at_exits else vcpu.cpu < 0 or vcpu.saved.restore:
        return
    vcpu.saved = KvmSavedLbr(arrived=vcpu.saved.arrived)
    set_passthrough(hv, vcpu, False, why)
    turn_off(vcpu)
