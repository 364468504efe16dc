"""Both real cores where one end acknowledges nothing: the sender's memory is bounded, and both come back (R26)."""

from __future__ import annotations

from functools import cache

from client.designs import DESIGNS
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule, Tape
from contract.control import FireHostTimer, KvmDrain, KvmLoseLink, KvmMendLink, LoseLink, RunTask
from contract.machine import Branch
from contract.messages import OVERRUN, Hello, ReleaseEvent, SchedIn, Welcome
from contract.network import Fate
from contract.session import RESEND, SessionPhase, is_overrun
from contract.trace import Discard, Rest, Send, SessionChange, TaskExit, WindowChange
from tests.cases import cases
from tests.designs import FENCED
from tests.kvm_svc.rig import FROM0, KVM, VCPU, Rig
from tests.overrun import FAULTS, LIMIT, STORY, ShortWire

OPEN = SessionPhase.OPEN


@cache
def played(fault: str) -> Run:
    return run(Inputs(STORY, DESIGNS["fenced"], Schedule((parse_fault(fault),)), ShortWire())).finished()


@cases("fault", FAULTS.values(), ids=list(FAULTS))
def test_an_epoch_that_was_given_up_is_followed_by_one_in_which_all_goes_on(fault: str) -> None:
    done = played(fault)

    assert done.verdict.verdict == "held"
    assert done.verdict.unfinished == {}
    changes = [r for r in done.of(SessionChange) if is_overrun(r)]
    assert [(r.to_host, r.old) for r in changes] == [(False, "open")]
    assert len([r for r in done.of(Discard) if r.rule == "R26"]) > LIMIT
    assert done.of(TaskExit) == []
    hellos = [r.body.continues for r in done.of(Send) if isinstance(r.body, Hello) and r.epoch == 2]
    assert hellos
    assert all(hellos)
    rest = done.records[-1]
    assert isinstance(rest, Rest)
    assert [event.state for event in rest.host.guest_events] == ["ACTIVE"]


@cases("fault", FAULTS.values(), ids=list(FAULTS))
def test_it_replays(fault: str) -> None:
    done = played(fault)
    again = run(Inputs(STORY, DESIGNS["fenced"], Schedule(tape=Tape(done.tape)), ShortWire()))
    assert again.records == done.records


def silent(limit: int = LIMIT) -> Rig:
    """KVM acknowledges nothing until the host has given its epoch up."""
    rig = Rig(FENCED)
    assert rig.debugctl(1)
    session = rig.wire.host.endpoint.sessions[KVM]
    session.outgoing.most = limit
    while not session.gave_up:
        for task in ("t0", VCPU):
            rig.wire.perf(RunTask(task, 0))
            rig.wire.network.cut(KVM, False)
            assert len(session.outgoing.waiting) <= limit
    return rig


def ends(rig: Rig) -> tuple[SessionPhase, SessionPhase]:
    return rig.wire.host.endpoint.sessions[KVM].phase, rig.core.endpoint.session.phase


def told(rig: Rig) -> int:
    return sum(isinstance(r.body, Welcome) and r.body.reason == OVERRUN for r in rig.records(Send))


def test_the_guest_keeps_what_it_has_until_kvm_is_told() -> None:
    rig = silent()
    assert [event.state.name for event in rig.wire.host.perf.events.values()] == ["ACTIVE"]
    rig.wire.perf(FireHostTimer(KVM, RESEND))
    assert told(rig) == 2
    rig.settle()
    assert ends(rig) == (OPEN, OPEN)
    assert list(rig.wire.host.perf.events) == []
    assert rig.rdmsr(FROM0).fault, "R15: a guest that lost the LBR is told"
    assert rig.debugctl(1)
    rig.guest(Branch(2))
    assert not rig.rdmsr(FROM0).fault
    assert [r.paused for r in rig.records(WindowChange) if not r.to_host] == [True, False]


def test_a_link_that_is_lost_meanwhile_tells_kvm_too() -> None:
    rig = silent()
    rig.wire.perf(LoseLink(KVM))
    rig.kvm(KvmLoseLink())
    assert rig.wire.host.endpoint.sessions[KVM].outgoing.due == -1
    rig.kvm(KvmMendLink())
    rig.settle()
    assert ends(rig) == (OPEN, OPEN)
    assert told(rig) == 1


def test_a_late_word_of_an_old_end_changes_nothing() -> None:
    rig = silent()
    rig.wire.perf(FireHostTimer(KVM, RESEND))
    rig.wire.perf(FireHostTimer(KVM, RESEND))
    rig.settle()
    assert rig.core.endpoint.session.epoch == 2
    assert ends(rig) == (OPEN, OPEN)


def test_a_word_of_the_end_that_comes_over_a_lost_link_begins_nothing() -> None:
    rig = silent()
    rig.wire.perf(FireHostTimer(KVM, RESEND))
    rig.kvm(KvmLoseLink())
    (denial,) = rig.wire.network.waiting(KVM, False)
    rig.wire.decide(KVM, Fate.TAKE, KVM, denial.seq)
    assert (rig.core.endpoint.session.epoch, ends(rig)[1]) == (1, SessionPhase.LOST)


def test_a_kvm_that_drains_begins_no_new_epoch() -> None:
    rig = silent()
    rig.kvm(KvmDrain("stops"))
    rig.wire.perf(FireHostTimer(KVM, RESEND))
    rig.settle()
    assert ends(rig) == (SessionPhase.ENDED, SessionPhase.ENDED)


def deaf_host(rig: Rig, limit: int = LIMIT) -> None:
    """The host acknowledges nothing until KVM has given the epoch up."""
    session = rig.core.endpoint.session
    session.outgoing.most = limit
    while not session.gave_up:
        rig.core.hv.outgoing.append(ReleaseEvent(0))
        rig.wire._done(rig.core.step(0, lambda: None))
        rig.wire.network.cut(KVM, True) if not session.gave_up else None
        assert len(session.outgoing.waiting) <= limit


def test_a_kvm_whose_host_acknowledges_nothing_begins_a_new_epoch() -> None:
    rig = Rig(FENCED)
    assert rig.debugctl(1)
    deaf_host(rig)
    assert rig.core.endpoint.session.outgoing.most == LIMIT
    assert [r.to_host for r in rig.records(SessionChange) if is_overrun(r)] == [True]
    rig.settle()
    assert ends(rig) == (OPEN, OPEN)
    assert rig.core.endpoint.session.epoch == rig.wire.host.endpoint.sessions[KVM].epoch == 2
    assert rig.records(TaskExit) == []
    assert [r.body.cpu for r in rig.records(Send) if isinstance(r.body, SchedIn)] == [0, 0]
    assert not rig.debugctl(1), "R15: a guest that lost the LBR is told"
    assert rig.debugctl(1)
    rig.guest(Branch(2))
    assert not rig.rdmsr(FROM0).fault


def test_a_kvm_that_drains_gives_up_for_good() -> None:
    rig = Rig(FENCED)
    rig.kvm(KvmDrain("stops"))
    deaf_host(rig)
    assert ends(rig)[1] is SessionPhase.ENDED
    assert rig.core.endpoint.session.epoch == 1


def test_a_copy_of_the_cores_has_their_limit() -> None:
    wire = ShortWire()
    run(Inputs(STORY, DESIGNS["fenced"], Schedule(), wire))
    twin = wire.clone()
    assert twin.host.endpoint.unsent == twin.kvms[KVM].endpoint.session.outgoing.most == LIMIT
    assert twin.host.endpoint.sessions[KVM].outgoing.most == LIMIT
