"""The way into the guest: what is put right before each VM-entry, and the entry check (``vmx_vcpu_run``)."""

from __future__ import annotations

from collections.abc import Generator

from contract.design import EntryCheck, HostDebugctl, Passthrough, Release
from contract.machine import AnyOp, AnyReply, AnyRequest, Check, Controls, Enter, LoadLbr, NotRunning
from contract.messages import LbrImage
from contract.trace import Warn
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.lbr import release_event, set_passthrough
from kvm_svc.hypervisor.migration import put_arrived
from kvm_svc.hypervisor.msr import ThreadMovedError
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def prepare_entry(hv: Hypervisor, vcpu: Vcpu, ops: list[AnyOp]) -> Generator[AnyRequest, AnyReply, Enter]:
    if vcpu.saved.restore:
        reply = yield LoadLbr(vcpu.name, vcpu.cpu, vcpu.saved.snapshot or LbrImage(), hv.design.save_select)
        if isinstance(reply, NotRunning):
            raise ThreadMovedError(reply.why)
        vcpu.saved.restore = False
    yield from put_arrived(hv, vcpu)
    _cleanup(hv, vcpu)
    wanted = _wanted_passthrough(hv, vcpu)
    check = _entry_check(hv, vcpu, wanted)
    if check is None:
        set_passthrough(hv, vcpu, wanted, "entry")
    host_debugctl = None if hv.design.host_debugctl is HostDebugctl.AT_ENTRY else vcpu.host_debugctl
    # Under a design of grants even user space cannot turn a guest's LBR on without one.
    granted = wanted or hv.design.passthrough is not Passthrough.ON_GRANT
    debugctl = vcpu.debugctl if granted else vcpu.debugctl & ~DEBUGCTL_LBR
    controls = Controls(debugctl, wanted, host_debugctl, check=check)
    return Enter(vcpu.name, vcpu.cpu, controls, ops)


def _cleanup(hv: Hypervisor, vcpu: Vcpu) -> None:
    """``intel_pmu_cleanup`` at the first entry after a sched-in. It promises to spare an event that was used in the
    last slice, but looks only at DEBUGCTL.LBR."""
    if vcpu.lbr_desc.cleanup:
        vcpu.lbr_desc.cleanup = False
        if hv.design.release is Release.SCHED_IN_LBR_OFF and not vcpu.debugctl & DEBUGCTL_LBR:
            release_event(hv, vcpu, "LBR off at the first entry of a slice")
        vcpu.lbr_desc.in_use = False


def _wanted_passthrough(hv: Hypervisor, vcpu: Vcpu) -> bool:
    if not vcpu.vm.lbr_enabled:
        return False
    match hv.design.passthrough:
        case Passthrough.ON_ACCESS:
            return vcpu.lbr_desc.passthrough
        case Passthrough.ON_GRANT:
            return vcpu.claim.grant != 0
        case Passthrough.AT_ENTRY:
            if not vcpu.lbr_desc.event and (vcpu.debugctl & DEBUGCTL_LBR or vcpu.lbr_desc.in_use):
                _warn(hv, vcpu)
            return vcpu.lbr_desc.event != 0


def _entry_check(hv: Hypervisor, vcpu: Vcpu, wanted: bool) -> Check | None:
    if not vcpu.lbr_desc.event:
        return None
    match hv.design.entry_check:
        case EntryCheck.NONE:
            return None
        case EntryCheck.EVENT_STATE:
            return Check(vcpu.lbr_desc.event, when_active=wanted, otherwise=False)
        case EntryCheck.INVERTED:
            return Check(vcpu.lbr_desc.event, when_active=False, otherwise=wanted)


def note_check(hv: Hypervisor, vcpu: Vcpu, check: Check | None, active: bool | None) -> None:
    """Take over what the check decided on the CPU."""
    if check is None or active is None:
        return
    set_passthrough(hv, vcpu, check.when_active if active else check.otherwise, "entry check")
    if not active and hv.design.entry_check is EntryCheck.EVENT_STATE:
        vcpu.lbr_desc.in_use = False
        _warn(hv, vcpu)


def _warn(hv: Hypervisor, vcpu: Vcpu) -> None:
    hv.log.add(Warn(vcpu.name, "fail to passthrough LBR"))
