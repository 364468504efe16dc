"""The host's end of the contract: sessions, and what a KVM may ask for."""

from __future__ import annotations

from collections.abc import Callable

from contract.design import Design, Event
from contract.messages import (
    PROTOCOL_VERSION,
    AnyMessage,
    CreateCounter,
    CreateEvent,
    EnableEvent,
    EventCreated,
    Hello,
    Overflow,
    PauseCounter,
    RegisterVcpu,
    ReleaseEvent,
    ResumeCounter,
    Welcome,
)
from contract.network import CAPACITY
from contract.trace import Discard, EventFailed
from tests.cases import cases
from tests.designs import DESIGNS, V8
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import Kvm, revocable
from tests.sessions import End


def discards(host: Host) -> list[tuple[str, str]]:
    return [(r.message, r.rule) for r in host.log.records if isinstance(r, Discard)]


# Sessions --------------------------------------------------------------------------------------------------


def test_hello_is_welcomed_with_credits() -> None:
    host = make_host()
    session = End("k", is_host=False)
    host.take(session.one(Hello("k"), host.elsewhere))
    (envelope,) = host.drain()
    assert envelope.body == Welcome(True, PROTOCOL_VERSION, "", CAPACITY)
    assert (envelope.session, envelope.to_host, envelope.seq) == ("k", False, 1)
    assert host.drain() == []


def test_another_protocol_is_refused_with_a_reason_and_no_session() -> None:
    host = make_host()
    session = End("k", is_host=False)
    bodies: list[AnyMessage] = [Hello("k", PROTOCOL_VERSION + 1), RegisterVcpu("v", "v")]
    for body in bodies:
        host.take(session.one(body, host.elsewhere))
    (welcome,) = [e.body for e in host.drain()]
    assert isinstance(welcome, Welcome)
    assert not welcome.accepted
    assert str(PROTOCOL_VERSION + 1) in welcome.reason
    assert discards(host) == [("RegisterVcpu", "R1")]


def test_vcpus_cannot_be_registered_before_hello() -> None:
    host = make_host(running="v")
    session = End("k", is_host=False)
    host.take(session.one(RegisterVcpu("v", "v"), host.elsewhere))
    host.run("")
    assert discards(host) == [("RegisterVcpu", "R1")]
    assert host.drain() == []


def test_a_second_hello_begins_nothing() -> None:
    host = make_host()
    kvm = Kvm(host)
    kvm.tell(Hello("k"))
    assert kvm.told() == []
    assert discards(host) == [("Hello", "R1")]


def test_what_the_host_has_no_use_for_is_discarded() -> None:
    host = make_host()
    Kvm(host).tell(Overflow(1, 0))
    assert discards(host) == [("Overflow", "R1")]


# Events ----------------------------------------------------------------------------------------------------


def test_a_created_event_is_answered_by_request_number() -> None:
    host = make_host(running="v")
    created = Kvm(host).create(request=42)
    assert (created.vcpu, created.request, created.errno) == ("v", 42, "")
    assert host.perf.events[created.event].guest == "v"


def test_an_event_does_not_follow_a_thread_of_another_session() -> None:
    """R7, R20: neither that of the LBR nor that of a counter."""
    host = make_host()
    Kvm(host, "owner", ("v",))
    evil = Kvm(host, "evil", ("w",))
    asked: list[AnyMessage] = [
        CreateEvent("w", 1, "v"),
        CreateCounter("w", 2, 0, ["user"], 9, "v"),
        CreateEvent("w", 3, "w"),
    ]
    for request in asked:
        evil.tell(request)
    answers = [(body.request, body.errno) for body in evil.told() if isinstance(body, EventCreated)]

    assert answers == [(1, "EPERM"), (2, "EPERM"), (3, "")]
    assert host.states() == {"vlbr:w": "I"}


def test_a_host_that_has_all_events_open_refuses_one_more() -> None:
    host = make_host(running="v")
    kvm = Kvm(host)
    host.perf.most_events = 1
    assert [kvm.create(request=n).errno for n in (1, 2)] == ["", "EMFILE"]


SILENT = [design for design in DESIGNS.values() if design.event is not Event.NONE and not design.grants]


@cases("design", SILENT, ids=lambda d: d.name)
def test_without_grants_the_answer_says_nothing_of_the_state(design: Design) -> None:
    host = make_host(design=design, running="v")
    created = Kvm(host).create()
    assert (created.state, created.grant) == ("", 0)
    assert host.states() == {"vlbr:v": "A"}


@cases(("lbr", "vcpu", "errno"), [("nehalem", "v", "EOPNOTSUPP"), ("skylake", "w", "ESRCH"), ("skylake", "x", "ESRCH")])
def test_a_failed_creation_has_an_errno_and_no_event(lbr: str, vcpu: str, errno: str) -> None:
    host = make_host(lbr=lbr, running="v")
    created = Kvm(host).create(vcpu)
    assert (created.event, created.errno) == (0, errno)
    assert host.states() == {}
    assert [r.errno for r in host.log.records if isinstance(r, EventFailed)] == [errno]


@cases(
    ("ask", "answers"),
    [
        (ReleaseEvent, []),
        (PauseCounter, []),
        (lambda event: EnableEvent("w", 5, event), [EventCreated("w", 5, 0, "ENOENT")]),
        (lambda event: ResumeCounter("w", 5, event, 9), [EventCreated("w", 5, 0, "ENOENT")]),
    ],
    ids=["ReleaseEvent", "PauseCounter", "EnableEvent", "ResumeCounter"],
)
def test_nobody_touches_another_sessions_or_the_hosts_events(
    ask: Callable[[int], AnyMessage], answers: list[AnyMessage]
) -> None:
    host = make_host(running="v")
    mine = Kvm(host).create().event
    host.open("P", "any", pinned=True, disabled=True)
    before = host.states()
    other = Kvm(host, "other", ("w",))
    for event in (mine, host.perf.named["P"].id, 99):
        other.tell(ask(event))
        assert other.told() == answers
    assert host.states() == before
    assert discards(host) == [(type(ask(0)).__name__, "R1")] * 3


def test_a_counter_that_is_paused_counts_nothing_until_it_is_resumed() -> None:
    host = make_host(running="v")
    kvm = Kvm(host)
    kvm.tell(CreateCounter("v", 1, 0, ["user", "kernel"], 100))
    (created,) = kvm.told()
    assert isinstance(created, EventCreated)

    kvm.tell(PauseCounter(created.event))
    assert (kvm.told(), host.states()) == ([], {"pmc0:v": "OFF"})
    kvm.tell(ResumeCounter("v", 2, created.event, 100))
    assert (kvm.told(), host.states()) == ([EventCreated("v", 2, created.event)], {"pmc0:v": "A"})


def test_only_counters_are_paused_and_resumed() -> None:
    host, kvm, created = revocable()
    kvm.tell(PauseCounter(created.event))
    kvm.tell(ResumeCounter("v", 2, created.event, 100))
    assert (kvm.told(), host.states()) == ([EventCreated("v", 2, 0, "ENOENT")], {"vlbr:v": "A"})


def test_release_ends_the_event() -> None:
    host, kvm, created = revocable()
    kvm.tell(ReleaseEvent(created.event))
    assert host.states() == {}
    assert kvm.told() == [], "it was KVM's own wish"


def test_enable_takes_an_event_out_of_error() -> None:
    host = make_host(design=V8, running="v")
    kvm = Kvm(host)
    host.open("P", "any", pinned=True)
    event = kvm.create().event
    kvm.tell(EnableEvent("v", 2, event))
    assert host.states() == {"P": "A", "vlbr:v": "ERR"}
    host.close("P")
    kvm.tell(EnableEvent("v", 3, event))
    assert host.states() == {"vlbr:v": "A"}
    assert kvm.told() == [EventCreated("v", 2, event), EventCreated("v", 3, event)]
