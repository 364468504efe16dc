"""News that comes too late: grants are numbered, and news older than the newest grant known is ignored (R6)."""

from __future__ import annotations

from contract.messages import EventCreated, EventState, Revoke
from contract.trace import ClaimChange, Granted
from kvm_svc.hypervisor.claim import ClaimPhase
from tests.cases import cases
from tests.designs import REVOKE_GP
from tests.kvm_svc.rig import VCPU
from tests.kvm_svc.test_notifications import EVENT, granted, waiting
from tests.kvm_svc.told import asked


@cases("stale", [EventState(EVENT, "ACTIVE", 0, 2), Revoke(EVENT, 2, ""), Revoke(EVENT, 1, "")])
def test_r6_older_grants_are_ignored(stale: EventState | Revoke) -> None:
    script = granted(3)
    before = len(script.records(Granted)), len(script.records(ClaimChange))

    script.tell(stale)

    vcpu = script.vcpu()
    assert (vcpu.grant.number, vcpu.grant.newest, vcpu.claim.phase, vcpu.debugctl) == (3, 3, ClaimPhase.HELD, 1)
    assert (len(script.records(Granted)), len(script.records(ClaimChange))) == before


def test_r6_grant_after_its_revoke_is_ignored() -> None:
    """Revoke overtook the grant that it ends."""
    script = granted(3)
    script.tell(Revoke(EVENT, 4, ""))
    script.tell(EventState(EVENT, "ACTIVE", 0, 4))
    assert (script.vcpu().grant.number, script.vcpu().claim.phase) == (0, ClaimPhase.LOST)
    assert script.vcpu().claim.state == "ERROR", "late news of a grant that is over says nothing of the event now"

    script.tell(EventState(EVENT, "ACTIVE", 0, 5))
    assert (script.vcpu().grant.number, script.vcpu().claim.phase) == (5, ClaimPhase.HELD)


def test_r6_revoke_before_the_event_is_known() -> None:
    """Revoke overtook EventCreated: the grant is over before KVM has heard of it."""
    script = waiting()
    script.tell(Revoke(EVENT, 3, ""))
    script.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3))

    assert (script.vcpu().grant.number, script.vcpu().claim.phase) == (0, ClaimPhase.LOST)


def test_inactive_carries_no_number() -> None:
    """INACTIVE of the spell before, overtaken by ACTIVE of this one, cannot be told from news: KVM errs on the safe
    side."""
    script = granted(3)
    script.tell(EventState(EVENT, "ACTIVE", 0, 4))
    script.tell(EventState(EVENT, "INACTIVE", -1))

    assert (script.vcpu().grant.number, script.vcpu().grant.newest, script.vcpu().lbr_desc.passthrough) == (0, 4, False)


def test_a_revoke_is_kept_only_while_its_event_can_still_come() -> None:
    """Of an event that is not this vCPU's: kept while a request is out, gone with the answer, and not kept later."""
    told = asked(REVOKE_GP)
    told.tell(Revoke(EVENT + 1, 2, ""))
    assert told.core.hv.early_revokes.grants == {EVENT + 1: 2}
    told.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3))
    assert told.core.hv.early_revokes.grants == {}
    told.tell(Revoke(EVENT + 2, 4, ""))
    assert told.core.hv.early_revokes.grants == {}
