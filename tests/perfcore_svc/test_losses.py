"""The host loses a link, a task or a KVM: an input like others, and no end of the run (R21 to R23)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.control import Enable, EndSession, ExitTask, LoseLink
from contract.design import OtherThreads
from contract.errors import RefusedError
from contract.machine import Branch, Controls, Enter
from contract.messages import (
    PROTOCOL_VERSION,
    UNKNOWN_EPOCH,
    CreateCounter,
    CreateEvent,
    Envelope,
    EventCreated,
    Hello,
    Resume,
    Revoke,
    SchedIn,
    SchedOut,
    Welcome,
)
from contract.session import SessionPhase
from contract.trace import Discard, EventClose, HostWake, SessionChange, TaskExit, VmExit
from tests.cases import cases
from tests.designs import FENCED, REVOKE_ACK
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import Kvm, revocable
from tests.sessions import said


def changes(host: Host) -> list[tuple[str, str]]:
    return [(r.old, r.new) for r in host.log.records if isinstance(r, SessionChange)]


def resume(host: Host, n: int, last: int = 0, epoch: int = 1) -> list[Envelope]:
    host.take(Envelope("k", True, epoch, n, Resume("k", PROTOCOL_VERSION, epoch, last)))
    return host.drain()


def fenced() -> tuple[Host, Kvm]:
    host = make_host(design=FENCED, running="v")
    kvm = Kvm(host)
    kvm.create()
    return host, kvm


# A link ----------------------------------------------------------------------------------------------------


def test_a_lost_link_takes_no_event_and_no_grant() -> None:
    host, _ = fenced()
    before = host.states()
    host.do(LoseLink("k"))
    assert host.states() == before
    assert changes(host) == [("open", "lost")]


def test_what_the_host_says_meanwhile_comes_after_resume() -> None:
    host, kvm = fenced()
    host.do(LoseLink("k"))
    host.open("P", "any", pinned=True)
    assert host.drain() == []
    welcome, *again = resume(host, kvm.session.outgoing.n + 1, host.endpoint.sessions["k"].outgoing.order)
    assert isinstance(welcome.body, Welcome)
    assert (welcome.body.accepted, welcome.body.acknowledged) == (True, kvm.session.outgoing.order)
    assert [type(e.body) for e in again] == [Revoke]


def test_where_the_stream_is_not_repaired_it_is_lost_on_record() -> None:
    host, kvm, _ = revocable()
    host.do(LoseLink("k"))
    host.open("P", "any", pinned=True)
    assert [r.message for r in host.log.records if isinstance(r, Discard)] == ["Revoke"]
    (welcome,) = resume(host, kvm.session.outgoing.n + 1)
    assert isinstance(welcome.body, Welcome)


@cases("epoch", [1, 2])
def test_a_resume_of_an_epoch_that_the_host_does_not_know_is_refused(epoch: int) -> None:
    host = make_host(design=FENCED, running="v")
    (welcome,) = resume(host, 1, epoch=epoch)
    assert welcome.epoch == epoch
    assert isinstance(welcome.body, Welcome)
    assert (welcome.body.accepted, welcome.body.reason) == (False, UNKNOWN_EPOCH)


@cases(("epoch", "answered"), [(1, []), (2, [True]), (3, [UNKNOWN_EPOCH])])
def test_a_resume_is_answered_by_how_its_epoch_compares_with_the_newest(epoch: int, answered: list[object]) -> None:
    """An older epoch is over (R5), and a newer one is unknown (R21)."""
    host = make_host(design=FENCED, running="v")
    for n in (1, 2):
        host.take(Envelope("k", True, n, 1, Hello("k"), 1))
    host.drain()
    told = [e.body for e in resume(host, 9, last=1, epoch=epoch) if isinstance(e.body, Welcome)]
    assert [body.accepted or body.reason for body in told] == answered
    assert ("R5" in [r.rule for r in host.log.records if isinstance(r, Discard)]) is (epoch == 1)


def test_a_resume_of_a_session_that_has_ended_is_refused() -> None:
    host, kvm = fenced()
    host.do(EndSession("k"))
    host.drain()
    (welcome,) = resume(host, kvm.session.outgoing.n + 1)
    assert isinstance(welcome.body, Welcome)
    assert welcome.body.reason == UNKNOWN_EPOCH


def test_a_resume_of_another_protocol_is_refused_and_the_session_stays() -> None:
    host, kvm = fenced()
    host.take(Envelope("k", True, 1, kvm.session.outgoing.n + 1, Resume("k", 9, 1, 0)))
    (welcome, *_) = host.drain()
    assert isinstance(welcome.body, Welcome)
    assert welcome.body.reason == f"protocol 9, this host speaks {PROTOCOL_VERSION}"
    assert host.endpoint.sessions["k"].phase is SessionPhase.OPEN


def test_a_refused_input_leaves_the_clock() -> None:
    host = make_host()
    host.log.now = 5
    with pytest.raises(RefusedError):
        host.do(LoseLink("k"))
    assert host.core.clock.now == 0


def test_there_is_no_link_of_a_session_that_is_not() -> None:
    with pytest.raises(RefusedError, match="no session 'k'"):
        make_host(design=FENCED).do(LoseLink("k"))


# A task ----------------------------------------------------------------------------------------------------


def test_a_thread_that_exits_leaves_guest_mode_and_takes_its_event_along() -> None:
    host, kvm = fenced()
    host.request(Enter("v", 0, Controls(1, True), [Branch(3)]))
    host.news()
    host.do(ExitTask("v"))
    kinds = [type(r) for r in host.news() if isinstance(r, VmExit | TaskExit | EventClose)]
    assert kinds == [VmExit, TaskExit, EventClose]
    assert [type(body) for body in kvm.told()] == [SchedOut]
    assert host.states() == {}


def test_a_thread_that_has_exited_is_registered_no_more() -> None:
    host, kvm = fenced()
    host.do(ExitTask("v"))
    kvm.told()
    created = kvm.create(request=2)
    assert (created.event, created.errno) == (0, "ESRCH")


def test_a_host_task_takes_its_events_along() -> None:
    host = make_host(running="t")
    host.open("mine", "any", task="t")
    host.open("other", task="u")
    host.do(ExitTask("t"))
    assert list(host.states()) == ["other"]
    assert [(r.task, r.cpu) for r in host.log.records if isinstance(r, TaskExit)] == [("t", 0)]


def test_who_waits_for_a_thread_that_exits_waits_no_longer() -> None:
    host, _, _ = revocable(**{field: getattr(REVOKE_ACK, field) for field in ("notifier", "recovery", "denial")})
    assert host.open("P", "any", pinned=True) == "EINPROGRESS"
    host.do(ExitTask("v"))
    assert host.states() == {"P": "A"}


@cases("task", ["", "nobody"])
def test_nobody_else_exits(task: str) -> None:
    with pytest.raises(RefusedError, match=r"idle|no task"):
        make_host().do(ExitTask(task))


# A KVM -----------------------------------------------------------------------------------------------------


def test_a_kvm_that_is_gone_leaves_nothing() -> None:
    host, kvm = fenced()
    host.do(EndSession("k"))
    assert (host.states(), host.endpoint.vcpus, host.machine.cpus[0].task) == ({}, {}, "")
    assert changes(host) == [("open", "ended")]
    kvm.told()
    kvm.tell(Hello("k"))
    assert kvm.told() == [], "nothing of the epoch counts any more"


def test_a_hello_of_a_higher_epoch_ends_the_one_before() -> None:
    host, _ = fenced()
    host.drain()
    host.take(Envelope("k", True, 2, 1, Hello("k"), 1))
    welcome = host.drain()[-2]
    assert (welcome.epoch, type(welcome.body)) == (2, Welcome)
    assert host.states() == {}
    assert [type(r) for r in host.log.records if isinstance(r, TaskExit)] == [TaskExit]
    assert host.endpoint.sessions["k"].phase is SessionPhase.OPEN


def test_the_new_epoch_gets_its_own_event() -> None:
    host, old = fenced()
    host.do(EndSession("k"))
    host.drain()
    new = Kvm.__new__(Kvm)
    new.host, new.name = host, "k"
    new.session = type(old.session)("k", is_host=False, epoch=2, repaired=True)
    new.tell(Hello("k"))
    new.told()
    host.run("v")
    from contract.messages import RegisterVcpu

    new.tell(RegisterVcpu("v", "v"))
    assert [type(body) for body in new.told()] == [SchedIn]
    created = new.create()
    assert isinstance(created, EventCreated)
    assert (created.state, created.grant) == ("ACTIVE", 2)


def test_the_counters_of_a_thread_that_exits_go_too() -> None:
    host, kvm = fenced()
    kvm.tell(CreateCounter("v", 2, 0, ["user", "kernel"], 1000))
    assert len(host.states()) == 2
    host.do(ExitTask("v"))
    assert host.states() == {}


def test_an_event_that_waits_for_the_lbr_waits_no_more_when_its_task_exits() -> None:
    """The guest's event follows the same task: user space has created it from there."""
    host = make_host(design=replace(REVOKE_ACK, other_threads=OtherThreads.SERVED), running="t")
    kvm = Kvm(host)
    assert host.open("P", "any", task="t", pinned=True, disabled=True) == ""
    kvm.tell(CreateEvent("v", 1, "t"))
    assert host.do(Enable("P")) == "EINPROGRESS"
    host.do(ExitTask("t"))
    assert host.grants.state.waits == {}
    assert [(r.name, r.reason) for r in host.log.records if isinstance(r, HostWake)] == [("P", "closed")]


def test_the_link_of_an_ended_session_cannot_be_lost() -> None:
    host, _ = fenced()
    host.do(EndSession("k"))
    with pytest.raises(RefusedError, match="no session"):
        host.do(LoseLink("k"))


def test_an_ended_session_repeats_nothing() -> None:
    host, _ = fenced()
    host.do(EndSession("k"))
    assert host.endpoint.sessions["k"].outgoing.due == -1
    host.drain()
    assert said(host.endpoint.sessions["k"].resend, host.elsewhere) == []
