"""The host has forgotten this KVM: it was restarted, or has ended the session.

The guests' events are gone with the host, and with them the contents of the LBR. A guest that used the LBR must learn
this (R15): its next access is denied, as after any other loss.
"""

from __future__ import annotations

from contract.messages import EventCreated
from contract.trace import GuestEvent, VcpuPut
from kvm_svc.hypervisor.grant import KnownGrant
from kvm_svc.hypervisor.lbr import deny
from kvm_svc.hypervisor.notifications import event_created
from kvm_svc.hypervisor.state import Hypervisor, Vcpu

LOST = "ECONNRESET"
"""The errno of a request that the old host never answered."""


def forget_host(hv: Hypervisor, why: str) -> None:
    """No event and no grant of the old session is valid any more, and no thread sleeps for its answers."""
    hv.early_revokes.grants.clear()
    for vcpu in hv.vcpus.values():
        _fail_requests(hv, vcpu)
        _forget_events(hv, vcpu, why)
        if vcpu.cpu >= 0:
            hv.effects.add(VcpuPut(vcpu.name, vcpu.cpu))
            vcpu.cpu = -1
        vcpu.guest_mode = vcpu.kick = False
    hv.outgoing.clear()


def _fail_requests(hv: Hypervisor, vcpu: Vcpu) -> None:
    for counter in [counter for counter in vcpu.pmu.counters.values() if counter.asked]:
        event_created(hv, EventCreated(vcpu.name, counter.asked, 0, LOST))
    if vcpu.lbr_desc.asked:
        event_created(hv, EventCreated(vcpu.name, vcpu.lbr_desc.asked, 0, LOST))


def _forget_events(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    for counter in vcpu.pmu.counters.values():
        if counter.event:
            counter.event, counter.since, counter.running, counter.reprogram = 0, 0, False, True
            vcpu.pmu.requested = True
    if vcpu.lbr_desc.event:
        hv.effects.add(GuestEvent(vcpu.name, vcpu.lbr_desc.event, "released", why))
        vcpu.lbr_desc.event, vcpu.claim.state = 0, ""
        deny(hv, vcpu, why)
    vcpu.grant = KnownGrant()
