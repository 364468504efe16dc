"""R9 and R21: whatever the wire and the link do, all arrives once and in order, and no end says more than it may."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.effects import Clock, Effects
from contract.messages import AnyMessage, Envelope, Received, RegisterVcpu, Resume, Welcome
from contract.session import Session, SessionInput, SessionPhase, outgoing
from contract.trace import Discard, Send, Timer, WindowChange
from tests.cases import cases
from tests.sessions import said

WINDOW = 3
"""So small that few messages fill it."""
PROTOCOL = 1
KVM, HOST = 0, 1

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["send", "send", "send", "fire", "acknowledge"]), st.integers(0, 1)),
        st.tuples(st.sampled_from(["deliver", "deliver", "deliver", "drop", "copy"]), st.integers(0, 50)),
        st.tuples(st.sampled_from(["lose", "mend", "mend"]), st.just(0)),
    ),
    max_size=60,
)


def message(n: int) -> RegisterVcpu:
    return RegisterVcpu(str(n), "v")


class Link:
    """Two open ends and what is on its way between them. KVM resumes, as its endpoint does."""

    def __init__(self) -> None:
        self.log = Effects(Clock())
        self.ends = (
            Session("k", is_host=False, repaired=True),
            Session("k", is_host=True, repaired=True),
        )
        for end in self.ends:
            end.phase = SessionPhase.OPEN
        self.wire: list[Envelope] = []
        self.sent: tuple[list[AnyMessage], list[AnyMessage]] = [], []
        self.taken: tuple[list[AnyMessage], list[AnyMessage]] = [], []
        self.resuming = False

    def act(self, what: str, n: int) -> None:
        kvm = self.ends[KVM]
        if what == "send":
            body = message(len(self.sent[n]))
            self.sent[n].append(body)
            self.wire += said(lambda log: self.ends[n].wrap(body, log), self.log)
        elif what == "fire":
            self.fire(n)
        elif what == "acknowledge":
            self.wire += said(self.ends[n].acknowledge, self.log)
        elif what == "lose":
            self.wire.clear()
            self.resuming = False
            for end in self.ends:
                begun = len(self.log.records)
                end.lose("cut", self.log)
                assert not any(isinstance(r, Send) for r in self.log.records[begun:])
        elif what == "mend":
            if kvm.phase is SessionPhase.LOST:
                self.resuming = True
                self.wire += said(lambda log: kvm.greet_again(PROTOCOL, log), self.log)
        elif self.wire:
            n %= len(self.wire)
            envelope = self.wire[n] if what == "copy" else self.wire.pop(n)
            if what != "drop":
                self.deliver(envelope)

    def fire(self, n: int) -> None:
        """The timer of an end runs out, if it is armed."""
        end = self.ends[n]
        if end.outgoing.due < 0:
            return
        self.log.clock.now = max(self.log.clock.now, end.outgoing.due)
        if n == KVM and self.resuming:
            self.wire += said(lambda log: end.greet_again(PROTOCOL, log), self.log)
        else:
            self.wire += said(end.resend, self.log)

    def deliver(self, envelope: Envelope) -> None:
        n = int(envelope.to_host)
        self.wire += said(lambda log: self.take(n, envelope, log), self.log)

    def take(self, n: int, envelope: Envelope, log: Effects) -> None:
        end = self.ends[n]
        body = end.accept(envelope, log)
        if isinstance(body, Resume):
            end.move(SessionInput.GREETED, log)
            end.answer(Welcome(True, PROTOCOL, "", 0, end.incoming.expected - 1), log)
            end.resume(body.last_seq, log)
        elif isinstance(body, Welcome):
            resuming, self.resuming = self.resuming, False
            if resuming:
                end.move(SessionInput.WELCOMED, log)
                end.resume(body.acknowledged, log)
        elif body is not None:
            self.taken[n].append(body)

    def check(self) -> None:
        for n, end in enumerate(self.ends):
            out, taken = end.outgoing, self.taken[1 - n]
            assert taken == self.sent[n][: len(taken)], "in order, each once, nothing left out"
            kept = len(out.unacknowledged) + len(out.waiting)
            assert len(self.sent[n]) - kept <= len(taken), "what was acknowledged was taken"
            assert len(out.unacknowledged) <= WINDOW, "no more than a window is out"
            if end.phase is SessionPhase.OPEN:
                assert not out.waiting or len(out.unacknowledged) == WINDOW, "nobody waits where there is room"
                assert out.paused == bool(out.waiting), "an end is paused while its messages wait"
            mine = [r for r in self.log.records if isinstance(r, Timer) and r.to_host == (n == KVM)]
            assert (mine[-1].due if mine else -1) == out.due, "each change of the timer is recorded"
            awaits = bool(out.unacknowledged) or (n == KVM and self.resuming)
            assert (out.due >= 0) == (awaits and end.phase is not SessionPhase.LOST), "the timer runs while one waits"
            windows = [r for r in self.log.records if isinstance(r, WindowChange) and r.to_host == (n == KVM)]
            assert (windows[-1].paused if windows else False) == out.paused, "each change of the window is recorded"

    def settle(self) -> None:
        """The link is up and perfect from now on. Every timer runs out until nobody waits."""
        self.act("mend", 0)
        for _ in range(50):
            for n in (KVM, HOST):
                self.fire(n)
            while self.wire:
                self.deliver(self.wire.pop(0))
                self.check()
                for n in (KVM, HOST):
                    self.act("acknowledge", n)
            if not any(end.outgoing.unacknowledged for end in self.ends):
                return


@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(ACTIONS)
def test_everything_arrives_once_and_in_order(actions: list[tuple[str, int]]) -> None:
    link = Link()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outgoing, "WINDOW", WINDOW)
        for what, n in actions:
            link.act(what, n)
            link.check()
        link.settle()
    assert link.taken == (link.sent[HOST], link.sent[KVM])


def test_resume_is_repeated_until_its_answer_comes() -> None:
    """Received overtakes Welcome, which is lost: nothing else waits, and KVM still greets. Found by the law."""
    link = Link()
    for what, n in (("send", KVM), ("deliver", 0), ("lose", 0), ("mend", 0), ("deliver", 0), ("acknowledge", HOST)):
        link.act(what, n)
    assert [type(envelope.body) for envelope in link.wire] == [Welcome, Received]
    link.deliver(link.wire.pop())
    link.wire.clear()
    link.check()
    kvm = link.ends[KVM]
    for _ in range(2):
        link.fire(KVM)
    assert [type(envelope.body) for envelope in link.wire] == [Resume, Resume]
    link.settle()
    assert (kvm.phase, kvm.outgoing.due) == (SessionPhase.OPEN, -1)


def test_an_acknowledgement_that_overtakes_resume_opens_no_session() -> None:
    """The messages that wait for the link are sent behind Welcome. Found by the law."""
    link = Link()
    for what, n in (("send", HOST), ("deliver", 0), ("lose", 0), ("send", HOST), ("mend", 0), ("acknowledge", KVM)):
        link.act(what, n)
    assert [type(envelope.body) for envelope in link.wire] == [Resume, Received]
    link.deliver(link.wire.pop())
    link.check()
    assert [type(envelope.body) for envelope in link.wire] == [Resume]
    link.deliver(link.wire.pop())
    assert [type(envelope.body) for envelope in link.wire] == [Welcome, RegisterVcpu]


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(ACTIONS)
def test_an_end_without_a_link_says_nothing(actions: list[tuple[str, int]]) -> None:
    link = Link()
    link.act("lose", 0)
    begun = len(link.log.records)
    for what, n in actions:
        if what != "mend":
            link.act(what, n)
    assert not [r for r in link.log.records[begun:] if isinstance(r, Send)]


@cases("upto", [0, 1, 2, 3])
def test_a_resumed_end_repeats_what_the_other_has_not_taken_and_nothing_else(upto: int) -> None:
    link = Link()
    host = link.ends[HOST]
    for _ in range(3):
        link.act("send", HOST)
    link.act("lose", 0)
    link.act("send", HOST)
    host.move(SessionInput.GREETED, link.log)
    again = said(lambda log: host.resume(upto, log), link.log)
    assert [envelope.order for envelope in again] == list(range(upto + 1, 5))


def test_after_a_resume_the_first_wait_is_as_after_one_repetition() -> None:
    link = Link()
    host = link.ends[HOST]
    link.act("send", HOST)
    for _ in range(4):
        link.fire(HOST)
    link.act("lose", 0)
    host.move(SessionInput.GREETED, link.log)
    host.resume(0, link.log)
    assert host.outgoing.due - link.log.clock.now == 2 * outgoing.RESEND_AFTER


@cases(("act", "rule"), [("end", "R22"), ("refuse", "R1")])
def test_an_end_that_gives_up_names_what_it_never_sent_and_keeps_nothing(act: str, rule: str) -> None:
    link = Link()
    host = link.ends[HOST]
    for _ in range(outgoing.WINDOW):
        host.wrap(message(0), link.log)
    host.wrap(message(1), link.log)
    host.wrap(RegisterVcpu("last", "v"), link.log)
    assert len(host.outgoing.waiting) == 2
    if act == "end":
        host.end("gone", link.log)
    else:
        host.phase = SessionPhase.CLOSED
        host.refuse(link.log)
    found = [(r.n, r.message, r.rule, r.to_host) for r in link.log.records if isinstance(r, Discard)]
    assert found == [(65, "RegisterVcpu", rule, False), (66, "RegisterVcpu", rule, False)]
    assert (host.outgoing.waiting, host.outgoing.unacknowledged, host.outgoing.due) == ([], [], -1)


def test_an_acknowledgement_is_owed_for_what_came_before_the_link_was_lost() -> None:
    link = Link()
    link.act("send", HOST)
    link.act("deliver", 0)
    link.act("lose", 0)
    link.act("acknowledge", KVM)
    assert link.wire == []
    link.settle()
    assert link.ends[HOST].outgoing.unacknowledged == []
