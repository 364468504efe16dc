"""Both real cores over a link that is cut and mended: they come back, agree, and nothing hangs (R21, R22)."""

from __future__ import annotations

from contract.control import ConfigurePerf, EndSession, FireKvmTimer, KvmLoseLink, KvmMendLink, LoseLink, MachineSpec
from contract.design import Design
from contract.machine import Branch
from contract.messages import Resume, Welcome
from contract.network import Fate
from contract.session import RESEND, SessionPhase
from contract.trace import Discard
from tests.cases import cases
from tests.designs import FENCED, MERGED, REVOKE_GP
from tests.kvm_svc.rig import FROM0, KVM, VCPU, Rig

every = cases("design", [MERGED, REVOKE_GP, FENCED], ids=lambda design: design.name)


def used(design: Design) -> Rig:
    """The guest uses its LBR."""
    rig = Rig(design)
    assert rig.debugctl(1)
    rig.guest(Branch(3))
    return rig


def cut(rig: Rig) -> None:
    """Both ends lose the link, and what is on it is lost."""
    rig.wire.network.queues.clear()
    rig.wire.perf(LoseLink(KVM))
    rig.kvm(KvmLoseLink())


def mend(rig: Rig) -> None:
    rig.wire.kvm(KVM, KvmMendLink())


def phases(rig: Rig) -> tuple[SessionPhase, SessionPhase]:
    return rig.wire.host.endpoint.sessions[KVM].phase, rig.core.endpoint.session.phase


@every
def test_after_a_cut_both_ends_are_open_and_the_guest_goes_on(design: Design) -> None:
    rig = used(design)
    cut(rig)
    mend(rig)
    rig.settle()
    assert phases(rig) == (SessionPhase.OPEN, SessionPhase.OPEN)
    rig.guest(Branch(2))
    assert not rig.rdmsr(FROM0).fault
    assert rig.core.endpoint.session.epoch == 1


def test_a_revoke_that_the_cut_swallowed_comes_after_it() -> None:
    rig = used(FENCED)
    rig.wire.perf(LoseLink(KVM))
    rig.kvm(KvmLoseLink())
    rig.host_event()
    mend(rig)
    rig.settle()
    assert (rig.vcpu().grant.number, rig.vcpu().claim.shut_off) == (0, True)


@cases("lost", [Resume, Welcome], ids=lambda kind: kind.__name__)
def test_a_lost_greeting_or_answer_is_repeated_where_the_stream_is(lost: type) -> None:
    rig = used(FENCED)
    cut(rig)
    mend(rig)
    if lost is Welcome:
        (resume,) = rig.wire.network.waiting(KVM, True)
        rig.wire.decide(resume.receiver, Fate.TAKE, KVM, resume.seq)
    head = rig.wire.network.waiting(KVM, lost is Resume)[0]
    assert isinstance(head.body, lost)
    rig.wire.decide(head.receiver, Fate.DROP, KVM, head.seq)
    rig.wire.network.queues.clear()
    rig.wire.kvm(KVM, FireKvmTimer(RESEND))
    rig.settle()
    assert phases(rig) == (SessionPhase.OPEN, SessionPhase.OPEN)


@every
def test_where_it_is_not_repeated_the_link_can_be_mended_again(design: Design) -> None:
    rig = used(design)
    cut(rig)
    for _ in range(2):
        mend(rig)
        rig.wire.network.queues.clear()
    mend(rig)
    rig.settle()
    assert phases(rig) == (SessionPhase.OPEN, SessionPhase.OPEN)


def restart_host(rig: Rig, design: Design) -> None:
    """The host is power-cycled: silicon, events and sessions are gone."""
    rig.wire.network.queues.clear()
    rig.wire.perf(ConfigurePerf(MachineSpec(depth=8), design, ["t0"], [VCPU]))


@cases("times", [1, 2])
@every
def test_a_restarted_host_is_greeted_with_a_new_epoch(design: Design, times: int) -> None:
    rig = used(design)
    for _ in range(times):
        restart_host(rig, design)
        rig.kvm(KvmLoseLink())
        mend(rig)
        rig.settle()
    assert phases(rig) == (SessionPhase.OPEN, SessionPhase.OPEN)
    assert rig.core.endpoint.session.epoch == 1 + times
    rig.place(VCPU)
    rig.settle()
    assert rig.vcpu().cpu == 0
    if design is not MERGED:
        assert rig.rdmsr(FROM0).fault, "the guest learns of its loss"
    assert not rig.rdmsr(FROM0).fault


@every
def test_a_host_that_has_ended_the_session_makes_kvm_begin_a_new_epoch(design: Design) -> None:
    rig = used(design)
    rig.wire.perf(EndSession(KVM))
    rig.wire.network.queues.clear()
    rig.kvm(KvmLoseLink())
    mend(rig)
    rig.settle()
    assert phases(rig) == (SessionPhase.OPEN, SessionPhase.OPEN)
    assert rig.core.endpoint.session.epoch == 2
    assert not [r for r in rig.records(Discard) if r.rule == "R5"]
