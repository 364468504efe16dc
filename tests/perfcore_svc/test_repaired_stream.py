"""R9 at the host's end: it takes messages in order, acknowledges them, and sends its own again."""

from __future__ import annotations

import pytest

from contract.control import FireHostTimer
from contract.errors import RefusedError
from contract.messages import (
    AnyMessage,
    CreateEvent,
    Envelope,
    EventCreated,
    Hello,
    Received,
    RegisterVcpu,
    SchedIn,
    Welcome,
)
from contract.session import RESEND, RESEND_AFTER, WINDOW
from contract.trace import Discard, Timer, WindowChange
from tests.designs import FENCED
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import revocable
from tests.sessions import End, said


class Line:
    """A repaired session with the host, and what the host has sent on it."""

    def __init__(self) -> None:
        self.host: Host = make_host(design=FENCED, running="v")
        self.kvm = End("k", is_host=False, repaired=True)

    def wrap(self, *bodies: AnyMessage) -> list[Envelope]:
        return [self.kvm.one(body, self.host.elsewhere) for body in bodies]

    def give(self, *envelopes: Envelope) -> None:
        for envelope in envelopes:
            self.host.take(envelope)

    def told(self) -> list[AnyMessage]:
        """The messages that have arrived, taken and acknowledged."""
        taken = [self.kvm.taken(envelope, self.host.elsewhere) for envelope in self.host.drain()]
        self.give(*said(self.kvm.acknowledge, self.host.elsewhere))
        return [body for body in taken if body is not None]

    def fire(self) -> list[Envelope]:
        self.host.do(FireHostTimer("k", RESEND))
        return self.host.drain()


def discards(line: Line) -> list[tuple[str, str]]:
    return [(r.message, r.rule) for r in line.host.log.records if isinstance(r, Discard)]


def test_a_kvm_that_acknowledges_nothing_makes_the_host_pause() -> None:
    line = Line()
    line.give(*line.wrap(Hello("k"), RegisterVcpu("v", "v")))
    sent = line.host.drain()
    for _ in range(WINDOW):
        line.host.run("w")
        line.host.run("v")
    sent += line.host.drain()
    assert len([e for e in sent if e.order]) == WINDOW
    assert [r.paused for r in line.host.log.records if isinstance(r, WindowChange)] == [True]
    for envelope in sent:
        line.kvm.taken(envelope, line.host.elsewhere)
    line.give(*said(line.kvm.acknowledge, line.host.elsewhere))
    assert len([e for e in line.host.drain() if e.order]) == WINDOW
    line.told()


def test_the_host_acknowledges_what_it_takes_after_its_answer() -> None:
    line = Line()
    line.give(*line.wrap(Hello("k")))
    bodies = [e.body for e in line.host.drain()]
    assert [type(body) for body in bodies] == [Welcome, Received]
    assert bodies[1] == Received(1)


def test_what_overtakes_is_thrown_away_until_it_comes_in_its_order() -> None:
    line = Line()
    hello, register, create = line.wrap(Hello("k"), RegisterVcpu("v", "v"), CreateEvent("v", 1))
    line.give(hello, create)
    assert line.host.states() == {}
    line.give(register)
    assert discards(line) == [("CreateEvent", "R9")]
    line.told()
    line.give(*said(line.kvm.resend, line.host.elsewhere))
    assert line.host.states() == {"vlbr:v": "A"}
    assert [type(body) for body in line.told()] == [EventCreated]


def test_what_comes_before_hello_takes_no_place() -> None:
    line = Line()
    hello, register = line.wrap(Hello("k"), RegisterVcpu("v", "v"))
    line.give(register)
    assert discards(line) == [("RegisterVcpu", "R1")]
    line.give(hello)
    line.give(*said(line.kvm.resend, line.host.elsewhere))
    assert [type(body) for body in line.told()] == [Welcome, SchedIn]


def test_a_doubled_request_is_carried_out_once_and_acknowledged_twice() -> None:
    line = Line()
    line.give(*line.wrap(Hello("k"), RegisterVcpu("v", "v")))
    line.told()
    line.give(*line.wrap(CreateEvent("v", 1)))
    line.host.drain()
    line.give(*said(line.kvm.resend, line.host.elsewhere))
    assert line.host.states() == {"vlbr:v": "A"}
    assert [e.body for e in line.host.drain()] == [Received(3)]


def test_the_host_sends_again_what_was_lost_until_it_is_acknowledged() -> None:
    line = Line()
    line.give(*line.wrap(Hello("k"), RegisterVcpu("v", "v")))
    lost = [e for e in line.host.drain() if e.order]
    again = line.fire()
    assert [(e.order, e.body) for e in again] == [(e.order, e.body) for e in lost]
    assert not {e.seq for e in again} & {e.seq for e in lost}
    line.give(Envelope("k", True, 1, 9, Received(len(lost))))
    assert line.fire() == []


def test_the_hosts_timer_runs_from_its_first_message_to_the_last_acknowledgement() -> None:
    line = Line()
    line.give(*line.wrap(Hello("k"), RegisterVcpu("v", "v")))
    line.told()
    timers = [(r.timer, r.due) for r in line.host.log.records if isinstance(r, Timer) and not r.to_host]
    assert timers == [(RESEND, RESEND_AFTER), (RESEND, -1)]


def test_there_is_no_timer_without_a_session() -> None:
    line = Line()
    with pytest.raises(RefusedError):
        line.fire()


def test_a_refused_session_can_acknowledge_its_refusal() -> None:
    """Else the host sends the Welcome again for ever."""
    host = make_host(design=FENCED)
    kvm = End("k", is_host=False, repaired=True)
    for envelope in (kvm.one(Hello("k", 99), host.elsewhere), Envelope("k", True, 1, 2, Received(1))):
        host.take(envelope)
    assert not host.endpoint.sessions["k"].outgoing.unacknowledged


def test_a_stream_that_is_not_repaired_has_no_timer_that_could_fire() -> None:
    host, _, _ = revocable()
    with pytest.raises(RefusedError):
        host.do(FireHostTimer("k", RESEND))
