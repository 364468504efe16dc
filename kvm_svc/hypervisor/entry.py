"""The way into the guest: the preparation of each VM-entry, and the entry check (``vmx_vcpu_run``)."""

from __future__ import annotations

from collections.abc import Generator

from contract.design import Activation, Denial, EntryCheck, HostDebugctl, Passthrough, Release, Save
from contract.machine import AnyOp, AnyReply, AnyRequest, Check, Controls, Enter, LoadLbr, NotRunning
from contract.messages import LbrImage
from contract.trace import Warn
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.claim import ClaimPhase
from kvm_svc.hypervisor.lbr import (
    ask_for_event,
    deny,
    forbids_unbacked_use,
    has_event,
    lose_without_event,
    release_event,
    set_passthrough,
)
from kvm_svc.hypervisor.migration import put_arrived
from kvm_svc.hypervisor.msr import ThreadMovedError, activate, refuse, starves
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def prepare_entry(hv: Hypervisor, vcpu: Vcpu, ops: list[AnyOp]) -> Generator[AnyRequest, AnyReply, Enter | None]:
    """The request to make, or None if the thread now sleeps."""
    if _is_starved(hv, vcpu) or (yield from _waits_for_event(hv, vcpu)):
        return None
    if vcpu.saved.restore:
        reply = yield LoadLbr(vcpu.name, vcpu.cpu, vcpu.saved.snapshot or LbrImage(), hv.saves_select)
        if isinstance(reply, NotRunning):
            raise ThreadMovedError(reply.reason)
        vcpu.saved.restore = False
    yield from put_arrived(hv, vcpu)
    _cleanup(hv, vcpu)
    wanted = _wanted_passthrough(hv, vcpu)
    if _loses_unseen(hv, vcpu, wanted):
        lose_without_event(hv, vcpu, "entered without the LBR")
    check = _entry_check(hv, vcpu, wanted)
    if check is None:
        set_passthrough(hv, vcpu, wanted, "entry")
    return Enter(vcpu.name, vcpu.cpu, _controls(hv, vcpu, wanted, check), ops)


def _controls(hv: Hypervisor, vcpu: Vcpu, wanted: bool, check: Check | None) -> Controls:
    # An entry whose lists do not switch the LBR leaves the host's LBR in the registers.
    keeps_out = forbids_unbacked_use(hv) or hv.design.save is Save.VMX_TRANSITION
    granted = wanted or not keeps_out
    controls = Controls(vcpu.debugctl if granted else vcpu.debugctl & ~DEBUGCTL_LBR, wanted, check=check)
    if hv.remembers_at_load:
        controls.host_debugctl = vcpu.host_debugctl
    controls.nmi_first = hv.rules.nmi_before_debugctl
    controls.keep_debugctl = hv.design.host_debugctl is HostDebugctl.NOT_SWITCHED
    if hv.design.save is Save.VMX_TRANSITION and vcpu.saved.active and wanted:
        controls.lbr = vcpu.saved.snapshot or LbrImage()
    return controls


def _loses_unseen(hv: Hypervisor, vcpu: Vcpu, wanted: bool) -> bool:
    """Whether this entry takes the guest's LBR away without a denial, so that its branches would be lost silently."""
    turned_on = vcpu.vm.lbr_enabled and vcpu.debugctl & DEBUGCTL_LBR != 0
    return turned_on and not wanted and not vcpu.claim.shut_off and forbids_unbacked_use(hv)


def _is_starved(hv: Hypervisor, vcpu: Vcpu) -> bool:
    """A guest that is known to have lost the LBR is not entered at all."""
    if starves(hv, vcpu) and vcpu.claim.phase is ClaimPhase.LOST:
        refuse(hv, vcpu)
        return True
    return False


def _waits_for_event(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, bool]:
    """Ask for the event of a guest that uses the LBR from its first entry on, or whose LBR user space has turned on.
    The result of the request is ignored."""
    eager = hv.design.activation is Activation.EAGER
    turned_on = vcpu.debugctl & DEBUGCTL_LBR != 0
    if not vcpu.vm.lbr_enabled or vcpu.claim.shut_off:
        return False
    if not has_event(hv):
        if eager or turned_on:
            yield from activate(hv, vcpu)
        return False
    first = eager and not vcpu.lbr_desc.asked_early
    if vcpu.lbr_desc.event or not (first or (turned_on and hv.design.activation is Activation.LBR_ON)):
        return False
    vcpu.lbr_desc.asked_early = True
    ask_for_event(hv, vcpu, for_access=False)
    return True


def _cleanup(hv: Hypervisor, vcpu: Vcpu) -> None:
    """``intel_pmu_cleanup`` at the first entry after a sched-in. As merged it is meant to keep an event that was used
    in the last slice, but it checks only DEBUGCTL.LBR. A guest whose PMU is gone has no such check
    (``kvm_arch_sched_in`` asks for it only if ``pmu->version`` is not 0)."""
    desc = vcpu.lbr_desc
    if not desc.cleanup:
        return
    desc.cleanup = False
    if not vcpu.debugctl & DEBUGCTL_LBR and vcpu.vm.spec.pmu:
        if hv.design.release is Release.SCHED_IN_LBR_OFF:
            release_event(hv, vcpu, "LBR off at the first entry of a slice")
        elif hv.design.release is Release.UNUSED_SLICE and not desc.in_use:
            release_event(hv, vcpu, "LBR off, and not seen in use in the slice before")
    desc.in_use = False


def _wanted_passthrough(hv: Hypervisor, vcpu: Vcpu) -> bool:
    if not vcpu.vm.lbr_enabled and hv.design.passthrough is Passthrough.AT_ENTRY and not forbids_unbacked_use(hv):
        return vcpu.lbr_desc.passthrough  # vmx_passthrough_lbr_msrs is not called
    if not vcpu.vm.lbr_enabled or vcpu.claim.shut_off or (hv.fenced and not vcpu.grant.number):
        return False
    match hv.design.passthrough:
        case Passthrough.ON_ACCESS:
            return vcpu.lbr_desc.passthrough
        case Passthrough.ON_GRANT:
            return vcpu.grant.number != 0
        case Passthrough.ALWAYS:
            return True
        case Passthrough.AT_ENTRY:
            if not vcpu.lbr_desc.event and (vcpu.debugctl & DEBUGCTL_LBR or vcpu.lbr_desc.in_use):
                _warn(hv, vcpu)
            return vcpu.lbr_desc.event != 0


def _entry_check(hv: Hypervisor, vcpu: Vcpu, wanted: bool) -> Check | None:
    if not vcpu.lbr_desc.event or not vcpu.vm.lbr_enabled:
        return None
    refuse_entry = hv.design.denial is Denial.FAIL_ENTRY
    match hv.design.entry_check:
        case EntryCheck.NONE:
            return None
        case EntryCheck.EVENT_STATE:
            return Check(vcpu.lbr_desc.event, when_active=wanted, otherwise=False, refuse=refuse_entry)
        case EntryCheck.INVERTED:
            return Check(vcpu.lbr_desc.event, when_active=False, otherwise=wanted)
        case EntryCheck.FENCE:
            grant = vcpu.grant.number
            check = Check(vcpu.lbr_desc.event, wanted, False, refuse_entry, grant, strip=True)
            return check if grant else None


def note_check(hv: Hypervisor, vcpu: Vcpu, check: Check | None, active: bool | None) -> None:
    """Take over the result of the check on the CPU."""
    if check is None or active is None:
        return
    set_passthrough(hv, vcpu, check.when_active if active else check.otherwise, "entry check")
    if active:
        return
    if hv.design.entry_check is EntryCheck.EVENT_STATE:
        vcpu.lbr_desc.in_use = False
        _warn(hv, vcpu)
    elif hv.fenced:
        deny(hv, vcpu, "the fence: this grant is over")


def entry_refused(hv: Hypervisor, vcpu: Vcpu) -> None:
    """The check found the LBR lost. The guest sleeps until the LBR is its own again."""
    deny(hv, vcpu, "the entry check")
    refuse(hv, vcpu)


def _warn(hv: Hypervisor, vcpu: Vcpu) -> None:
    hv.effects.add(Warn(vcpu.name, "fail to passthrough LBR"))
