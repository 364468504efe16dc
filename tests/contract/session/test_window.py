"""The window of a repaired session, also while its link is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contract.effects import Clock, Effects
from contract.messages import PROTOCOL_VERSION, AnyMessage, Envelope, Received, RegisterVcpu, Resume, Welcome
from contract.session import RESEND_AFTER, WINDOW, SessionInput, SessionPhase
from contract.trace import Discard, SessionChange, Timer, WindowChange
from tests.sessions import End, said


def body(n: int) -> RegisterVcpu:
    return RegisterVcpu(str(n), "v")


def opened(*, repaired: bool = True) -> tuple[End, Effects]:
    kvm, effects = End("k", is_host=False, repaired=repaired), Effects(Clock())
    kvm.move(SessionInput.GREET, effects)
    kvm.move(SessionInput.WELCOMED, effects)
    return kvm, effects


def received(upto: int) -> Envelope:
    return Envelope("k", False, 1, 1, Received(upto))


def wrapped(end: End, body: AnyMessage, effects: Effects) -> list[Envelope]:
    return said(lambda effects: end.wrap(body, effects), effects)


def accepted(end: End, envelope: Envelope, effects: Effects) -> list[Envelope]:
    """The messages for which an acknowledgement makes room."""
    return said(lambda effects: end.accept(envelope, effects), effects)


def pauses(effects: Effects) -> list[bool]:
    return [r.paused for r in effects.records if isinstance(r, WindowChange)]


def test_a_full_window_pauses_the_end_until_there_is_room() -> None:
    kvm, effects = opened()
    sent = [wrapped(kvm, body(n), effects) for n in range(1, WINDOW + 3)]
    assert [len(envelopes) for envelopes in sent] == [1] * WINDOW + [0, 0]
    assert kvm.outgoing.paused
    freed = accepted(kvm, received(1), effects)
    assert [(e.order, e.body) for e in freed] == [(WINDOW + 1, body(WINDOW + 1))]
    freed = accepted(kvm, received(WINDOW + 1), effects)
    assert [e.order for e in freed] == [WINDOW + 2]
    assert not kvm.outgoing.paused
    assert pauses(effects) == [True, False]


def test_a_window_that_is_full_and_has_nothing_waiting_is_no_pause() -> None:
    kvm, effects = opened()
    for n in range(1, WINDOW + 1):
        wrapped(kvm, body(n), effects)
    accepted(kvm, received(WINDOW), effects)
    assert pauses(effects) == []


def test_more_than_a_window_that_waits_for_the_link_goes_out_window_by_window() -> None:
    kvm, effects = opened()
    kvm.lose("cut", effects)
    assert [e for n in range(1, WINDOW + 3) for e in wrapped(kvm, body(n), effects)] == []
    assert pauses(effects) == []
    kvm.greet_again(2, effects)
    kvm.move(SessionInput.WELCOMED, effects)
    sent = said(lambda effects: kvm.resume(0, effects), effects)
    assert [e.order for e in sent] == list(range(1, WINDOW + 1))
    assert pauses(effects) == [True]
    assert [e.order for e in accepted(kvm, received(WINDOW), effects)] == [WINDOW + 1, WINDOW + 2]
    assert pauses(effects) == [True, False]


def test_an_end_that_forgets_pauses_no_longer() -> None:
    kvm, effects = opened()
    for n in range(1, WINDOW + 2):
        wrapped(kvm, body(n), effects)
    kvm.end("gone", effects)
    assert pauses(effects) == [True, False]


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=20), st.integers(1, 3 * WINDOW))
def test_however_it_is_acknowledged_the_order_is_kept_and_the_window_too(acks: list[int], count: int) -> None:
    kvm, effects = opened()
    sent = [e for n in range(1, count + 1) for e in wrapped(kvm, body(n), effects)]
    for upto in acks:
        sent += accepted(kvm, received(min(upto, kvm.outgoing.order)), effects)
        assert len(kvm.outgoing.unacknowledged) <= WINDOW
        assert kvm.outgoing.paused <= (len(kvm.outgoing.unacknowledged) == WINDOW)
    assert [(e.order, e.body) for e in sent] == [(n, body(n)) for n in range(1, len(sent) + 1)]


def test_a_lost_link_stops_the_timer_and_keeps_what_is_sent_meanwhile() -> None:
    kvm, effects = opened()
    kvm.wrap(body(1), effects)
    assert kvm.lose("cut", effects)
    assert wrapped(kvm, body(2), effects) == []
    assert said(kvm.acknowledge, effects) == []
    timers = [r.due for r in effects.records if isinstance(r, Timer)]
    assert timers == [RESEND_AFTER, -1]
    changes = [(r.old, r.new, r.reason) for r in effects.records if isinstance(r, SessionChange)]
    assert changes == [("open", "lost", "cut")]


def test_where_the_stream_is_not_repaired_it_is_lost_and_said_so() -> None:
    kvm, effects = opened(repaired=False)
    kvm.lose("cut", effects)
    assert wrapped(kvm, body(1), effects) == []
    assert [(r.message, r.rule) for r in effects.records if isinstance(r, Discard)] == [("RegisterVcpu", "R4")]


def test_losing_it_twice_is_no_news() -> None:
    kvm, effects = opened()
    assert kvm.lose("cut", effects)
    assert not kvm.lose("cut", effects)


def resumed(host_has: int) -> list[tuple[int, AnyMessage]]:
    """Three messages, one more while the link is down; what goes when the host says how far it has come."""
    kvm, effects = opened()
    for n in range(1, 4):
        kvm.wrap(body(n), effects)
    kvm.lose("cut", effects)
    kvm.wrap(body(4), effects)
    (resume,) = said(lambda effects: kvm.greet_again(2, effects), effects)
    assert isinstance(resume.body, Resume)
    assert (resume.order, resume.body.last_seq, kvm.phase) == (0, 0, SessionPhase.GREETING)
    welcome = kvm.taken(Envelope("k", False, 1, 7, Welcome(True, acknowledged=host_has)), effects)
    assert isinstance(welcome, Welcome)
    kvm.move(SessionInput.WELCOMED, effects)
    return [(e.order, e.body) for e in said(lambda effects: kvm.resume(welcome.acknowledged, effects), effects)]


def test_after_resume_each_end_sends_what_the_other_lacks() -> None:
    assert resumed(0) == [(n, body(n)) for n in (1, 2, 3, 4)]
    assert resumed(2) == [(n, body(n)) for n in (3, 4)]
    assert resumed(3) == [(4, body(4))]


def test_a_message_without_a_place_is_taken_only_if_it_resumes() -> None:
    host, effects = End("k", is_host=True, repaired=True), Effects(Clock())
    assert host.taken(Envelope("k", True, 1, 1, body(1)), effects) is None
    assert host.taken(Envelope("k", True, 1, 2, Resume("k", PROTOCOL_VERSION, 1, 0)), effects) is not None
